"""The judge can say "in": to an operator, to the victim, and to whoever changes something."""

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.attacks.judging import Judge, Try, Who
from tests.attacks.wire import Answer, Ask, exchange, sending, uploading
from tests.attacks.world import MAGENTA, World, asked, picture

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

Made = Callable[[World], Ask]


async def _sentence(world: World, judge: Judge, ask: Ask, who: Who = Who.TENANT) -> str | None:
    judge.look_again()
    return judge.sentence(Try("self-test", "", ask, who, also_in=None), await exchange(world.api.url, ask, 5))


READS: dict[str, Made] = {
    "an operator's job": lambda world: Ask(
        "GET", f"/api/jobs/{world.victim.jobs['completed']}/order", [world.operator.bearer]
    ),
    "an operator's list": lambda world: Ask("GET", "/api/jobs?limit=200", [world.operator.bearer]),
    "an operator's page": lambda world: Ask("GET", f"/jobs/{world.victim.jobs['completed']}", [world.operator.bearer]),
    "an operator's archive": lambda world: Ask(
        "GET", f"/api/jobs/{world.victim.jobs['completed']}/archive.zip", [world.operator.bearer]
    ),
    "an operator's stream": lambda world: Ask(
        "GET", f"/api/jobs/{world.victim.jobs['paused']}/events", [world.operator.bearer]
    ),
    "a signed picture": lambda world: Ask("GET", world.victim.signed),
    "a signed thumbnail": lambda world: Ask("GET", world.api.services.addresses.thumbnail(world.victim.pictures[0])),
    "the victim's own order": lambda world: Ask(
        "GET", f"/api/jobs/{world.victim.jobs['paused']}/order", [world.victim.token]
    ),
    "the victim's session": lambda world: Ask("GET", f"/jobs/{world.victim.jobs['cancelled']}", [world.victim.cookie]),
}


@pytest.mark.parametrize("name", READS)
async def test_who_may_read_does_get_in(name: str, world: World, judge: Judge) -> None:
    sentence = await _sentence(world, judge, READS[name](world))
    assert sentence is not None
    assert sentence.startswith("reads the victim's"), sentence


async def test_who_may_not_does_not(world: World, judge: Judge) -> None:
    for headers in ((), (world.attacker.bearer,)):
        for target in (
            f"/api/jobs/{world.victim.jobs['completed']}/order",
            "/api/jobs",
            f"/jobs/{world.victim.jobs['paused']}",
        ):
            assert await _sentence(world, judge, Ask("GET", target, headers)) is None
    own = Ask("GET", f"/api/jobs/{world.own_job}/archive.zip", [world.attacker.bearer])
    assert await _sentence(world, judge, own) is None
    assert (await exchange(world.api.url, own)).kind == "application/zip"


@pytest.mark.parametrize(("standing", "action"), [("paused", "pause"), ("pending", "cancel")])
async def test_a_request_that_is_obeyed_has_changed_something(
    standing: str, action: str, world: World, judge: Judge
) -> None:
    target = f"/api/jobs/{world.victim.jobs[standing]}/{action}"
    ask = sending("POST", target, {"reason": "x"}, world.operator.bearer)
    sentence = await _sentence(world, judge, ask)
    assert sentence is not None
    assert sentence.startswith("changed quel_")


async def test_an_order_moves_somebodys_money(world: World, judge: Judge) -> None:
    document = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
    order = sending("POST", "/api/jobs", document, world.victim.bearer, ("Idempotency-Key", "the judge's"))
    sentence = await _sentence(world, judge, order)
    assert sentence is not None
    assert sentence.startswith("changed ")
    await world.api.ended_row(_job_of(await asked(world, order)))
    mine = sending("POST", "/api/jobs", document, world.attacker.bearer, ("Idempotency-Key", "the judge's"))
    assert await _sentence(world, judge, mine, Who.TENANT) is None, "a tenant may order"
    await world.api.ended_row(_job_of(await asked(world, mine)))
    balance = world.balance(world.attacker)
    await world.api.parts.records.grant(world.attacker.user_id, 10**6, "the judge's")
    judge.look_again()
    assert judge.sentence(Try("self-test", "", mine, Who.TENANT), Answer(b"")) == "has more credits than before"
    await world.api.parts.records.grant(world.attacker.user_id, -(10**6), "the judge's, taken back")
    assert world.balance(world.attacker) == balance


def _job_of(answer: object) -> UUID:
    assert isinstance(answer, dict)
    return UUID(answer["job_id"])


async def test_a_strangers_file_is_a_change(world: World, judge: Judge) -> None:
    upload = uploading("/api/attachments", "a.png", picture(MAGENTA, "BMP"), world.operator.bearer)
    assert await _sentence(world, judge, upload) is None
    upload = uploading("/api/attachments", "a.png", picture(MAGENTA), world.operator.bearer)
    sentence = await _sentence(world, judge, upload, Who.STRANGER)
    assert sentence is not None
    assert "quel_attach" in sentence
    assert "files" in sentence
