"""The API checks an order once: what a request reads and writes, to the call."""

from uuid import uuid4

import pytest

from tests.support.counted_calls import counted_calls
from tests.support.stacks.api import ApiStack

LEMON = {"stages": [{"prompt": "a lemon", "quantity": 2}]}


async def test_a_new_order_reads_the_account_once_and_no_row(quiet: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counted_calls(monkeypatch)
    answer = await quiet.http.post("/api/jobs", json=LEMON)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert counts == {"read_order": 1, "account": 1, "create_job": 1}


async def test_a_key_is_looked_for_and_found_without_a_check(quiet: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    counts = counted_calls(monkeypatch)
    assert (await quiet.http.post("/api/jobs", json=LEMON, headers=headers)).status_code == 202
    assert counts == {"read_order": 1, "account": 1, "job": 1, "create_job": 1}
    counts.clear()
    again = await quiet.http.post("/api/jobs", json=LEMON, headers=headers)
    assert (again.status_code, again.json()["found"]) == (202, True)
    assert counts == {"job": 2, "order_source": 1}  # the second look is what the answer says


async def test_a_quote_reads_the_account_once_and_writes_nothing(
    quiet: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_calls(monkeypatch)
    assert (await quiet.http.post("/api/jobs/quote", json=LEMON)).json()["available"] == 100_000
    assert counts == {"read_order": 1, "account": 1}


async def test_an_order_that_the_balance_does_not_cover_writes_nothing(
    quiet: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_calls(monkeypatch)
    answer = await quiet.http.post("/api/jobs", json={"stages": [{"prompt": "a", "quantity": 5001}]})
    assert answer.status_code == 402
    assert counts == {"read_order": 1, "account": 1}
