"""A large job among small ones is closed and looked at quickly, though the planner has not heard of its size yet."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.supabase.project import Project

SMALL = (
    "insert into quel_production_jobs (job_id, job_status, job_input_data)"
    " select md5('small ' || j)::uuid, 'completed', '{}' from generate_series(1, 100) as j",
    "insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, outcome,"
    " started_at) select gen_random_uuid(), md5('small ' || j)::uuid, 0, n, 'run', 0, 'gemini', 'generated', now()"
    " from generate_series(1, 100) as j, generate_series(0, 399) as n",
)
LARGE = (
    "insert into quel_production_jobs (job_id, job_status, job_input_data)"
    " values (md5('large')::uuid, 'completed', '{}')",
    "insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, outcome,"
    " started_at) select gen_random_uuid(), md5('large')::uuid, 0, n, 'run', 0, 'gemini', 'generated', now()"
    " from generate_series(0, 29999) as n",
)
PICTURES = (
    "insert into quel_attach (attach_original_name, attach_file_name, attach_file_path, attach_file_size,"
    " attach_file_type, attach_directory, attach_storage_type, job_id, stage_index, ordinal, delivered_at)"
    " select 'a', 'a', 'a', 1, 'a', 'a', 'a', job_id, stage_index, ordinal, now()"
    " from quel_generation_attempts as call where not exists (select from quel_attach as known"
    " where known.job_id = call.job_id)",
    "insert into quel_credits (user_id, transaction_type, amount, balance_after, attach_idx, job_id,"
    " idempotency_key) select gen_random_uuid(), 'DEDUCT', -20, 0, attach_id, job_id,"
    " job_id || '/' || stage_index || '/' || ordinal from quel_attach as image"
    " where not exists (select from quel_credits as known where known.job_id = image.job_id)",
)


UNCOUNTED = ("quel_generation_attempts", "quel_attach", "quel_credits")


@pytest.fixture(scope="module")
def filled(migrated: Project) -> Iterator[psycopg.Connection]:
    """Nobody counts rows behind the tests' back; no call takes longer than the 8 s that Supabase gives a function."""
    migrated.reset()
    with migrated.connect() as database:
        for table in UNCOUNTED:
            database.execute(f"alter table {table} set (autovacuum_enabled = false)".encode())
        try:
            for statement in (*SMALL, *PICTURES, "analyze", *LARGE, *PICTURES):
                database.execute(statement.encode())
            database.execute("set statement_timeout = '8s'")
            yield database
        finally:
            for table in UNCOUNTED:
                database.execute(f"alter table {table} reset (autovacuum_enabled)".encode())


@pytest.fixture
def uncounted(filled: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The same for every test: what one changes is rolled back."""
    with filled.transaction(force_rollback=True):
        yield filled


def test_a_large_job_is_counted_before_the_planner_has_heard_of_it(uncounted: psycopg.Connection) -> None:
    # Each picture held against each charge took minutes.
    tally = uncounted.execute("select darkroom_tally(md5('large')::uuid, null, true)").fetchone()
    found = uncounted.execute("select darkroom_statistics(current_date, true)").fetchone()
    assert tally is not None
    assert found is not None
    assert (tally[0]["delivered"], tally[0]["charged"]) == (30_000, 600_000)
    assert tally[0]["made_by"] == [{"provider": "gemini", "calls": 30_000, "delivered": 30_000}]
    assert sum(day["credits"] for day in found[0]["providers"]) == 20 * (30_000 + 100 * 400)


STAGES = (
    "insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images)"
    " select md5('large')::uuid, n, 'label', 'prompt', 500, 500, '1:1', '[]' from generate_series(0, 59) as n",
    "update quel_generation_attempts set stage_index = ordinal / 500, ordinal = ordinal % 500,"
    " outcome = case when ordinal % 50 = 0 then 'missed' else 'generated' end where job_id = md5('large')::uuid",
    "update quel_attach set stage_index = ordinal / 500, ordinal = ordinal % 500,"
    " delivered_at = case when ordinal % 50 > 1 then delivered_at end where job_id = md5('large')::uuid",
    "update quel_production_jobs set job_status = 'processing', current_run_id = 'run',"
    " generated_attach_ids = (select jsonb_agg(attach_id) from quel_attach where job_id = md5('large')::uuid"
    " and delivered_at is not null) where job_id = md5('large')::uuid",
)


def read(database: psycopg.Connection) -> int:
    """Rows of calls and pictures that this transaction has read so far."""
    query = "select sum(seq_tup_read + idx_tup_fetch) from pg_stat_xact_user_tables where relname = any (%s)"
    found = database.execute(query, (list(UNCOUNTED),)).fetchone()
    assert found is not None
    return int(found[0])


def test_a_large_job_is_looked_at_by_what_is_new_of_it_before_the_planner_has_heard_of_it(
    uncounted: psycopg.Connection,
) -> None:
    for statement in STAGES:
        uncounted.execute(statement.encode())
    before = read(uncounted)
    snapshot = uncounted.execute("select darkroom_look(md5('large')::uuid, now(), 0, 500, 500)").fetchone()
    rows = read(uncounted) - before
    assert snapshot is not None
    # Half of what has no picture was missed, half waits to be settled.
    states = [one["state"] for one in snapshot[0]["undelivered"]]
    assert (states.count("missed"), states.count("making")) == (600, 600)
    assert rows < 10_000


WAITING = (
    "insert into quel_member (quel_member_id, quel_member_credit) values (md5('member')::uuid, 100000)",
    "insert into quel_job_runs (run_id, job_id, started_at, opened_at)"
    " values ('run', md5('large')::uuid, now(), now())",
    "insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images,"
    " delivered_images) values (md5('large')::uuid, 0, 'label', 'prompt', 30000, 30000, '1:1', '[]', 29900)",
    "update quel_attach set delivered_at = null where job_id = md5('large')::uuid and ordinal >= 29900",
    "delete from quel_credits where idempotency_key like md5('large')::uuid || '%'",
    "insert into quel_credit_holds (job_id, quel_member_id, amount)"
    " values (md5('large')::uuid, md5('member')::uuid, 2000)",
    "update quel_production_jobs set job_status = 'processing', current_run_id = 'run', unit_price = 20,"
    " quel_member_id = md5('member')::uuid, refreshed_at = now() where job_id = md5('large')::uuid",
)


def test_what_a_settlement_reads_does_not_grow_with_what_is_delivered(uncounted: psycopg.Connection) -> None:
    group = "select darkroom_settle_group(md5('large')::uuid, 0, 'run', array(select generate_series(29900, 29949)))"
    for statement in WAITING:
        uncounted.execute(statement.encode())
    before = read(uncounted)
    answers = uncounted.execute(group.encode()).fetchone()
    rows = read(uncounted) - before
    assert answers is not None
    assert {(one["settlement"], one["row_trails"], len(one["call_ids"])) for one in answers[0]} == {
        ("settled", True, 1)
    }
    assert rows < 10 * 50


def test_a_list_of_jobs_carries_no_long_lists_of_ids(uncounted: psycopg.Connection) -> None:
    for statement in STAGES:
        uncounted.execute(statement.encode())
    page = uncounted.execute(
        "select darkroom_job_page(1, 'processing', null, null, null), length(generated_attach_ids::text),"
        " length(darkroom_job_page(1, 'processing', null, null, null)::text)"
        " from quel_production_jobs where job_status = 'processing'"
    ).fetchone()
    assert page is not None
    [line], whole, sent = page
    assert len(line["first_attach_ids"]) == 6
    assert sent < 1_000 < whole
