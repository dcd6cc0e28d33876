"""A provider that is set up wrong: operators read which setting to change, and customers that it is not for them."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.customers_words import DRAWING
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.api import ApiStack, lines_of, parsed, running_api

SETTING = "GEMINI_API_KEY"
PLACES = ("", "/events", "/receipt")


@pytest.fixture
async def wrong(temporal: TemporalClient, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """A deployment whose provider has no valid key."""
    provider = ScriptedProvider({(0, 0): [Act.STOP] * 9})
    async with running_api(temporal, tmp_path, provider=provider, settings={"api_host": "0.0.0.0"}) as running:
        yield running


async def failed(api: ApiStack, headers: dict[str, str]) -> UUID:
    """A customer's job that has failed for it."""
    order = {"stages": [{"prompt": "a lemon", "quantity": 2}]}
    answer = await api.http.post("/api/jobs", json=order, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id = UUID(answer.json()["job_id"])
    await api.ended_row(job_id)
    return job_id


async def everything_said(api: ApiStack, job_id: UUID, headers: dict[str, str]) -> dict[str, str]:
    """What is read of the job, by where."""
    paths = [f"/api/jobs/{job_id}{place}" for place in PLACES] + ["/api/jobs", f"/jobs/{job_id}", "/jobs"]
    return {path: (await api.http.get(path, headers=headers)).text for path in paths}


async def test_a_setting_is_named_to_operators_and_to_no_customer(wrong: ApiStack) -> None:
    customer = wrong.as_user(await wrong.key(uuid4()))
    operator = wrong.as_user(await wrong.key(uuid4(), operator=True))
    job_id = await failed(wrong, customer)
    for path, said in (await everything_said(wrong, job_id, customer)).items():
        assert DRAWING in said, path
        assert SETTING not in said, path
    for path, said in (await everything_said(wrong, job_id, operator)).items():
        assert SETTING in said, path
        assert DRAWING not in said, path
    row = await wrong.parts.records.job(job_id)
    assert row is not None
    assert SETTING in (row.error_message or ""), "what is stored is the operator's"


async def test_an_operator_and_a_customer_who_follow_one_job_read_their_own_words(wrong: ApiStack) -> None:
    """They share a reading of the records."""
    customer = wrong.as_user(await wrong.key(uuid4()))
    operator = wrong.as_user(await wrong.key(uuid4(), operator=True))
    job_id = await failed(wrong, customer)
    for headers, said, other in ((operator, SETTING, DRAWING), (customer, DRAWING, SETTING)) * 2:
        async with wrong.http.stream("GET", f"/api/jobs/{job_id}/events", headers=headers) as answer:
            told = {event.name: str(event.data) async for event in parsed(lines_of(answer))}
        for name in ("progress", "stage", "end"):
            assert said in told[name], (name, told[name])
            assert other not in told[name], (name, told[name])
