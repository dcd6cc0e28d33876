"""What the server renders and what the scripts say afterwards are the same words: nothing changes under the reader."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jinja2 import Environment, FileSystemLoader

from darkroom.domain.attempts import MOST_ATTEMPTS
from darkroom.domain.customers_words import SERVICE
from darkroom.domain.names import JOB_QUEUES
from darkroom.domain.progress import Progress
from darkroom.domain.sentences import how_it_stands
from workflows.policies import PROVIDER_ATTEMPTS

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")

FAILING = {"provider": "gemini", "reason": "HTTP 503", "since": "2026-11-26T10:42:00Z", "retrying": 1}
TROUBLES: tuple[dict[str, Any], ...] = (
    {},
    {"stalled": True},
    {"failing": [FAILING, {**FAILING, "provider": "runware", "retrying": 1500}], "stalled": True},
    {"without_worker": ["darkroom-generate"]},
    {"without_worker": [SERVICE]},
    {"without_worker": ["darkroom", "darkroom-generate", "darkroom-publish"], "failing": [FAILING]},
)
JOBS: list[dict[str, Any]] = [
    {
        "status": status,
        "paused": paused,
        "pause_reason": reason,
        "cancel_requested": cancelled,
        "total_images": 1500,
        "completed_images": completed,
        "error_message": None,
        **trouble,
    }
    for status, (paused, reason), cancelled, completed, trouble in product(
        ("pending", "processing", "completed", "failed", "cancelled"),
        ((False, None), (True, "paused by the user"), (True, "the daily quota is spent")),
        (False, True),
        (0, 1499, 1500),
        TROUBLES,
    )
]
STAGES = [
    {"status": status, "round": number, "quantity": 1500, "completed": 2, "reason": reason, "frames": frames, **retries}
    for status, number, reason, frames, retries in product(
        ("waiting", "delivering", "topping_up", "complete", "short", "cancelled"),
        (0, 1, 3),
        (None, "rounds <spent>", "cancelled"),
        (None, [], [{"state": "refused", "reason": "a & b"}, {"state": "missed", "reason": "c"}] * 2),
        ({}, {"retrying": 1, "fault": "HTTP 503"}, {"retrying": 1500, "fault": "a & b"}),
    )
]
SECONDS = [0.2, 1, 59.4, 59.6, 60, 119, 200, 599, 600, 3599, 3600, 3660, 7500, 86_400, 172_799, 172_800, 1_000_000]

_SCRIPT = """
import * as words from "./darkroom/api/static/words.js";
const utc = (iso) => `${iso.slice(11, 16)} UTC`;
let input = "";
for await (const part of process.stdin) input += part;
const { jobs, stages, seconds } = JSON.parse(input);
console.log(JSON.stringify({
  standing: jobs.map(words.standing), sentence: jobs.map((job) => words.standsNow(job, utc)),
  stageStanding: stages.map(words.stageStanding), stageReason: stages.map(words.stageReason),
  duration: seconds.map(words.duration), plain: jobs.map((job) => words.sentence(job)),
  attempts: words.MOST_ATTEMPTS, queues: words.JOB_QUEUES,
}));
"""


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", _SCRIPT],
        cwd=ROOT, input=json.dumps({"jobs": JOBS, "stages": STAGES, "seconds": SECONDS}),
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def templates() -> Environment:
    return Environment(loader=FileSystemLoader(ROOT / "darkroom" / "api" / "templates"), autoescape=False)


def _rendered(templates: Environment, call: str, values: list[dict[str, object]]) -> list[str]:
    names = "number, count, duration, standing, stands_now, stage_standing, stage_reason"
    template = templates.from_string(f"{{% from 'words.html' import {names} %}}{{{{ {call} }}}}")
    return [template.render(value) for value in values]


def test_lists_say_the_same_of_a_job(templates: Environment, said: dict[str, Any]) -> None:
    assert _rendered(templates, "standing(job)", [{"job": job} for job in JOBS]) == said["standing"]


def test_a_job_stands_in_the_same_words(templates: Environment, said: dict[str, Any]) -> None:
    values: list[dict[str, object]] = [
        {"job": job, "sentence": plain} for job, plain in zip(JOBS, said["plain"], strict=True)
    ]
    assert _rendered(templates, "stands_now(job, sentence)", values) == said["sentence"]


def test_a_stage_stands_in_the_same_words(templates: Environment, said: dict[str, Any]) -> None:
    values: list[dict[str, object]] = [{"stage": stage} for stage in STAGES]
    assert _rendered(templates, "stage_standing(stage)", values) == said["stageStanding"]
    assert _rendered(templates, "stage_reason(stage)", values) == said["stageReason"]


def test_durations_are_written_the_same(templates: Environment, said: dict[str, Any]) -> None:
    assert _rendered(templates, "duration(seconds)", [{"seconds": seconds} for seconds in SECONDS]) == said["duration"]


def test_the_plain_sentence_is_the_command_lines(said: dict[str, Any]) -> None:
    jobs = [Progress.model_validate({"job_id": UUID(int=1), "job_type": "pipeline_stage", **job}) for job in JOBS]
    # What to do is for those who can do it.
    assert [how_it_stands(job).partition("; start one with ")[0] for job in jobs] == said["plain"]


def test_the_page_counts_attempts_and_queues_as_workers_do(templates: Environment, said: dict[str, Any]) -> None:
    assert said["attempts"] == MOST_ATTEMPTS == PROVIDER_ATTEMPTS
    assert said["queues"] == list(JOB_QUEUES)
    frame = {"position": 0, "ordinal": 3, "state": "making", "attempt": 6, "reason": "HTTP 503", "image": None}
    template = templates.from_string("{% from 'frames.html' import frame %}{{ frame(one, 'ratio-1-1', job) }}")
    shown = template.render(one=frame, job={"status": "processing", "cancel_requested": False})
    assert f"Picture 3: HTTP 503, attempt 6 of {MOST_ATTEMPTS}" in shown
