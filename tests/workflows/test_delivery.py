"""How a job goes, case by case: each test one rule of spec §2, §3 or §5."""

from pathlib import Path

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.decoding.children import Children
from darkroom.domain.jobs import JobInput
from darkroom.domain.names import TaskQueue, batch_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.domain.stage_state import REFUSED_FOR_GOOD
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.workflow import OPENING_BALANCE, PRICE, running_stack
from tests.support.until import until
from workflows import policies
from workflows.pipeline_job import PipelineJobWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_job_delivers_exactly_what_was_ordered(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.order(3, 2)
        receipt = await stack.client.result(job_id)
        row = await stack.row(job_id)
        assert (receipt.status, receipt.delivered, receipt.missing) == (JobStatus.COMPLETED, 5, ())
        assert (row.completed_images, len(row.generated_attach_ids)) == (5, 5)
        assert receipt.total.charged == 5 * PRICE
        assert await stack.balance() == OPENING_BALANCE - 5 * PRICE
        assert stack.provider.total_calls == 5
        assert await stack.parts.storage.keys(f"staging/{job_id}/") == []
        await stack.check_invariants()


async def test_what_misses_is_made_up_for_by_new_ordinals(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 1): [Act.MISS], (0, 3): [Act.GARBAGE], (0, 4): [Act.MISS]})
    async with running_stack(skipping_client, home, provider) as stack:
        receipt = await stack.client.result(await stack.order(4))
        assert (receipt.delivered, receipt.total.misses, receipt.total.top_up_rounds) == (4, 3, 2)
        assert sorted(provider.calls) == [(0, n) for n in range(7)]
        await stack.check_invariants()


async def test_a_stage_that_stays_short_says_why_and_the_job_completes(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(1, 50)})
    async with running_stack(skipping_client, home, provider) as stack:
        job_id = await stack.order(3, max_top_ups=2)
        receipt = await stack.client.result(job_id)
        row = await stack.row(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 1)
        assert (row.failed_images, row.completed_images) == (2, 1)
        assert [(m.missing, m.reason) for m in receipt.missing] == [(2, "no picture in the answer")]
        assert receipt.total.released == 2 * PRICE
        await stack.check_invariants()


async def test_a_job_that_delivers_nothing_has_failed(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(50)})
    async with running_stack(skipping_client, home, provider) as stack:
        job_id = await stack.order(1, max_top_ups=1)
        receipt = await stack.client.result(job_id)
        row = await stack.row(job_id)
        assert (receipt.status, row.failed_images) == (JobStatus.FAILED, 1)
        assert row.error_message is not None
        assert "no picture in the answer" in row.error_message
        await stack.check_invariants()


async def test_transient_faults_are_retried_and_the_last_attempt_is_a_miss(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twenty attempts are the rule; the server waits about a second before each, so here three are the last.
    monkeypatch.setattr("worker.PROVIDER_ATTEMPTS", 3)
    assert policies.PROVIDER_CALL.maximum_attempts == 20
    provider = ScriptedProvider({(0, 0): [Act.FAULT] * 2, (0, 1): [Act.FAULT] * 3})
    async with running_stack(skipping_client, home, provider, top_up_delay=0) as stack:
        receipt = await stack.client.result(await stack.order(2))
        assert receipt.delivered == 2
        assert provider.calls == {(0, 0): 3, (0, 1): 3, (0, 2): 1}
        assert (receipt.total.faults, receipt.total.misses) == (2 + 2, 1)
        await stack.check_invariants()


async def test_a_final_refusal_stops_its_stage_and_no_other(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.REFUSE_FINALLY]})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        receipt = await stack.client.result(await stack.order(3, 2))
        assert receipt.status is JobStatus.COMPLETED
        assert [(m.stage_index, m.reason) for m in receipt.missing] == [
            (0, f"this prompt is blocked{REFUSED_FOR_GOOD}")
        ]
        assert provider.calls[0, 1] == 0
        assert receipt.delivered == 2
        await stack.check_invariants()


async def test_three_refusals_without_a_delivery_stop_a_stage(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, n): [Act.REFUSE] for n in range(50)})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        receipt = await stack.client.result(await stack.order(6))
        assert (receipt.status, receipt.total.refusals, provider.total_calls) == (JobStatus.FAILED, 3, 3)
        await stack.check_invariants()


async def test_refusals_after_a_delivery_are_misses(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, n): [Act.REFUSE] for n in range(1, 5)})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        provider.gate.clear()
        job_id = await stack.order(5)
        await provider.until_calls(1)
        provider.gate.set()
        provider.gate.clear()  # the first call is through; the next one waits until its picture counts

        async def the_workflow_knows() -> bool:
            seen = await stack.client.progress(job_id)
            return (seen.source, seen.progress.completed_images) == ("workflow", 1)

        await until(the_workflow_knows, "the first delivery")
        receipt = await stack.end_of(job_id)
        assert (receipt.delivered, receipt.total.refusals) == (5, 4)
        await stack.check_invariants()


async def test_a_permanent_fault_stops_the_job_and_keeps_what_is_delivered(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 2): [Act.STOP]})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        job_id = await stack.order(6)
        receipt = await stack.client.result(job_id)
        row = await stack.row(job_id)
        assert receipt.status is JobStatus.FAILED
        assert row.error_message == "the key is not valid; set GEMINI_API_KEY"
        assert receipt.delivered == 2
        assert row.failed_images == 4
        await stack.check_invariants()


async def test_a_balance_that_does_not_cover_the_order_fails_it_at_once(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, opening_balance=59) as stack:
        receipt = await stack.client.result(await stack.order(3))
        assert receipt.error_message == "insufficient credits: need 60, available 59"
        assert (receipt.status, stack.provider.total_calls) == (JobStatus.FAILED, 0)
        await stack.check_invariants()


async def test_max_credits_is_allotted_in_order_and_never_exceeded(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        receipt = await stack.client.result(await stack.order(3, 3, max_credits=4 * PRICE + 5))
        assert (receipt.delivered, stack.provider.total_calls) == (4, 4)
        assert [(m.stage_index, m.missing) for m in receipt.missing] == [(1, 2)]
        assert "max_credits" in receipt.missing[0].reason
        await stack.check_invariants()


async def test_an_anonymous_job_is_free(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        stack.user_id = None
        receipt = await stack.client.result(await stack.order(2))
        assert (receipt.delivered, receipt.total.charged, receipt.unit_price) == (2, 0, 0)
        assert len(await stack.parts.storage.keys("generated-images/user-anonymous/")) == 2


async def test_a_restart_delivers_only_what_is_missing_at_the_first_price(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(2, 8)})
    async with running_stack(skipping_client, home, provider) as stack:
        job_id = await stack.order(4, max_top_ups=1)
        first = await stack.client.result(job_id)
        assert first.delivered == 2
        provider.script.clear()
        assert (await stack.client.restart(job_id)).success
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered, receipt.last_run.delivered) == (JobStatus.COMPLETED, 4, 2)
        assert receipt.last_run.charged == 2 * PRICE
        assert all(times == 1 for times in provider.calls.values())
        await stack.check_invariants()


async def test_a_second_submit_of_the_same_id_finds_the_job(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.order(2)
        other = await stack.client.check({"stages": [{"prompt": "x", "quantity": 9}]}, stack.user_id)
        again = await stack.client.submit(other, job_id=job_id)
        assert again.found
        assert again.total_images == 2
        receipt = await stack.client.result(job_id)
        assert receipt.delivered == 2


async def test_a_cancelled_pending_job_turns_a_late_workflow_away(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.stored({"stages": [{"prompt": "x", "quantity": 2}]})
        assert (await stack.client.cancel(job_id)).status is JobStatus.CANCELLED
        handle = await stack.temporal.start_workflow(
            PipelineJobWorkflow.run, JobInput(job_id=job_id), id=f"job-{job_id}", task_queue=TaskQueue.ORCHESTRATE
        )
        await handle.result()
        assert (await stack.row(job_id)).status is JobStatus.CANCELLED
        assert (await stack.client.restart(job_id)).success
        assert (await stack.client.result(job_id)).delivered == 2
        await stack.check_invariants()


async def test_pictures_that_no_process_can_look_into_are_delivered_when_one_can_and_never_paid_for_again(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory, no processes or no pipes left: no fault of the pictures, however long it lasts."""
    monkeypatch.setattr("worker.PROVIDER_ATTEMPTS", 1)  # of twenty, which take a quarter of an hour
    monkeypatch.setattr("tests.support.stacks.workflow.SHARED", children := Children())
    async with running_stack(skipping_client, home, max_top_ups=1) as stack:
        with monkeypatch.context() as broken:
            broken.setattr("darkroom.decoding.children._PROGRAM", "raise SystemExit(3)")
            job_id = await stack.order(2)
            await stack.provider.until_calls(2)

            async def given_up_or_uploading() -> bool:
                history = await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).fetch_history()
                generated = [one for one in history.events if one.HasField("activity_task_completed_event_attributes")]
                return len(generated) >= 2

            await until(given_up_or_uploading, "both calls")
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.COMPLETED, 2, 2)
        await stack.check_invariants()
    await children.close()
