"""A large job among small ones is closed at once, though the planner has not heard of its size yet."""

import pytest

from tests.supabase.project import Project

pytestmark = pytest.mark.xdist_group("supabase")

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
    "insert into quel_credits (quel_member_id, transaction_type, amount, balance_after, attach_idx, job_id,"
    " idempotency_key) select gen_random_uuid(), 'DEDUCT', -20, 0, attach_id, job_id,"
    " job_id || '/' || stage_index || '/' || ordinal from quel_attach as image"
    " where not exists (select from quel_credits as known where known.job_id = image.job_id)",
)


def test_a_large_job_is_counted_before_the_planner_has_heard_of_it(project: Project) -> None:
    with project.connect() as database:
        # Nobody counts the rows behind the test's back.
        for table in ("quel_generation_attempts", "quel_attach", "quel_credits"):
            database.execute(f"alter table {table} set (autovacuum_enabled = false)".encode())
        try:
            for statement in (*SMALL, *PICTURES, "analyze", *LARGE, *PICTURES):
                database.execute(statement.encode())
            # Supabase gives a function 8 s; each picture held against each charge took minutes.
            database.execute("set statement_timeout = '8s'")
            tally = database.execute("select darkroom_tally(md5('large')::uuid, null)").fetchone()
            found = database.execute("select darkroom_statistics(current_date)").fetchone()
        finally:
            for table in ("quel_generation_attempts", "quel_attach", "quel_credits"):
                database.execute(f"alter table {table} reset (autovacuum_enabled)".encode())
    assert tally is not None
    assert found is not None
    assert (tally[0]["delivered"], tally[0]["charged"]) == (30_000, 600_000)
    assert tally[0]["made_by"] == [{"provider": "gemini", "calls": 30_000, "delivered": 30_000}]
    assert sum(day["credits"] for day in found[0]["providers"]) == 20 * (30_000 + 100 * 400)
