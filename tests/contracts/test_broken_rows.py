"""Rows broken by hand: one line that names job and column; the lists show the other jobs."""

import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import product

import pytest
from structlog.testing import capture_logs

from darkroom.domain.errors import RecordsRefused
from darkroom.domain.images import Outcome
from darkroom.records.sqlite import SqliteRecords
from tests.contracts.conftest import ON_SQLITE, ON_SUPABASE
from tests.support.records.fixture import EPOCH, RecordsFixture
from tests.support.records.tables import SqliteTables


def where_let_in(
    *columns: str, by_all: Sequence[tuple[str, ...]], by_sqlite: Sequence[tuple[str, ...]]
) -> pytest.MarkDecorator:
    """Each row on each adapter that lets it in: PostgreSQL's types and checks keep some out."""
    pairs = [*product(by_all, [*ON_SQLITE, ON_SUPABASE]), *product(by_sqlite, ON_SQLITE)]
    cases = [
        pytest.param(*adapter.values, *row, id=f"{adapter.id}-{'-'.join(row)}", marks=adapter.marks)
        for row, adapter in pairs
    ]
    return pytest.mark.parametrize(("planted", *columns), cases, indirect=["planted"])


@where_let_in(
    *("column", "value", "reason"),
    by_all=[("generated_attach_ids", '["x"]', "must be a whole number")],
    by_sqlite=[
        ("job_status", "finished", "must be 'pending', 'processing', 'completed', 'failed' or 'cancelled'"),
        ("generated_attach_ids", "[1, 2", "is not valid JSON"),
        ("total_images", "many", "must be a whole number"),
        ("quel_member_id", "somebody", "must be a UUID, such as"),
        ("created_at", "yesterday", "must be a time, such as"),
    ],
)
async def test_a_broken_row_is_named_and_the_lists_show_the_others(
    planted: RecordsFixture, column: str, value: str, reason: str
) -> None:
    good, bad = await planted.opened(None), await planted.opened(None)
    await planted.tables.plant(
        f"update quel_production_jobs set {column} = :value where job_id = :job", value=value, job=str(bad.job_id)
    )
    with pytest.raises(RecordsRefused) as refused:
        await planted.records.job(bad.job_id)
    assert str(refused.value).startswith(f"job {bad.job_id}: its row cannot be read: {column} {reason}")
    assert str(refused.value).endswith("; correct the row")
    with capture_logs() as lines:
        whole_rows = [*await planted.records.jobs(None, 10), *await planted.records.jobs_beginning("", 10)]
        summaries = await planted.records.job_page(10)
        await planted.records.unfinished_jobs()
    assert [row.job_id for row in whole_rows] == [good.job_id] * 2
    assert good.job_id in [row.job_id for row in summaries], "which do not read every column"
    assert re.search(rf"{bad.job_id}.*{column}", str(lines[0]["reason"]))


@where_let_in(
    *("method", "where", "value", "reason"),
    by_all=[
        ("progress", "quel_production_jobs.generated_attach_ids", '["x"]', "generated_attach_ids"),
        ("stages", "quel_job_stages.reference_images", '[{"attach_id": "x"}]', "stage"),
        ("receipt", "quel_job_runs.receipt", '{"ordered": "many"}', "receipt: job_id is missing"),
    ],
    by_sqlite=[
        ("progress", "quel_production_jobs.job_status", "finished", "job_status must be"),
        ("progress", "quel_job_stages.quantity", "many", "stage 0: quantity must be a whole number"),
        ("progress", "quel_job_stages.stage_status", "asleep", "stage 0: stage_status must be"),
        ("snapshot", "quel_production_jobs.total_images", "many", "total_images must be a whole number"),
        ("snapshot", "quel_production_jobs.quel_member_id", "somebody", "quel_member_id must be a UUID"),
        ("snapshot", "quel_production_jobs.created_at", "yesterday", "created_at must be a time"),
        ("snapshot", "quel_job_stages.delivered_images", "some", "stage 0: delivered_images must be a whole number"),
        ("order_source", "quel_production_jobs.quel_member_id", "somebody", "quel_member_id must be a UUID"),
        ("movement", "quel_production_jobs.created_at", "yesterday", "created_at must be a time, not 'yesterday'"),
        ("movement", "quel_job_runs.opened_at", "yesterday", "opened_at must be a time"),
        ("movement", "quel_generation_attempts.started_at", "yesterday", "stage 0, image 0: started_at must be a time"),
    ],
)
async def test_whatever_reads_a_broken_row_names_job_and_column_in_one_line(
    planted: RecordsFixture, method: str, where: str, value: str, reason: str
) -> None:
    job = await planted.opened(None)
    await job.tried(0, Outcome.FAULT)
    table, column = where.split(".")
    plant = f"update {table} set {column} = :value where job_id = :job"
    await planted.tables.plant(plant, value=value, job=str(job.job_id))
    more = {"snapshot": (None, 10), "movement": (EPOCH,)}.get(method, ())
    with pytest.raises(RecordsRefused) as refused:
        await getattr(planted.records, method)(job.job_id, *more)
    assert str(refused.value).startswith(f"job {job.job_id}: its row cannot be read: {reason}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("act", "where"),
    [
        ("open", "quel_job_stages.target"),
        ("close", "quel_production_jobs.total_images"),
        ("begin", "quel_job_stages.delivered_images"),
        ("settle", "quel_production_jobs.unit_price"),
        ("control", "quel_production_jobs.control_version"),
    ],
)
async def test_what_a_job_does_with_a_broken_row_is_refused_and_not_tried_for_ever(act: str, where: str) -> None:
    records = SqliteRecords(":memory:")
    fixture = RecordsFixture(records, SqliteTables(records))
    job = await fixture.opened(await fixture.member())
    await job.make(0)
    table, column = where.split(".")
    await fixture.tables.plant(f"update {table} set {column} = 'many'")
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "open": lambda: job.open(job.named(2)),
        "close": job.close,
        "begin": lambda: job.begin(1),
        "settle": lambda: job.settle(0),
        "control": lambda: job.control(1, paused=True),
    }
    with pytest.raises(RecordsRefused, match=r"^records :memory:: a row cannot be read \(.*\); correct the row$"):
        await acts[act]()
    await records.close()
