"""Rows as the front ends that exist insert them, of every type, with and without what is optional: all are orders."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from markupsafe import escape
from PIL import Image
from temporalio.client import Client

from darkroom.domain.jobs import NewJob
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.orders import JobType, Stage
from tests.api.conftest import temporal
from tests.support.stacks.api import ApiStack, running_api

__all__ = ["temporal"]

ROWS = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted((Path(__file__).parent / "rows").glob("*"))}
THEIR_USER = "00000000-0000-4000-8000-00000000000a"
PICTURES = 6
"""Attachments 1 to 6 are there."""

FRONT_FULL = "Front view, facing the camera; full shot, the whole subject in the frame.\n\n"
BACK_TIGHT = "Back view, facing away from the camera; tight shot, a close-up that fills the frame.\n\n"
SIDE_TIGHT = "Three-quarter view from the side; tight shot, a close-up that fills the frame.\n\n"

Expected = tuple[str, str, int, str, tuple[int, ...]]
EXPECTED: dict[str, list[Expected]] = {
    "single_batch": [
        ("front, full", f"{FRONT_FULL}A linen coat on a city street\n\nAvoid: text, logos", 3, "1:1", (1, 2, 3, 4)),
        ("back, tight", f"{BACK_TIGHT}A linen coat on a city street\n\nAvoid: text, logos", 2, "1:1", (1, 2)),
    ],
    "single_batch-merged": [
        (
            "top-down, middle",
            "top-down; middle shot, the upper half of the subject in the frame.\n\nA bowl of ramen",
            *(4, "16:9", (5, 1)),
        )
    ],
    "single_batch-one": [("side, tight", f"{SIDE_TIGHT}A red lipstick", 2, "16:9", ())],
    "single_batch-bare": [("front, full", f"{FRONT_FULL}A red lipstick", 3, "16:9", ())],
    "pipeline_stage": [
        ("stage 1", "A bottle of perfume in morning light\n\nAvoid: blur", 3, "1:1", (5, 1)),
        ("stage 2", "The same bottle in the evening", 2, "16:9", (2, 4)),
    ],
    "pipeline_stage-bare": [("stage 1", "A lemon", 1, "16:9", ())],
    "pipeline_stage-text": [("stage 1", "A lemon", 2, "16:9", ())],
    "simple_general": [("stage 1", "In the style of a woodcut", 2, "1:1", (1, 6))],
    "simple_general-bare": [("stage 1", "A woodcut", 1, "16:9", (1,))],
    "simple_portrait": [
        ("photo 0", "A portrait in oil", 1, "1:1", (5,)),
        ("photo 1", "A portrait in chalk", 1, "1:1", (6,)),
    ],
    "simple_portrait-bare": [("photo 1", "A portrait", 1, "16:9", (5,))],
    "storybook": [("page 1", "", 1, "1:1", (1,)), ("page 2", "", 1, "1:1", ())],
    "storybook-bare": [("page 1", "", 1, "16:9", ())],
    "template-rows": [
        ("The chair", "A red chair, morning light\n\nAvoid: people", 3, "16:9", (2, 3)),
        ("green, lamp", "A green lamp, morning light\n\nAvoid: people", 2, "1:1", (1, 4)),
        ("stage 3", "A vase of {clay}\n\nAvoid: people", 1, "1:1", (1,)),
    ],
    "template-variables": [
        ("chair, red", "A red chair, morning light", 1, "16:9", ()),
        ("chair, 7", "A 7 chair, morning light", 1, "16:9", ()),
        ("lamp, red", "A red lamp, morning light", 1, "16:9", ()),
        ("lamp, 7", "A 7 lamp, morning light", 1, "16:9", ()),
    ],
    "template-bare": [("stage 1", "A red chair", 1, "16:9", ())],
    "oldest": [("stage 1", "A {lemon} as it is", 2, "16:9", (5,))],
    "oldest-bare": [("stage 1", "A lemon", 3, "16:9", ())],
}


def document_of(name: str) -> Any:
    """What the row holds, of the local user."""
    return json.loads(json.dumps(ROWS[name]["job_input_data"]).replace(THEIR_USER, str(LOCAL_USER)))


@pytest.fixture
async def front_end(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API of a user who has uploaded some pictures."""
    async with running_api(temporal, tmp_path) as api:
        for number in range(1, PICTURES + 1):
            picture = io.BytesIO()
            Image.new("RGB", (32, 32), (number * 40, 60, 90)).save(picture, "PNG")
            answer = await api.http.post("/api/attachments", files={"file": (f"{number}.png", picture.getvalue())})
            assert answer.json()["attach_id"] == number, answer.text
        yield api


def test_every_type_is_there_and_what_each_row_orders_is_known() -> None:
    assert {row["job_type"] for row in ROWS.values()} == set(JobType)
    assert set(ROWS) == set(EXPECTED)
    assert {name: row["total_images"] for name, row in ROWS.items() if not name.startswith("single_batch-one")} == {
        name: sum(quantity for _, _, quantity, *_ in stages)
        for name, stages in EXPECTED.items()
        if not name.startswith("single_batch-one")
    }


def shown(stage: Stage) -> Expected:
    return (
        stage.label,
        "" if stage.label.startswith("page") else stage.prompt,
        stage.quantity,
        stage.aspect_ratio,
        tuple(reference.attach_id for reference in stage.references),
    )


async def test_every_row_is_picked_up_opened_and_delivered_as_it_says(front_end: ApiStack) -> None:
    jobs: dict[str, UUID] = {}
    for name, row in ROWS.items():
        job = NewJob(
            job_id=uuid4(),
            job_type=row["job_type"],
            user_id=LOCAL_USER,
            production_id=None,
            document={},
            total_images=row["total_images"],
            priority=3,
        )
        # As a front end writes it, which may be a JSON text.
        job = job.model_copy(update={"document": document_of(name)})
        assert await front_end.parts.records.create_job(job)
        jobs[name] = job.job_id
    assert await front_end.parts.client(front_end.temporal).start_waiting_jobs() == len(ROWS)
    for name, job_id in jobs.items():
        ended = await front_end.ended(job_id)
        stages = await front_end.parts.records.stages(job_id)
        assert [shown(stage) for stage in stages] == EXPECTED[name], name
        assert (ended["status"], ended["job_type"]) == ("completed", ROWS[name]["job_type"]), name
        assert ended["completed_images"] == sum(stage.quantity for stage in stages), name
        receipt = (await front_end.http.get(f"/api/jobs/{job_id}/receipt")).json()
        page = await front_end.http.get(f"/jobs/{job_id}", headers={"Accept": "text/html"})
        assert page.status_code == 200, name
        assert page.text.count('<section class="strip"') == len(stages)
        assert all(escape(stage.prompt) in page.text for stage in stages), name
        assert (receipt["job_type"], receipt["delivered"]) == (ROWS[name]["job_type"], ended["completed_images"])


@pytest.mark.parametrize("name", ROWS)
async def test_every_row_is_quoted_and_can_be_ordered_again(front_end: ApiStack, name: str) -> None:
    row, document = ROWS[name], document_of(name)
    if isinstance(document, dict):
        document |= {"job_type": row["job_type"]}
    quoted = await front_end.http.post("/api/jobs/quote", json=document)
    if name in {"single_batch-bare", "oldest-bare"}:  # the row says how many
        quoted = await front_end.http.post("/api/jobs/quote", json=document | {"quantity": row["total_images"]})
    assert quoted.status_code == 200, quoted.text
    assert quoted.json()["warnings"] == []
    assert [
        (
            stage["label"],
            "" if stage["label"].startswith("page") else stage["prompt"],
            stage["quantity"],
            stage["aspect_ratio"],
            tuple(stage["references"]),
        )
        for stage in quoted.json()["stages"]
    ] == EXPECTED[name]

    job = NewJob(
        job_id=uuid4(),
        job_type=row["job_type"],
        user_id=LOCAL_USER,
        production_id=None,
        document={"stages": []},
        total_images=row["total_images"],
        priority=3,
    )
    assert await front_end.parts.records.create_job(job.model_copy(update={"document": document_of(name)}))
    again = await front_end.http.get(f"/api/jobs/{job.job_id}/order")
    assert again.status_code == 200, again.text
    same = await front_end.http.post("/api/jobs/quote", json=again.json()["document"])
    assert same.status_code == 200, same.text
    assert same.json()["warnings"] == []
    expected = quoted.json()
    assert [stage["prompt"] for stage in same.json()["stages"]] == [stage["prompt"] for stage in expected["stages"]]
    assert [stage["references"] for stage in same.json()["stages"]] == [s["references"] for s in expected["stages"]]
    assert (same.json()["images"], same.json()["credits"]) == (expected["images"], expected["credits"])
