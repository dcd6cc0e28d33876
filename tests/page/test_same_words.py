"""What the server renders and what the scripts say afterwards are the same words: nothing changes under the reader."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest
from jinja2 import Environment, FileSystemLoader

from darkroom.domain.progress import Progress
from darkroom.domain.sentences import how_it_stands

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")

JOBS = [
    {
        "status": status,
        "paused": paused,
        "pause_reason": reason,
        "cancel_requested": cancelled,
        "total_images": 1500,
        "completed_images": completed,
        "error_message": None,
    }
    for status, (paused, reason), cancelled, completed in product(
        ("pending", "processing", "completed", "failed", "cancelled"),
        ((False, None), (True, "paused by the user"), (True, "the daily quota is spent")),
        (False, True),
        (0, 1499, 1500),
    )
]
STAGES = [
    {"status": status, "round": number, "quantity": 1500, "completed": 2, "reason": reason, "frames": frames}
    for status, number, reason, frames in product(
        ("waiting", "delivering", "topping_up", "complete", "short", "cancelled"),
        (0, 1, 3),
        (None, "rounds <spent>", "cancelled"),
        (None, [], [{"state": "refused", "reason": "a & b"}, {"state": "missed", "reason": "c"}] * 2),
    )
]
SECONDS = [0.2, 1, 59.4, 59.6, 60, 119, 200, 599, 600, 3599, 3600, 3660, 7500, 86_400, 172_799, 172_800, 1_000_000]

_SCRIPT = """
import * as words from "./darkroom/api/static/words.js";
let input = "";
for await (const part of process.stdin) input += part;
const { jobs, stages, seconds } = JSON.parse(input);
console.log(JSON.stringify({
  standing: jobs.map(words.standing), sentence: jobs.map(words.standsNow),
  stageStanding: stages.map(words.stageStanding), stageReason: stages.map(words.stageReason),
  duration: seconds.map(words.duration), plain: jobs.map(words.sentence),
}));
"""


@pytest.fixture(scope="module")
def said() -> dict[str, list[str]]:
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", _SCRIPT],
        cwd=ROOT, input=json.dumps({"jobs": JOBS, "stages": STAGES, "seconds": SECONDS}),
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def templates() -> Environment:
    return Environment(loader=FileSystemLoader(ROOT / "darkroom" / "api" / "templates"), autoescape=False)


def _rendered(templates: Environment, call: str, values: list[dict[str, object]]) -> list[str]:
    names = "number, count, duration, standing, stands_now, stage_standing, stage_reason"
    template = templates.from_string(f"{{% from 'words.html' import {names} %}}{{{{ {call} }}}}")
    return [template.render(value) for value in values]


def test_lists_say_the_same_of_a_job(templates: Environment, said: dict[str, list[str]]) -> None:
    assert _rendered(templates, "standing(job)", [{"job": job} for job in JOBS]) == said["standing"]


def test_a_job_stands_in_the_same_words(templates: Environment, said: dict[str, list[str]]) -> None:
    values: list[dict[str, object]] = [
        {"job": job, "sentence": plain} for job, plain in zip(JOBS, said["plain"], strict=True)
    ]
    assert _rendered(templates, "stands_now(job, sentence)", values) == said["sentence"]


def test_a_stage_stands_in_the_same_words(templates: Environment, said: dict[str, list[str]]) -> None:
    values: list[dict[str, object]] = [{"stage": stage} for stage in STAGES]
    assert _rendered(templates, "stage_standing(stage)", values) == said["stageStanding"]
    assert _rendered(templates, "stage_reason(stage)", values) == said["stageReason"]


def test_durations_are_written_the_same(templates: Environment, said: dict[str, list[str]]) -> None:
    assert _rendered(templates, "duration(seconds)", [{"seconds": seconds} for seconds in SECONDS]) == said["duration"]


def test_the_plain_sentence_is_the_command_lines(said: dict[str, list[str]]) -> None:
    jobs = [Progress.model_validate({"job_id": UUID(int=1), "job_type": "pipeline_stage", **job}) for job in JOBS]
    assert [how_it_stands(job) for job in jobs] == said["plain"]
