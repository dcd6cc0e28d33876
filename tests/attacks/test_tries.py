"""Every try is made for real, at a running API, and judged; none gets in. `make test-all` prints the table."""

import asyncio
from collections.abc import Callable

import pytest

from tests.attacks.conftest import Tally
from tests.attacks.expected import EXPECTED, point_of
from tests.attacks.judging import Judge, Try, Where, told_apart
from tests.attacks.kinds import KINDS, web_ui
from tests.attacks.routes import Route
from tests.attacks.wire import Answer, exchange
from tests.attacks.world import World
from tests.support.until import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

LEAST = 1_500
"""Tries in all."""
TOO_MANY = 429


async def _settled(world: World) -> None:
    """Wait until the attacker's own orders of the kind before have ended: they change rows of theirs."""

    async def so() -> bool:
        unfinished = await world.api.parts.records.unfinished_jobs()
        return all(job.user_id != world.attacker.user_id for job in unfinished)

    await until(so, "the attacker's own jobs to end", 120)


def _judged(made: Try, answer: Answer, reason: str | None, tally: Tally) -> str | None:
    """Count a try; gives what to say of one that got in, or that broke the server."""
    named = f"{made.kind}: {made.name}"
    if answer.status == TOO_MANY:
        tally.turned_away[made.kind] = tally.turned_away.get(made.kind, 0) + 1
        return None
    tally.made[made.kind] = tally.made.get(made.kind, 0) + 1
    if reason is not None:
        tally.got_in.setdefault(made.kind, []).append(named)
        return None if point_of(named) is not None else f"{named}: {reason}"
    return f"{named}: {answer.data[:300]!r}" if answer.status == 500 else None


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_gets_in(kind: str, world: World, found: list[Route], judge: Judge, tally: Tally) -> None:
    await _settled(world)
    judge.look_again()
    wrong = []
    for made in KINDS[kind](world, found):
        assert made.kind == kind
        address = world.api.url if made.where is Where.API else world.local.url
        answer = await exchange(address, made.ask, made.patience)
        reason = judge.sentence(made, answer)
        if reason is None and made.twin is not None:
            reason = told_apart(answer, await exchange(address, made.twin, made.patience))
        wrong.append(_judged(made, answer, reason, tally))
    said = [one for one in wrong if one]
    assert said == [], f"{len(said)} of {len(wrong)} got in or broke the server:\n" + "\n".join(said[:40])


async def test_no_page_gets_into_the_embedded_temporal(tmp_path_factory: pytest.TempPathFactory, tally: Tally) -> None:
    wrong = []
    async with web_ui.running_listener(tmp_path_factory.mktemp("web-ui")) as listener:
        before = await listener.state()
        for made in web_ui.tries(listener):
            answer = await exchange(listener.address(made), made.ask, made.patience)
            now = await listener.state()
            changed = None if now == before else f"changed the job: {before} {now}"
            before = now
            read = "reads" if listener.job_id in answer.text.replace(made.ask.target, "") else None
            allowed = made.also_in is not None and made.also_in(answer)
            wrong.append(_judged(made, answer, changed or read or ("answered" if allowed else None), tally))
    said = [one for one in wrong if one]
    assert said == [], "\n".join(said[:40])


async def test_there_were_enough_of_them_and_none_is_excused(
    tally: Tally, record_property: Callable[[str, object], None]
) -> None:
    if not set(KINDS) <= set(tally.made):
        pytest.skip("only some kinds were tried")
    record_property("table", tally.table())
    assert tally.turned_away == {}, "a rate limit answered: raise it in tests/attacks/world.py"
    assert sum(tally.made.values()) >= LEAST
    got_in = [named for all_of_them in tally.got_in.values() for named in all_of_them]
    over = [
        start for starts in EXPECTED.values() for start in starts if not any(one.startswith(start) for one in got_in)
    ]
    assert over == [], "these get in no more: take them off tests/attacks/expected.py"


async def test_the_world_is_as_it_was(world: World) -> None:
    assert await world.api.parts.records.audit() == []
    await asyncio.sleep(0)
