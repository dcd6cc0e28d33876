"""The command line checks an order once: what a submission reads and writes, to the call."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Run
from tests.support.counted_calls import counted_calls

ORDER = {"stages": [{"prompt": "a lemon", "quantity": 2}]}


@pytest.fixture
def order(connected: Path, tmp_path: Path) -> Path:
    """An order on a home where there is a Temporal server and nothing else yet."""
    file = tmp_path / "order.json"
    file.write_text(json.dumps(ORDER))
    return file


def test_the_first_order_opens_the_account_of_the_local_user(
    run: Run, order: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_calls(monkeypatch)
    assert run("submit", order).status == 0
    assert counts == {"read_order": 1, "offered_providers": 1, "account": 1, "ensure_member": 1, "create_job": 1}


def test_a_later_order_reads_the_account_once_and_no_row(
    run: Run, order: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("submit", order).status == 0
    counts = counted_calls(monkeypatch)
    assert run("submit", order).status == 0
    assert counts == {"read_order": 1, "offered_providers": 1, "account": 1, "create_job": 1}


def test_an_id_of_ones_own_is_looked_for_and_found_without_a_check(
    run: Run, order: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("submit", order).status == 0
    counts = counted_calls(monkeypatch)
    job_id = str(uuid4())
    assert run("submit", order, "--job-id", job_id).status == 0
    assert counts == {"read_order": 1, "offered_providers": 1, "account": 1, "job": 1, "create_job": 1}
    counts.clear()
    order.write_text("{}")
    again = run("submit", order, "--job-id", job_id, "--json")
    assert (again.status, again.document["found"]) == (0, True)
    assert counts == {"job": 1}


def test_a_wrong_order_is_read_once_and_nothing_is_written(
    run: Run, order: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.write_text(json.dumps({"stages": [{"prompt": "a lemon", "quantity": 0}]}))
    counts = counted_calls(monkeypatch)
    assert run("submit", order).status == 2
    assert counts == {"read_order": 1}
