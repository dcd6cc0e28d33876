"""Whatever an enemy does, the API keeps its memory, and others their answers (`python -m tests.load.measuring`)."""

import pytest

from tests.load.attacks import ATTACKS
from tests.load.measuring import measured

API_MB, UPLOAD_MB = 400, 500
SLOWER = 25
"""Times that the slowest ordinary answer may take of what the slowest one takes just before and after the attack, which
on an idle machine is 0.04 s: meanwhile another user asks for lists, quotes and small uploads, one after the other."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_costs_others_little(name: str, record_property: pytest.FixtureRequest) -> None:
    figures = await measured(name)
    print(figures)
    assert figures.api_mb < API_MB
    assert figures.upload_mb < UPLOAD_MB
    assert figures.slowest < SLOWER * figures.slowest_without
    assert "Traceback" not in figures.errors
    assert not any(status.startswith("5") for status in figures.came if status != "503"), figures.came
