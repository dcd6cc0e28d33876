"""What provider calls cost: operators are told, in receipt and statistics, and customers are not."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.costs import Cause, CostOf, Costs
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt, Tally
from darkroom.domain.webhooks import Ending, event_of
from tests.support.stacks.api import ApiStack, running_api

SETTINGS = {"api_host": "0.0.0.0", "credit_usd": Decimal("0.05")}


@pytest.fixture
async def api(temporal: TemporalClient, tmp_path: Path) -> AsyncIterator[ApiStack]:
    async with running_api(temporal, tmp_path, settings=SETTINGS) as running:
        yield running


async def ended(api: ApiStack, headers: dict[str, str]) -> UUID:
    order = {"stages": [{"prompt": "a lemon", "quantity": 2}]}
    answer = await api.http.post("/api/jobs", json=order, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id = UUID(answer.json()["job_id"])
    await api.ended_row(job_id)
    return job_id


async def test_operators_read_the_cost_of_a_job_and_customers_do_not(api: ApiStack) -> None:
    user = uuid4()
    customer = api.as_user(await api.key(user))
    operator = api.as_user(await api.key(uuid4(), operator=True))
    job_id = await ended(api, customer)
    told = (await api.http.get(f"/api/jobs/{job_id}/receipt", headers=operator)).json()
    charged = told["total"]["charged"]
    assert charged > 0
    account = told["total"]["costs"]["account"]
    assert (account["unknown_calls"], account["usd"]) == (2, "0")
    assert Decimal(account["margin_usd"]) == charged * Decimal("0.05")
    seen = (await api.http.get(f"/api/jobs/{job_id}/receipt", headers=customer)).json()
    assert seen["total"]["charged"] == charged
    for place in ("", "/events", "/receipt"):
        said = (await api.http.get(f"/api/jobs/{job_id}{place}", headers=customer)).text
        assert "usd" not in said, place
        assert "cost" not in said, place
    assert (await api.http.get("/api/stats", headers=customer)).status_code == 403


async def test_operators_read_cost_and_margin_by_day(api: ApiStack) -> None:
    operator = api.as_user(await api.key(uuid4(), operator=True))
    await ended(api, api.as_user(await api.key(uuid4())))
    [day] = (await api.http.get("/api/stats", headers=operator)).json()["providers"]
    assert day["costs"]["by_cause"]["delivered"] == {"calls": 2, "usd": "0", "unknown": 2}
    assert Decimal(day["costs"]["account"]["margin_usd"]) == day["credits"] * Decimal("0.05")
    page = (await api.http.get("/stats", headers=operator)).text
    assert "Cost in US dollars" in page
    assert "$2.00" in page


def test_webhooks_do_not_tell_the_cost() -> None:
    tally = Tally(costs=Costs(by_cause={Cause.MISSED: CostOf(calls=1, usd=Decimal(1))}))
    ending = Ending(
        job_id=uuid4(),
        run_id="run",
        user_id=None,
        production_id=None,
        webhook_url=None,
        ended_at=datetime.now(UTC),
        receipt=Receipt(
            job_id=uuid4(),
            job_type="pipeline_stage",
            status=JobStatus.COMPLETED,
            ordered=1,
            delivered=1,
            total=tally,
            last_run=tally,
        ),
    )
    assert "usd" in ending.model_dump_json()
    assert "usd" not in event_of(ending).model_dump_json()
