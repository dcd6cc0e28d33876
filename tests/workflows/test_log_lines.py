"""What an operator reads: the log lines of spec §6, each once, each with its fields."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client as TemporalClient

from darkroom.domain.stage_state import REFUSED_FOR_GOOD
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.watching import until_batches_ended, until_heard
from tests.support.stacks.workflow import WorkflowStack, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

Line = dict[str, Any]
WHOLE: Line = {"log_level": "info", "status": "completed"}


class Lines:
    """The captured lines of one job; each must name the job."""

    def __init__(self, captured: Sequence[Any], job_id: UUID) -> None:
        self._lines: list[Line] = [{**line} for line in captured]
        for line in self._lines:
            assert line.pop("job_id") == str(job_id), line
            if line["event"] != "job finished":
                assert line.pop("log_level") == "info", line

    def of(self, event: str) -> list[Line]:
        """The fields of each line of this event, in order."""
        return [
            {name: value for name, value in line.items() if name != "event"}
            for line in self._lines
            if line["event"] == event
        ]

    @property
    def events(self) -> list[str]:
        """The events, in order."""
        return [line["event"] for line in self._lines]


async def ids(stack: WorkflowStack, job_id: UUID) -> tuple[int, ...]:
    """The attachments of a job in the order of its stages and ordinals."""
    return (await stack.row(job_id)).generated_attach_ids


async def test_a_job_with_top_ups_tells_its_whole_story(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 1): [Act.MISS], (0, 2): [Act.MISS], (0, 3): [Act.MISS]})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1, top_up_delay=0) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(3)
            await stack.end_of(job_id)
        first, second, third = await ids(stack, job_id)
    lines = Lines(captured, job_id)
    assert lines.of("stage started") == [{"stage": 0, "quantity": 3}]
    assert lines.of("image delivered") == [
        {"stage": 0, "ordinal": 0, "round": 0, "n": 1, "quantity": 3, "attach_id": first},
        {"stage": 0, "ordinal": 4, "round": 1, "n": 2, "quantity": 3, "attach_id": second},
        {"stage": 0, "ordinal": 5, "round": 2, "n": 3, "quantity": 3, "attach_id": third},
    ]
    assert lines.of("image missed") == [
        {"stage": 0, "ordinal": 1, "round": 0, "reason": "no picture in the answer"},
        {"stage": 0, "ordinal": 2, "round": 0, "reason": "no picture in the answer"},
        {"stage": 0, "ordinal": 3, "round": 1, "reason": "no picture in the answer"},
    ]
    assert lines.of("top-up started") == [
        {"stage": 0, "round": 1, "missing": 2},
        {"stage": 0, "round": 2, "missing": 1},
    ]
    assert lines.of("top-up finished") == [
        {"stage": 0, "round": 1, "recovered": 1, "missing": 2},
        {"stage": 0, "round": 2, "recovered": 1, "missing": 1},
    ]
    assert lines.of("stage finished") == [{"stage": 0, "completed": 3, "quantity": 3}]
    assert lines.of("job finished") == [{**WHOLE, "completed": 3, "total": 3}]
    assert len(lines.events) == 1 + 3 + 3 + 2 + 2 + 1 + 1, lines.events
    assert lines.events[0] == "stage started"
    assert lines.events[-2:] == ["stage finished", "job finished"]


async def test_each_stage_counts_its_own_images(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(2, 3)
            await stack.end_of(job_id)
        attach_ids = await ids(stack, job_id)
    lines = Lines(captured, job_id)
    delivered = lines.of("image delivered")
    assert [(line["n"], line["quantity"]) for line in delivered if line["stage"] == 0] == [(1, 2), (2, 2)]
    assert [(line["n"], line["quantity"]) for line in delivered if line["stage"] == 1] == [(1, 3), (2, 3), (3, 3)]
    in_order = sorted(delivered, key=lambda line: (line["stage"], line["ordinal"]))
    assert tuple(line["attach_id"] for line in in_order) == attach_ids
    started = sorted(lines.of("stage started"), key=lambda line: line["stage"])
    assert started == [{"stage": 0, "quantity": 2}, {"stage": 1, "quantity": 3}]
    assert lines.of("job finished") == [{**WHOLE, "completed": 5, "total": 5}]


async def test_a_restart_counts_on_from_what_is_delivered(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 1): [Act.MISS]})
    async with running_stack(skipping_client, home, provider) as stack:
        job_id = await stack.order(2, max_top_ups=0)
        await stack.end_of(job_id)
        with capture_logs() as captured:
            await stack.client.restart(job_id)
            await stack.end_of(job_id)
        _, second = await ids(stack, job_id)
    assert Lines(captured, job_id).of("image delivered") == [
        {"stage": 0, "ordinal": 2, "round": 0, "n": 2, "quantity": 2, "attach_id": second}
    ]


async def test_a_short_stage_says_what_was_expected_and_why_it_is_not_there(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 1): [Act.REFUSE], (0, 2): [Act.REFUSE_FINALLY]})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(5)
            await stack.end_of(job_id)
    lines = Lines(captured, job_id)
    assert lines.of("image refused") == [
        {"stage": 0, "ordinal": 1, "round": 0, "reason": "against the policy", "final": False},
        {"stage": 0, "ordinal": 2, "round": 0, "reason": "this prompt is blocked", "final": True},
    ]
    assert lines.of("stage short") == [
        {"stage": 0, "expected": 5, "got": 1, "missing": 4, "reason": f"this prompt is blocked{REFUSED_FOR_GOOD}"}
    ]
    assert lines.of("stage finished") == [{"stage": 0, "completed": 1, "quantity": 5}]
    assert lines.of("job finished") == [{**WHOLE, "log_level": "warning", "completed": 1, "total": 5}]
    assert lines.events[-3:] == ["stage short", "stage finished", "job finished"]


async def test_a_failed_job_says_why(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.STOP]})
    async with running_stack(skipping_client, home, provider) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(1)
            await stack.end_of(job_id)
    reason = "the key is not valid; set GEMINI_API_KEY"
    lines = Lines(captured, job_id)
    assert lines.of("job finished") == [
        {"log_level": "error", "status": "failed", "completed": 0, "total": 1, "reason": reason}
    ]
    assert lines.of("stage short") == [{"stage": 0, "expected": 1, "got": 0, "missing": 1, "reason": reason}]


async def test_a_pause_and_a_cancel_are_told_once_each(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(3, 1)
            await provider.until_calls(2)
            await stack.client.pause(job_id, "lunch")
            await until_heard(stack, job_id, "set_control", 1)
            provider.gate.set()
            await until_batches_ended(stack, job_id, 2)
            await stack.client.cancel(job_id, "enough")
            await stack.end_of(job_id)
    lines = Lines(captured, job_id)
    assert lines.of("job paused") == [{"reason": "lunch"}]
    assert lines.of("job cancelled") == [{"status": "cancelled", "completed": 2, "total": 4}]
    assert lines.of("job finished") == []
    assert lines.of("stage short") == [{"stage": 0, "expected": 3, "got": 1, "missing": 2, "reason": "cancelled"}]
    assert len(lines.of("image delivered")) == 2
    assert lines.events[-1] == "job cancelled"


async def test_a_spent_quota_pauses_the_job_with_its_reason(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.QUOTA]})
    async with running_stack(skipping_client, home, provider) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(1)
            await stack.end_of(job_id)
    lines = Lines(captured, job_id)
    assert lines.of("job paused") == [{"reason": "the daily quota is spent"}]
    assert lines.of("job finished") == [{**WHOLE, "completed": 1, "total": 1}]


async def test_a_provider_that_fails_and_is_back_is_told_beside_the_jobs(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, ordinal): [Act.FAULT, Act.FAULT] for ordinal in range(3)})
    async with running_stack(skipping_client, home, provider) as stack:
        with capture_logs() as captured:
            job_id = await stack.order(3)
            await stack.end_of(job_id)
    told = [line for line in captured if line["event"].startswith("provider ")]
    assert [(line["event"], line["log_level"], line["provider"]) for line in told] == [
        ("provider failing", "warning", "offline"),
        ("provider back", "info", "offline"),
    ]
    assert (told[0]["reason"], told[0]["calls"]) == ("503 from the provider", 3)
