"""Several processes on one SQLite file, and processes that die: the invariants hold (spec §4)."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from darkroom.domain.errors import RecordsUnavailable
from darkroom.domain.progress import JobStatus
from darkroom.proof.invariants import broken
from darkroom.proof.read_only import NotSupported, unwritable
from darkroom.proof.tables import dump_file
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.organizations import organization, organization_account, spend_of_organization
from tests.support.records.tables import SqliteTables

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
async def fixture(path: Path) -> AsyncIterator[RecordsFixture]:
    records = SqliteRecords(path)
    yield RecordsFixture(records, SqliteTables(records))
    await records.close()


@contextmanager
def process(path: Path, job: Job, first: int, last: int, together: int = 1) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(path), str(job.job_id), job.run, str(first), str(last), str(together)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.records.settling_process", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def read(running: subprocess.Popen[str], lines: int | None = None) -> list[str]:
    """What the process says next: so many lines, or all until it ends."""
    assert running.stdout is not None
    if lines is None:
        return running.stdout.read().splitlines()
    return [line.rstrip() for line in (running.stdout.readline() for _ in range(lines)) if line]


@pytest.mark.parametrize("groups", [(1, 1, 1), (7, 16, 50)], ids=["alone", "in groups"])
async def test_processes_that_settle_at_once_never_meet_a_locked_file(
    fixture: RecordsFixture, path: Path, groups: tuple[int, int, int]
) -> None:
    user_id = await fixture.member(100_000)
    job = await fixture.opened(user_id, (120,))
    # Each picture is delivered by two processes: whoever comes second finds it settled.
    ranges = ((0, 80), (40, 120), (0, 120))
    with (
        process(path, job, *ranges[0], groups[0]) as one,
        process(path, job, *ranges[1], groups[1]) as two,
        process(path, job, *ranges[2], groups[2]) as three,
    ):
        ended = [running.communicate(timeout=60) for running in (one, two, three)]
        assert [running.returncode for running in (one, two, three)] == [0, 0, 0], ended
    said = Counter(line.split()[1] for out, _ in ended for line in out.splitlines())
    assert said == {"settled": 280}
    assert broken(dump_file(path)) == []
    assert (await fixture.account(user_id)).balance == 100_000 - 120 * 20
    receipt = await job.close()
    assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.COMPLETED, 120, 2_400)
    assert broken(dump_file(path)) == []
    assert list(await fixture.records.audit()) == []


@pytest.mark.parametrize("shared", [False, True], ids=["a member's", "an organization's"])
@pytest.mark.parametrize("together", [1, 8], ids=["alone", "in groups"])
async def test_processes_that_share_a_short_balance_charge_what_there_was(
    fixture: RecordsFixture, path: Path, together: int, shared: bool
) -> None:
    user_id = await fixture.member(1_200)
    org_id = await organization(fixture, 1_200, [user_id]) if shared else None
    job = await fixture.opened(user_id, (60,), org_id=org_id)
    if org_id is None:
        await fixture.spend(user_id, 1_200 - 17 * 20)
    else:
        await spend_of_organization(fixture, org_id, 1_200 - 17 * 20)
    with process(path, job, 0, 30, together) as one, process(path, job, 30, 60, together) as two:
        ended = [running.communicate(timeout=60) for running in (one, two)]
    said = Counter(line.split()[1] for out, _ in ended for line in out.splitlines())
    assert said == {"settled": 17, "insufficient": 43}, ended
    assert (await fixture.account(user_id)).balance == (1_200 if shared else 0)
    if org_id is not None:
        assert (await organization_account(fixture, org_id)).balance == 0
    assert broken(dump_file(path)) == []


def test_processes_that_start_at_once_on_a_new_file_make_one_schema(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys, uuid; from darkroom.records.sqlite import SqliteRecords\n"
        "async def main():\n"
        "    records = SqliteRecords(sys.argv[1]); await records.ensure_member(uuid.uuid4(), 5)\n"
        "    await records.jobs(None, 1); await records.close()\n"
        "asyncio.run(main())"
    )
    path = tmp_path / "new" / "records.db"
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ended = [one.communicate(timeout=60)[1] for one in running]
    assert [one.returncode for one in running] == [0] * 4, ended
    assert len(dump_file(path)["quel_member"]) == 4


@pytest.mark.parametrize(
    ("together", "shared"),
    [
        pytest.param(1, False, id="alone, a member's"),
        pytest.param(1, True, id="alone, an organization's", marks=pytest.mark.slow),
        pytest.param(9, False, id="in groups, a member's", marks=pytest.mark.slow),
        pytest.param(9, True, id="in groups, an organization's"),
    ],
)
async def test_a_process_killed_anywhere_leaves_every_invariant_whole(
    fixture: RecordsFixture, path: Path, together: int, shared: bool
) -> None:
    user_id = await fixture.member(100_000)
    org_id = await organization(fixture, 100_000, [user_id]) if shared else None
    job = await fixture.opened(user_id, (400,), org_id=org_id)
    chance = random.Random(20261101)
    acknowledged: set[str] = set()
    for _ in range(6):
        with process(path, job, 0, 400, together) as running:
            acknowledged |= set(read(running, chance.randrange(1, 60)))
            running.kill()
            acknowledged |= {line for line in read(running) if line.endswith("settled")}
        dump = dump_file(path)
        assert broken(dump) == []
        settled = {f"{row['ordinal']} settled" for row in dump["quel_attach"] if row["delivered_at"]}
        assert acknowledged <= settled
    assert list(await fixture.records.audit()) == []
    with process(path, job, 0, 400, together) as running:
        assert len(read(running)) == 400
        running.wait(timeout=60)
    receipt = await job.close()
    assert (receipt.delivered, receipt.total.charged) == (400, 8_000)
    assert (await fixture.account(user_id)).balance == (100_000 if shared else 92_000)
    if org_id is not None:
        assert (await organization_account(fixture, org_id)).balance == 92_000
    assert broken(dump_file(path)) == []


async def test_a_process_killed_among_others_takes_nothing_from_them(fixture: RecordsFixture, path: Path) -> None:
    job = await fixture.opened(await fixture.member(100_000), (200,))
    with process(path, job, 0, 100) as killed, process(path, job, 100, 200) as other:
        read(killed, 10)
        killed.kill()
        out, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors
    assert len(out.splitlines()) == 100
    assert broken(dump_file(path)) == []
    assert 110 <= (await fixture.records.stage_counts(job.job_id, 0)).delivered < 200


async def test_records_opened_while_they_were_read_only_take_changes_once_they_are_not(path: Path) -> None:
    """A worker that was started on a volume that is read-only for a while must not need another start."""
    made = SqliteRecords(path)
    user_id = uuid4()
    await made.ensure_member(user_id, 100)
    await made.close()
    late = SqliteRecords(path)
    try:
        with unwritable(path), pytest.raises(RecordsUnavailable):
            await late.grant(user_id, 20, "a gift")
        account = await late.grant(user_id, 20, "a gift")
    except NotSupported as reason:
        pytest.skip(str(reason))
    finally:
        await late.close()
    assert account.balance == 120
