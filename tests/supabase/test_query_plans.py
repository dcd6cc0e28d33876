"""No query of the application reads a large table from end to end, and every index serves one of them.

Told by PostgreSQL's own counts of the rows that a call read, with the plans of a server that knows no arguments:
that is how functions in SQL are planned before PostgreSQL 18, and all of them after some calls.
"""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.supabase.catalogs import database, migrate
from tests.support.supabase.project import Project
from tests.support.supabase.tenants import FUNCTIONS

LARGE = {"quel_production_jobs", "quel_attach", "quel_credits", "quel_generation_attempts", "quel_job_runs"}
MOST = 3_000
"""Rows that one call may read of a large table: a page of 1,000 and what is looked up for it."""

# 50,000 rows a table and more; of 5,000 jobs one is pending and one is running, the others have ended, one with 20,000
# images. Of the older ones some were cancelled. One user has 10,000 more, all of before; one running job of 10,000
# images in 20 stages is watched.
FILL = """
create function pg_temp.id(n integer) returns uuid language sql immutable
  return (lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000')::uuid;
insert into quel_member (quel_member_id, quel_member_credit)
  select md5('member' || n)::uuid, 1000000 from generate_series(0, 199) as n;
insert into quel_production_photo (production_id, quel_member_id)
  select md5('production' || n)::uuid, md5('member' || n % 200)::uuid from generate_series(1, 2000) as n;
insert into quel_production_jobs (job_id, job_type, quel_member_id, total_images, current_run_id, unit_price,
  job_input_data, created_at, job_status)
  select pg_temp.id(n), 'x', md5('member' || n % 200)::uuid, 10, 'run-' || n, 20, '{}',
    now() + n * interval '1 ms', case when n % 5000 = 0 then 'pending' when n % 5000 = 1 then 'processing'
      when n % 5 = 2 and n < 25000 then 'cancelled' else 'completed' end
  from generate_series(1, 50000) as n;
insert into quel_production_jobs (job_id, job_type, quel_member_id, created_at, job_status)
  select pg_temp.id(n), 'x', md5('member1')::uuid, now() - interval '1 day' + n * interval '1 ms',
    case when n <= 55000 then 'cancelled' else 'completed' end
  from generate_series(50001, 60000) as n;
insert into quel_job_runs (run_id, job_id, started_at, opened_at, closed_at)
  select 'run-' || n, pg_temp.id(n), now(), now(), case when n % 5000 <> 1 then now() end
  from generate_series(1, 50000) as n;
insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images)
  select pg_temp.id(n), 0, 'label', 'prompt', 10, 10, '1:1', '[]' from generate_series(1, 10001) as n;
insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images)
  select pg_temp.id(45001), n, 'label', 'prompt', 500, 500, '1:1', '[]' from generate_series(0, 19) as n;
insert into quel_job_words (job_id, words)
  select pg_temp.id(n), case when n % 1000 = 0 then 'a rare prompt' else 'a prompt' end
  from generate_series(1, 60000) as n;
insert into quel_books (book_id, base_path, cover_image)
  values (md5('book1')::uuid, 'books/1', 'books/1/images/cover.png');
update quel_production_jobs set book_id = md5('book1')::uuid where job_id = pg_temp.id(5002);
insert into quel_deleted_jobs (job_id, deleted_at) values (pg_temp.id(7), now());
insert into quel_credit_holds (job_id, quel_member_id, amount, released_at)
  select pg_temp.id(n), md5('member' || n % 200)::uuid, 200, case when n % 5000 <> 1 then now() end
  from generate_series(1, 60000) as n;
insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, outcome,
  started_at)
  select pg_temp.id(n), pg_temp.id(n / 10), 0, n % 10, 'run-' || n / 10, 0, 'offline',
    case when n % 10 > 0 then 'generated' end, now() from generate_series(10, 60009) as n;
insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, outcome,
  started_at)
  select md5('watched' || n)::uuid, pg_temp.id(45001), n / 500, n % 500, 'run-45001', 0, 'offline',
    case when n % 100 > 0 then 'generated' end, now() from generate_series(0, 9999) as n;
insert into quel_attach (job_id, stage_index, ordinal, quel_member_id, sha256, attach_file_path, delivered_at)
  select pg_temp.id(n / 10), 0, n % 10, md5('member' || n / 10 % 200)::uuid, md5(n::text), 'path',
    case when n % 10 > 1 then now() end from generate_series(10, 60009) as n;
insert into quel_attach (job_id, stage_index, ordinal, quel_member_id, attach_file_path, delivered_at)
  select pg_temp.id(49999), 0, n, md5('member199')::uuid, 'path', now() from generate_series(1, 20000) as n;
insert into quel_attach (quel_member_id, sha256, attach_file_path)
  select md5('member' || n % 200)::uuid, md5(n::text), 'upload' || n from generate_series(1, 30000) as n;
insert into quel_attach (quel_member_id, sha256, attach_file_path)
  select md5('member198')::uuid, md5('more' || n), 'more' || n from generate_series(1, 5000) as n;
insert into quel_attach (job_id, stage_index, ordinal, attach_file_path, delivered_at)
  select pg_temp.id(45001), n / 500, n % 500, 'path', case when n % 100 > 1 then now() + n * interval '1 ms' end
  from generate_series(0, 9999) as n;
insert into quel_credits (user_id, transaction_type, amount, balance_after, attach_idx, job_id,
  idempotency_key)
  select md5('member' || n % 200)::uuid, 'DEDUCT', -20, 100, n, pg_temp.id(n / 10), 'key-' || n
  from generate_series(1, 60000) as n;
insert into quel_organization (org_id, org_name, org_credit, owner_id)
  select md5('organization' || n)::uuid, 'Acme', 1000000, md5('member1')::uuid from generate_series(0, 9) as n;
insert into quel_organization_member (org_id, member_id)
  select md5('organization' || n % 10)::uuid, md5('member' || n)::uuid from generate_series(0, 199) as n;
insert into quel_credits (user_id, org_id, used_by_member_id, transaction_type, amount, balance_after,
  idempotency_key)
  select md5('member' || n % 200)::uuid, md5('organization' || n % 10)::uuid, md5('member' || n % 200)::uuid, 'DEDUCT',
    -20, 100, 'shared-' || n from generate_series(1, 20000) as n;
analyze;
"""

JOB, MEMBER, WATCHED = "pg_temp.id(5001)", "md5('member1')::uuid", "pg_temp.id(45001)"
ORGANIZATION = "md5('organization1')::uuid"
ORDER = """'{"job_type": "x", "total_images": 1, "unit_price": 20, "max_top_ups": 5, "priority": 3, "stages":
  [{"stage_index": 0, "label": "l", "prompt": "p", "quantity": 1, "target": 1, "aspect_ratio": "1:1",
    "references": []}]}'"""
CONTROL = """'{"version": 1, "paused": false, "cancel_requested": false, "failing": false}'"""
NEW_JOB = """jsonb_build_object('job_id', gen_random_uuid(), 'job_type', 'x', 'document', '{}'::jsonb,
  'total_images', 1, 'priority', 3)"""
REFERENCE = """jsonb_build_object('path', 'upload8', 'original_name', 'n', 'size', 5, 'media_type', 't',
  'user_id', md5('member8'), 'sha256', md5('8'))"""
ONE_OF_MANY = """jsonb_build_object('path', 'more8', 'original_name', 'n', 'size', 5, 'media_type', 't',
  'user_id', md5('member198'), 'sha256', md5('more8'))"""
ATTEMPTS = f"""jsonb_build_array(jsonb_build_object('job_id', {JOB}, 'stage_index', 0, 'ordinal', 11,
  'run_id', 'run-5001', 'call_id', gen_random_uuid(), 'round', 0, 'provider', 'offline', 'attempt', 1,
  'looked', true, 'worker', 'worker', 'taken_at', now()))"""
SOURCES = """jsonb_build_array(jsonb_build_object('call_id', pg_temp.id(50010), 'sha256', 'a', 'c2pa', true))"""
ENDS = """jsonb_build_array(jsonb_build_object('call_id', pg_temp.id(50010), 'outcome', 'missed', 'final', false))"""
FILES = """jsonb_build_array(jsonb_build_object('ordinal', 0, 'call_id', pg_temp.id(50010), 'name', 'b', 'size', 5,
  'sha256', 'sha'))"""

CALLS = [
    f"darkroom_create_job({NEW_JOB})",
    f"darkroom_order_source({JOB})",
    f"darkroom_open_run({JOB}, 'run-5001', now(), false, null, 'offline', null)",
    f"darkroom_open_run({JOB}, 'newer', now() + interval '1 day', false, null, 'offline', null)",
    f"darkroom_open_run(pg_temp.id(50000), 'first', now(), false, {ORDER}, 'offline', null)",
    f"darkroom_take_request({JOB}, 'pause', 'lunch')",
    f"darkroom_withdraw_request({JOB}, 1)",
    f"darkroom_apply_control({JOB}, 'run-5001', {CONTROL})",
    f"darkroom_set_control({JOB}, 'run-5001', {CONTROL})",
    "darkroom_cancel_pending(pg_temp.id(5000), 'changed my mind')",
    "darkroom_offer_providers('hash', '{}', 60)",
    "darkroom_offered_providers()",
    "darkroom_window('key', 60)",
    "darkroom_count_in_window('key', 10, 60, 1)",
    "darkroom_clear_windows('key')",
    "darkroom_take_lease('lease', 'STREAM', 'holder', 4, 30)",
    "darkroom_renew_lease('lease', 'STREAM', 'holder', 30)",
    "darkroom_release_lease('lease')",
    f"darkroom_usage({MEMBER})",
    "darkroom_usage(md5('member199')::uuid)",
    f"darkroom_next_ordinals({JOB}, 0, 500)",
    f"darkroom_begin_attempt({JOB}, 0, 11, 'run-5001', gen_random_uuid(), 0, 'offline', 1, true, 'model', true, "
    "'worker', now())",
    f"darkroom_unsettled_attempts({JOB}, 0, -1, 500, true)",
    f"darkroom_open_calls({JOB}, 0, 60)",
    "darkroom_finish_attempt(pg_temp.id(50010), 'missed', 'reason', false, 1)",
    f"darkroom_attach({JOB}, 0, 0, 'run-5001', pg_temp.id(50010), 1, 'a/b', 5, 'sha')",
    f"darkroom_settle({JOB}, 0, 0, 'run-5001', true)",
    f"darkroom_begin_attempt({JOB}, 0, 11, 'run-5001', gen_random_uuid(), 0, 'gemini', 1, true, 'model', true, "
    """'worker', now(), '{"provider_usd": 50, "call_usd": 0.05, "user_credits": 1000}')""",
    f"darkroom_begin_attempts({ATTEMPTS})",
    f"darkroom_finish_attempts({ENDS})",
    f"darkroom_note_sources({SOURCES})",
    f"darkroom_attach_group({JOB}, 0, 'run-5001', 'a', {FILES})",
    f"darkroom_settle_group({JOB}, 0, 'run-5001', '{{0, 1, 12}}')",
    f"darkroom_refresh({JOB})",
    f"darkroom_stage_counts({JOB}, 0)",
    f"darkroom_delivered_pairs({JOB}, 0, -1, 500)",
    f"darkroom_close_run({JOB}, 'run-5001', 'delivered', null, '[]', true)",
    "darkroom_cancelled_rows(null)",
    f"darkroom_cancelled_rows({JOB})",
    f"darkroom_end_run({JOB}, 'run-5001', 'cancelled', null, '[]', 'user_cancelled', true)",
    "darkroom_cancel_unopened(pg_temp.id(5000), 'changed my mind', 'user_cancelled')",
    f"darkroom_may_remove_leftovers({JOB}, 'run-5001', now())",
    "darkroom_drop_undelivered(pg_temp.id(77), 'run-77', null)",
    "darkroom_release_ended_holds()",
    "darkroom_book(md5('book5')::uuid)",
    "darkroom_ensure_book(gen_random_uuid(), null, 'books/new')",
    f"darkroom_book_of({JOB})",
    f"darkroom_book_pages({JOB})",
    f"darkroom_finish_book({JOB}, 'run-5001', '{{}}', true)",
    "darkroom_statistics((now() + interval '1 day')::date, true)",
    f"darkroom_receipt({JOB})",
    f"darkroom_ending({JOB}, 'run-5000')",
    f"darkroom_ending({JOB}, null)",
    "darkroom_keep_webhook(pg_temp.id(50000), 'https://shop.example/')",
    f"darkroom_progress({JOB}, 2000)",
    f"darkroom_job({JOB})",
    "darkroom_jobs(null, 50)",
    "darkroom_jobs('processing', 50)",
    "darkroom_jobs('completed', 50)",
    "darkroom_jobs('failed', 50)",
    "darkroom_jobs('cancelled', 50)",
    "darkroom_job_page(50, null, null, null, null)",
    "darkroom_list_jobs(50, null, null, null, null)",
    f"darkroom_list_jobs(50, '{{failed,cancelled}}', {MEMBER}, now(), {JOB})",
    "darkroom_find_jobs(50, '{}', null, null)",
    'darkroom_find_jobs(50, \'{"words": ["prompt"]}\', null, null)',
    'darkroom_find_jobs(50, \'{"words": ["rare", "prompt"]}\', null, null)',
    'darkroom_find_jobs(50, \'{"words": ["nowhere"]}\', null, null)',
    'darkroom_find_jobs(50, \'{"statuses": ["short"]}\', null, null)',
    'darkroom_find_jobs(50, \'{"statuses": ["running", "paused"]}\', null, null)',
    f"darkroom_find_jobs(50, jsonb_build_object('user_id', {MEMBER}, 'words', '[\"prompt\"]'::jsonb), null, null)",
    f"darkroom_find_jobs(50, jsonb_build_object('user_id', {MEMBER}), now(), {JOB})",
    'darkroom_find_jobs(50, \'{"since": "2020-01-01", "until": "2020-01-02"}\', null, null)',
    'darkroom_find_rows(50, \'{"statuses": ["short"]}\')',
    f"darkroom_deletion({JOB})",
    "darkroom_begin_delete(pg_temp.id(5002))",
    "darkroom_deleted_files(pg_temp.id(7), 0, 1000)",
    "darkroom_finish_delete(pg_temp.id(7))",
    "darkroom_unfinished_deletes(100)",
    "darkroom_ended_jobs(now(), null, null, 100)",
    f"darkroom_rename_job({JOB}, 'another name')",
    "darkroom_job_page(50, 'failed', null, null, null)",
    "darkroom_job_page(50, 'cancelled', null, null, null)",
    f"darkroom_job_page(50, null, {MEMBER}, null, null)",
    f"darkroom_job_page(50, 'cancelled', {MEMBER}, null, null)",
    f"darkroom_job_page(50, null, null, now(), {JOB})",
    f"darkroom_job_page(50, 'completed', null, now(), {JOB})",
    f"darkroom_job_page(50, null, {MEMBER}, now(), {JOB})",
    f"darkroom_job_page(50, 'cancelled', {MEMBER}, now(), {JOB})",
    f"darkroom_job_page(50, 'completed', {MEMBER}, now(), {JOB})",
    f"darkroom_progress({WATCHED}, -1)",
    f"darkroom_look({WATCHED}, null, null, 500, 500)",
    f"darkroom_look({WATCHED}, now() + interval '5 s', 1, 500, 500)",
    f"darkroom_look({WATCHED}, now() + interval '1 day', 1, 500, 500)",
    f"darkroom_movement({WATCHED}, now() + interval '1 day')",
    "darkroom_recent_calls(now() + interval '1 day')",
    f"darkroom_jobs_beginning(left({JOB}::text, 8), 2)",
    f"darkroom_jobs_beginning({JOB}::text, 2)",
    "darkroom_unfinished_jobs(true, null, null, 200)",
    "darkroom_unfinished_jobs(false, null, null, 200)",
    f"darkroom_unfinished_jobs(true, now() + interval '100 s', {JOB}, 200)",
    f"darkroom_stage({JOB}, 0)",
    f"darkroom_stages({WATCHED})",
    f"darkroom_delivered_images({JOB}, 0, 1000)",
    "darkroom_delivered_images(pg_temp.id(49999), 70000, 500)",
    "darkroom_delivered_pairs(pg_temp.id(49999), 0, 10000, 500)",
    "darkroom_delivered_images(null, 50000, 1000)",
    "darkroom_delivered_images(null, 79900, 1000)",
    "darkroom_ensure_member(gen_random_uuid(), 0)",
    f"darkroom_account({MEMBER})",
    f"darkroom_grant({MEMBER}, 5, 'new key')",
    f"darkroom_journal({MEMBER}, 20)",
    f"darkroom_organization({ORGANIZATION})",
    f"darkroom_organizations({MEMBER})",
    f"darkroom_membership({ORGANIZATION}, {MEMBER})",
    f"darkroom_grant_organization({ORGANIZATION}, 5, 'another new key')",
    f"darkroom_organization_journal({ORGANIZATION}, 20)",
    "darkroom_reference_owners(array[5, 6, 90000])",
    "darkroom_production_owner(md5('production5')::uuid)",
    "darkroom_stored_file(90000)",
    f"darkroom_add_reference({REFERENCE})",
    f"darkroom_add_reference({ONE_OF_MANY})",
    f"darkroom_add_api_key(gen_random_uuid(), {MEMBER}, 'front end', false, 'hash')",
    "darkroom_api_key('hash')",
    "darkroom_api_keys()",
    "darkroom_revoke_api_key(gen_random_uuid())",
    f"darkroom_add_session('session', {MEMBER}, null, now() + interval '1 day', 100)",
    "darkroom_session('session')",
    "darkroom_valid_sign_ins(array['hash', 'session'])",
    "darkroom_end_session('session')",
    "darkroom_state()",
]

INSIDE = {
    "darkroom_api_key_json",
    "darkroom_attach_at_once",
    "darkroom_attach_image",
    "darkroom_begin_first",
    "darkroom_book_json",
    "darkroom_calls_of",
    "darkroom_cannot_pay",
    "darkroom_charge",
    "darkroom_charge_all",
    "darkroom_close_functions",
    "darkroom_costs",
    "darkroom_cover",
    "darkroom_deletion_of",
    "darkroom_deliver",
    "darkroom_earlier_images",
    "darkroom_earlier_stages",
    "darkroom_explain_cancel",
    "darkroom_first_pictures",
    "darkroom_found",
    "darkroom_images_json",
    "darkroom_insert",
    "darkroom_insert_job",
    "darkroom_is_open",
    "darkroom_is_over",
    "darkroom_job_json",
    "darkroom_keep_columns",
    "darkroom_learn_words",
    "darkroom_listed_ids",
    "darkroom_made_by",
    "darkroom_missing",
    "darkroom_newest",
    "darkroom_no_delete",
    "darkroom_not_found",
    "darkroom_note_cancelled_row",
    "darkroom_note_earlier_pictures",
    "darkroom_note_insert",
    "darkroom_note_words",
    "darkroom_nothing_delivered",
    "darkroom_open_organization",
    "darkroom_other_word",
    "darkroom_owner",
    "darkroom_passes",
    "darkroom_path",
    "darkroom_plan",
    "darkroom_reached_ceiling",
    "darkroom_refresh_row",
    "darkroom_refuse_run",
    "darkroom_release_hold",
    "darkroom_row_trails",
    "darkroom_saying",
    "darkroom_set_hold",
    "darkroom_set_opening_balance",
    "darkroom_settle_at_once",
    "darkroom_settle_image",
    "darkroom_share_pictures",
    "darkroom_shorten",
    "darkroom_stage_progress",
    "darkroom_status",
    "darkroom_status_of",
    "darkroom_store_order",
    "darkroom_take_over",
    "darkroom_tally",
    "darkroom_turn_away",
    "darkroom_undelivered",
    "darkroom_update_production",
    "darkroom_word",
    "darkroom_write_word",
}
"""Called by the others; and the audit may read everything."""

OF_A_USER = [
    "select count(*) from (select * from quel_production_jobs order by created_at desc limit 20) as page",
    f"select job_status, completed_images from quel_production_jobs where job_id = {JOB}",
    "select count(*) from quel_attach",
    "select count(*) from (select * from quel_credits order by created_at desc limit 20) as page",
]
"""What front ends read with a user's token: row-level security adds whose rows they are."""

Reads = dict[str, int]


@pytest.fixture(scope="module")
def filled(migrated: Project) -> Iterator[psycopg.Connection]:
    with database(migrated) as db:
        migrate(db)
        db.execute("set synchronous_commit = off")
        db.execute(FILL)
        db.execute("set plan_cache_mode = 'force_generic_plan'")
        yield db


def read(db: psycopg.Connection) -> Reads:
    """Rows that this transaction has read so far, by table; what lies before its begin may be in it."""
    query = "select relname, seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where schemaname = 'public'"
    return dict(db.execute(query).fetchall())


def reads(db: psycopg.Connection, statement: str, *, user: bool = False) -> Reads:
    """The rows of each large table that a statement reads; what it changes is undone."""
    with db.transaction(force_rollback=True):
        before = read(db)
        if user:
            db.execute("set local role authenticated")
            db.execute(
                f"select set_config('request.jwt.claims', jsonb_build_object('sub', {MEMBER})::text, true)".encode()
            )
        db.execute(statement.encode())
        db.execute("reset role")
        return {table: count - before.get(table, 0) for table, count in read(db).items() if table in LARGE}


def test_every_function_is_asked() -> None:
    asked = {call.partition("(")[0] for call in CALLS}
    assert asked | INSIDE | {"darkroom_audit"} == set(FUNCTIONS)
    assert asked & INSIDE == set()


@pytest.mark.slow
def test_a_call_reads_only_what_it_needs(filled: psycopg.Connection) -> None:
    found = {call: reads(filled, f"select public.{call}") for call in CALLS}
    assert too_many(found) == {}


@pytest.mark.slow
def test_a_front_end_reads_only_what_is_the_users(filled: psycopg.Connection) -> None:
    found = {query: reads(filled, query, user=True) for query in OF_A_USER}
    assert all(max(counts.values()) > 0 for counts in found.values())
    assert too_many(found) == {}


def too_many(found: dict[str, Reads]) -> dict[str, Reads]:
    """What reads more of a table than it needs, with what it reads."""
    return {asked: counts for asked, counts in found.items() if max(counts.values(), default=0) > MOST}


# From PostgreSQL 18 on, another index finds a job as well.
NOT_FOR_SPEED = {
    "quel_credits_idempotency_key",
    "quel_credits_pkey",
    "quel_production_jobs_pkey",
    "quel_schema_versions_pkey",
}


@pytest.mark.slow
def test_without_any_one_of_the_indexes_something_reads_more(filled: psycopg.Connection) -> None:
    """The counts see a missing index, and there is none that serves nobody."""
    query = (
        "select indexrelid::regclass::text, indrelid::regclass::text, conname from pg_index"
        " left join pg_constraint on conindid = indexrelid and contype in ('p', 'u')"
        " where indrelid::regclass::text = any (%s) order by 1"
    )
    useless = []
    for index, table, constraint in filled.execute(query, (sorted(LARGE),)).fetchall():
        if index in NOT_FOR_SPEED:
            continue
        with filled.transaction(force_rollback=True):
            drop = f"alter table {table} drop constraint {constraint} cascade" if constraint else f"drop index {index}"
            filled.execute(drop.encode())
            asked = [(f"select public.{call}", False) for call in CALLS] + [(query, True) for query in OF_A_USER]
            if not any(reads_too_much(filled, statement, user=user) for statement, user in asked):
                useless.append(index)
    assert useless == []


def reads_too_much(db: psycopg.Connection, statement: str, *, user: bool) -> bool:
    try:
        return any(count > MOST for count in reads(db, statement, user=user).values())
    except psycopg.errors.InvalidColumnReference:
        return False  # the constraint of an `on conflict` is what was dropped
