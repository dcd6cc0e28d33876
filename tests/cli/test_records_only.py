"""What commands answer without a Temporal server, and on a home that is not there."""

import re
from pathlib import Path
from uuid import uuid4

import pytest

from cli.working import run as run_work
from darkroom.domain.jobs import NewJob
from darkroom.domain.names import LOCAL_USER
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run, contents
from tests.support.command_line import app

PROGRAMS = ["worker", "api"]
"""They answer nothing: they write log lines until they are stopped."""
COMMANDS = [one.name for one in app.registered_commands if not one.hidden] + ["credits grant", "credits show"]
NEEDS_A_JOB = ["watch", "status", "receipt", "cancel", "pause", "resume", "restart"]


@pytest.fixture
def pending(home: Path) -> str:
    """A job that no server has heard of."""
    job_id = uuid4()

    async def store() -> None:
        records = SqliteRecords(home / "records.db")
        await records.ensure_member(LOCAL_USER, 1_000)
        document = {"stages": [{"prompt": "x", "quantity": 3}]}
        new = NewJob(
            job_id=job_id,
            job_type="pipeline_stage",
            user_id=LOCAL_USER,
            production_id=None,
            document=document,
            total_images=3,
            priority=3,
        )
        assert await records.create_job(new)
        await records.close()

    run_work(store())
    return str(job_id)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, home: Path, command: str) -> None:
    ended = run(*command.split(), "--help")
    assert ended.status == 0
    assert f"Example  darkroom {command}" in ended.out
    assert "Exit status" in ended.out
    assert ("--json" in ended.out) == (command not in PROGRAMS)


@pytest.mark.parametrize("command", NEEDS_A_JOB)
def test_a_job_on_a_home_that_is_not_there_is_not_found(run: Run, home: Path, command: str) -> None:
    ended = run(command, str(uuid4()))
    assert (ended.status, ended.out) == (4, "")
    assert "no records in" in ended.error
    assert not home.exists()


@pytest.mark.parametrize(
    ("command", "document"), [("list", []), ("audit", {"findings": [], "pictures": 0})], ids=["list", "audit"]
)
def test_nothing_yet_is_no_error(run: Run, home: Path, command: str, document: object) -> None:
    assert "no records in" in run(command).out
    ended = run(command, "--json")
    assert (ended.status, ended.document) == (0, document)
    assert not home.exists()


@pytest.mark.parametrize("command", NEEDS_A_JOB)
def test_an_unknown_job_is_not_found(run: Run, home: Path, pending: str, command: str) -> None:
    assert run(command, str(uuid4())).status == 4
    assert run(command, "nonsense").status == 2
    assert run(command, "000000").status == 4


def test_a_job_is_known_by_the_beginning_of_its_id(run: Run, home: Path, pending: str) -> None:
    for given in (pending, pending[:6], pending[:12].upper()):
        ended = run("status", given, "--json")
        assert ended.status == 0
        assert ended.document["job_id"] == pending
        assert ended.document["source"] == "records"
    assert run("status", pending[:5]).status == 2


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "restart"])
def test_steering_needs_a_server_and_changes_nothing_without(run: Run, home: Path, pending: str, command: str) -> None:
    before = contents(home)
    ended = run(command, pending)
    assert ended.status == 3
    assert "no Temporal server" in ended.error
    assert contents(home) == before


def test_a_receipt_comes_at_the_end(run: Run, home: Path, pending: str) -> None:
    ended = run("receipt", pending)
    assert ended.status == 5
    assert "its receipt is available when it ends" in ended.error


def test_a_pending_job_has_no_pictures_to_download(run: Run, home: Path, pending: str, tmp_path: Path) -> None:
    ended = run("download", pending, tmp_path / "pictures", "--json")
    assert ended.status == 0
    assert ended.document["written"] == 0
    (tmp_path / "a file").touch()
    assert "DIR: " in run("download", pending, tmp_path / "a file").error


def test_lists_can_be_narrowed(run: Run, home: Path, pending: str) -> None:
    assert [job["job_id"] for job in run("list", "--json", "--status", "pending").document] == [pending]
    assert run("list", "--json", "--status", "failed").document == []
    assert run("list", "--status", "melting").status == 2
    assert pending in run("list").out


def test_a_grant_with_a_key_counts_once(run: Run, home: Path) -> None:
    user = str(uuid4())
    assert run("credits", "show", user).status == 4
    for _ in range(2):
        assert run("credits", "grant", user, "500", "--key", "invoice-17", "--json").document["balance"] == 500
    assert run("credits", "grant", user, "1", "--json").document["balance"] == 501
    shown = run("credits", "show", user, "--json").document
    assert (shown["balance"], shown["available"], [row["amount"] for row in shown["journal"]]) == (501, 501, [1, 500])
    assert run("credits", "grant", user, "0").status == 2
    assert run("credits", "grant", "somebody", "5").status == 2


def test_a_setting_that_is_wrong_is_one_line(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE_CONCURRENCY", "none at all")
    for command in (["list"], ["demo"], ["up"], ["submit", "order.json"]):
        ended = run(*command)
        assert ended.status == 2
        assert re.match(r"STAGE_CONCURRENCY=none at all: ", ended.error)
    assert not home.exists()


def test_a_word_that_is_no_command_is_one_line(run: Run, home: Path) -> None:
    assert (run("develop").status, run("list", "--colour").status) == (2, 2)
    assert "No such command 'develop'" in run("develop").error
