"""What organizations have and pay, on the command line."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from cli.working import run as run_work
from darkroom.domain.names import LOCAL_USER
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run
from tests.support.records.fixture import RecordsFixture
from tests.support.records.organizations import organization, set_membership, set_organization
from tests.support.records.tables import SqliteTables

ORG = UUID("99999999-2222-4333-8444-555555555555")


def changed(home: Path, change: Callable[[RecordsFixture], Coroutine[Any, Any, object]]) -> None:
    """Change the records of a home as another program would."""

    async def work() -> None:
        records = SqliteRecords(home / "records.db")
        await change(RecordsFixture(records, SqliteTables(records)))
        await records.close()

    run_work(work())


@pytest.fixture
def acme(settled: Path) -> Path:
    """A home whose local user is a member of an organization with 500 credits."""
    changed(settled, lambda records: organization(records, 500, [LOCAL_USER], ORG))
    return settled


@pytest.fixture
def order(tmp_path: Path) -> Path:
    file = tmp_path / "order.yaml"
    file.write_text("stages:\n- {prompt: a lemon, quantity: 3}\n")
    return file


def test_credits_are_granted_to_an_organization_once_per_key_and_shown(acme: Path, run: Run) -> None:
    for _ in range(2):
        told = run("credits", "grant", "--org", ORG, "90", "--key", "invoice-17", "--json")
        assert told.status == 0, told.err
        assert (told.document["org_id"], told.document["balance"], told.document["available"]) == (str(ORG), 590, 590)
    shown = run("credits", "show", "--org", ORG, "--json").document
    assert (shown["name"], shown["status"], shown["balance"]) == ("Acme", "active", 590)
    [row] = shown["journal"]
    assert (row["transaction_type"], row["amount"], row["org_id"]) == ("GRANT", 90, str(ORG))
    assert run("credits", "show", "--json").document["balance"] == 1_000
    table = run("credits", "show", ORG, "--org").out
    assert "Acme (active)" in table
    assert "590" in table


@pytest.mark.parametrize("command", [("show", "--org"), ("grant", "--org")])
def test_an_organization_that_does_not_exist_is_not_found(acme: Path, run: Run, command: tuple[str, str]) -> None:
    missing = uuid4()
    told = run("credits", *command, missing, *(["5"] if command[0] == "grant" else []))
    assert (told.status, told.error) == (4, f"organization {missing} does not exist; check its UUID")
    told = run("credits", *command, "acme", *(["5"] if command[0] == "grant" else []))
    assert (told.status, told.error) == (2, "ORG: 'acme' is not a UUID")


def test_an_order_is_paid_by_the_organization_that_is_named(acme: Path, run: Run, order: Path) -> None:
    told = run("submit", order, "--org", ORG, "--json")
    assert told.status == 0, told.err

    async def check(records: RecordsFixture) -> None:
        job = await records.records.job(UUID(told.document["job_id"]))
        assert job is not None
        assert (job.user_id, job.org_id) == (LOCAL_USER, ORG)

    changed(acme, check)


def test_an_organization_that_does_not_pay_is_one_line_and_nothing_is_stored(acme: Path, run: Run, order: Path) -> None:
    changed(acme, lambda records: set_organization(records, ORG, "suspended"))
    told = run("submit", order, "--org", ORG)
    assert (told.status, told.error) == (
        2,
        f"org_id: organization {ORG} is suspended and cannot pay; ask its owner to reactivate it",
    )
    changed(acme, lambda records: set_membership(records, ORG, LOCAL_USER, "left"))
    told = run("submit", order, "--org", ORG)
    assert told.status == 2
    assert told.error.startswith(f"org_id: user {LOCAL_USER} is not an active member of organization {ORG}")
    told = run("submit", order, "--org", ORG, "--anonymous")
    assert (told.status, told.error) == (
        2,
        "org_id: an organization pays only for its members; set the user, or leave it out",
    )
    told = run("submit", order, "--org", "acme")
    assert (told.status, told.error) == (2, "--org: 'acme' is not a UUID")
    assert run("list", "--json").document == []


def test_an_organization_whose_balance_does_not_cover_the_order_is_refused(
    acme: Path, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(f"org_id: {ORG}\nstages:\n- {{prompt: a lemon, quantity: 26}}\n")
    told = run("submit", file)
    assert told.status == 5
    assert told.error.startswith("insufficient credits: need 520, available 500")
