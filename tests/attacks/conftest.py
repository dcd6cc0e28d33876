"""One world for all tries, and the table of what became of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.attacks.judging import Judge
from tests.attacks.routes import Route, routes
from tests.attacks.world import World, running_world
from tests.support.stacks.temporal_server import running_temporal


@dataclass
class Tally:
    """How many tries were made of each kind, and which got in."""

    made: dict[str, int] = field(default_factory=dict)
    got_in: dict[str, list[str]] = field(default_factory=dict)
    turned_away: dict[str, int] = field(default_factory=dict)
    """By a rate limit, which shows nothing of the try."""

    def table(self) -> str:
        """For people."""
        width = max(map(len, self.made), default=4)
        lines = [f"{'kind':<{width}}  {'made':>6}  {'got in':>6}"]
        lines += [
            f"{kind:<{width}}  {made:>6,}  {len(self.got_in.get(kind, ())):>6,}" for kind, made in self.made.items()
        ]
        total = sum(map(len, self.got_in.values()))
        return "\n".join([*lines, f"{'all':<{width}}  {sum(self.made.values()):>6,}  {total:>6,}"])


@pytest.fixture(scope="session")
def tally() -> Tally:
    """What became of the tries of this run."""
    return Tally()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Two tenants, an operator, and a server for all of them."""
    folder = tmp_path_factory.mktemp("attacks")
    async with running_temporal() as temporal, running_world(temporal, folder) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def found(world: World) -> list[Route]:
    """Every route."""
    return await routes(world)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def judge(world: World) -> Judge:
    """Who says what got in."""
    return Judge(world)
