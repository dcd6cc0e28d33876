"""Measurements one after another: each is written as it comes, and one that fails takes nothing from the others."""

import asyncio
import contextlib
import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError
from rich.console import Console

from benchmarks.figures import Figure, Machine, NotMeasured, Report
from benchmarks.measurements import Bench, Measurement

MISSING = (pytest.skip.Exception, pytest.fail.Exception, ModuleNotFoundError)
"""How it is said that a program or a package is not here: the first two by `tests.support`."""

GIGABYTE = 1024**3


class NotComparable(Exception):
    """What is in the file was measured elsewhere, or in other counts."""


class Recorder:
    """The report as it grows, in a file.

    Args:
        target: the file.
        quick: whether counts are small.
        keep: whether figures that are already in the file stay there until they are measured again.

    Raises:
        NotComparable: those figures are of another machine, or of other counts; or the file holds none.
    """

    def __init__(self, target: Path, *, quick: bool, keep: bool = False) -> None:
        self._target = target
        self._quick = quick
        self._began = time.monotonic()
        self._load_before = os.getloadavg()
        self._figures: dict[str, Figure] = {}
        self._not_measured: dict[str, NotMeasured] = {}
        self._seconds_before = 0.0
        self._measured_on = datetime.now(UTC).date()
        if keep and target.exists():
            self._take(_read(target))
        self.broken = False
        """Whether a measurement ended in an error that is not a missing program."""

    @property
    def report(self) -> Report:
        """What there is so far."""
        return Report(
            machine=_machine(self._load_before),
            quick=self._quick,
            seconds=self._seconds_before + time.monotonic() - self._began,
            measured_on=self._measured_on,
            figures=tuple(self._figures.values()),
            not_measured=tuple(self._not_measured.values()),
        )

    def add(self, name: str, found: Sequence[Figure | NotMeasured]) -> None:
        """Keep what the named measurement gave, and what it says itself that it could not measure."""
        self._not_measured.pop(name, None)
        for each in found:
            self._not_measured.pop(each.name, None)
            if isinstance(each, Figure):
                self._figures[each.name] = each
            else:
                self._figures.pop(each.name, None)
                self._not_measured[each.name] = each
        self._write()

    def miss(self, name: str, error: BaseException) -> None:
        """Keep why it was not measured."""
        self.broken = self.broken or not isinstance(error, MISSING)
        said = str(error).strip().splitlines() or [""]
        reason = said[0] if isinstance(error, MISSING) else f"{type(error).__name__}: {said[0]}"
        self._not_measured[name] = NotMeasured(name=name, reason=reason.removesuffix(": "))
        self._write()

    def _take(self, before: Report) -> None:
        here = _machine(self._load_before)
        if (before.quick, _hardware(before.machine)) != (self._quick, _hardware(here)):
            raise NotComparable(
                f"the figures in {self._target} are of another machine or of other counts: "
                "give another --json, or leave out --keep"
            )
        self._load_before = before.machine.load_before
        self._seconds_before = before.seconds
        self._measured_on = before.measured_on or self._measured_on
        self._figures = {each.name: each for each in before.figures}
        self._not_measured = {each.name: each for each in before.not_measured}

    def _write(self) -> None:
        beside = self._target.with_name(f"{self._target.name}.part")
        beside.write_text(self.report.model_dump_json(indent=2) + "\n", "utf-8")
        beside.replace(self._target)


async def measure(
    measurements: Mapping[str, str],
    names: Sequence[str],
    recorder: Recorder,
    *,
    quick: bool,
    repeats: int | None,
    patience: float,
) -> None:
    """Make the named measurements, one after another.

    Args:
        measurements: where each is, as `module:function`; loaded when its turn comes, as it may need what is not here.
        names: which ones.
        recorder: what keeps the figures.
        quick: small counts and short waits.
        repeats: how often to repeat what is repeated.
        patience: seconds for one.
    """
    console = Console(stderr=True)
    for name in names:
        console.print(f"measuring {name} ...", style="dim")
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-", ignore_cleanup_errors=True) as folder:
            try:
                measurement = _loaded(measurements[name])
                async with asyncio.timeout(patience):
                    figures = await measurement(Bench(Path(folder), quick, repeats))
            except MISSING as missing:
                recorder.miss(name, missing)
            except Exception as error:  # noqa: BLE001 - named in the table; the others' figures must not be lost
                traceback.print_exc()
                recorder.miss(name, error)
            else:
                recorder.add(name, figures)


def _loaded(place: str) -> Measurement:
    module, _, function = place.partition(":")
    found: Measurement = getattr(import_module(module), function)
    return found


def _machine(load_before: tuple[float, float, float]) -> Machine:
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        processor=_processor(),
        memory_gb=round(psutil.virtual_memory().total / GIGABYTE),
        load_before=load_before,
        load_after=os.getloadavg(),
    )


def _read(target: Path) -> Report:
    try:
        return Report.model_validate_json(target.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise NotComparable(f"{target} holds no figures: give another --json, or leave out --keep") from None


def _hardware(machine: Machine) -> tuple[str, int, int, str]:
    return machine.processor, machine.cores, machine.memory_gb, machine.python


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def leave(status: int) -> None:
    """End the process.

    sdk-python #300: a process that used a client aborts now and then while the interpreter shuts down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
