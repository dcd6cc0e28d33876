"""The scenarios: functions that play one thing on a fresh server, each named like the folder of its histories."""

from inspect import iscoroutinefunction

from tests.replay.scenarios import (
    batches,
    cancelling,
    closing,
    failing,
    fallback,
    groups,
    images,
    pausing,
    plain,
    quota,
    refusals,
    restarting,
    schedules,
)
from tests.replay.server import Scenario

_MODULES = (
    plain,
    pausing,
    quota,
    fallback,
    failing,
    groups,
    images,
    cancelling,
    restarting,
    batches,
    closing,
    refusals,
    schedules,
)

SCENARIOS: dict[str, Scenario] = {
    name: found
    for module in _MODULES
    for name, found in vars(module).items()
    if iscoroutinefunction(found) and found.__module__ == module.__name__ and not name.startswith("_")
}
