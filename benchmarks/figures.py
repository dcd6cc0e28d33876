"""What was measured, beside what it is compared with and what is asked of it."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import computed_field, model_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from darkroom.domain.model import Value

TITLE = "Darkroom beside the same work without durability, beside bare Temporal, and beside other engines"

HEADINGS = ("figure", "Darkroom", "plain loop", "bare workflow", "peers", "ratio", "asked", "")
ALWAYS = ("figure", "Darkroom")
"""What is shown even where no figure has it."""


class Side(StrEnum):
    """Which way a figure may miss."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


class Asked(Value):
    """A bound on a figure's ratio or, without `of_ratio`, on its value."""

    side: Side
    bound: float
    of_ratio: bool = False

    def __str__(self) -> str:
        return f"{self.side} {short(self.bound)}{' ×' if self.of_ratio else ''}"

    def met(self, value: float, ratio: float | None) -> bool:
        """Whether the figure keeps the bound; a ratio that could not be measured does not."""
        measured = ratio if self.of_ratio else value
        if measured is None:
            return False
        return measured >= self.bound if self.side is Side.AT_LEAST else measured <= self.bound


class Peer(Value):
    """The same figure of another engine."""

    name: str
    value: float | None = None
    """None when it could not be measured."""
    note: str
    """How durable it is, or why there is no value."""
    runs: tuple[float, ...] = ()


class Figure(Value):
    """One figure.

    `plain` is the same work in an asyncio loop without durability, `bare` the same in a workflow of four
    empty activities an image; None where a side has no such figure.
    """

    name: str
    what: str
    unit: str
    value: float
    plain: float | None = None
    bare: float | None = None
    peers: tuple[Peer, ...] = ()
    """The same on other engines."""
    ratio: float | None = None
    ratio_to: str | None = None
    """What `value` was divided by: `plain`, `bare`, or words."""
    asked: Asked | None = None
    runs: tuple[float, ...] = ()
    """The repeated measurements of which `value` is the median."""
    note: str | None = None
    """What a reader must know to judge it."""

    @model_validator(mode="before")
    @classmethod
    def _without_verdict(cls, given: dict[str, object]) -> dict[str, object]:
        """What was written is read again; whether the bound is kept is computed anew."""
        return {name: value for name, value in given.items() if name != "met"}

    @computed_field  # type: ignore[prop-decorator]  # as Pydantic documents it
    @property
    def met(self) -> bool | None:
        """Whether what is asked was reached; None when nothing is asked."""
        return None if self.asked is None else self.asked.met(self.value, self.ratio)


class NotMeasured(Value):
    """A measurement that was not made, or broke off."""

    name: str
    reason: str


class Machine(Value):
    """Where it was measured, and how busy that was with other things."""

    system: str
    python: str
    cores: int
    processor: str = ""
    memory_gb: int = 0
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]


class Report(Value):
    """bench.json."""

    machine: Machine
    quick: bool
    seconds: float
    measured_on: date | None = None
    figures: tuple[Figure, ...]
    not_measured: tuple[NotMeasured, ...] = ()

    @property
    def missed(self) -> tuple[Figure, ...]:
        """The figures that are worse than asked."""
        return tuple(figure for figure in self.figures if figure.met is False)


def over(value: float, reference: float | None) -> float | None:
    """A ratio, or None when there is nothing to divide by."""
    return None if not reference else value / reference


def show(report: Report, console: Console, title: str = TITLE) -> None:
    """The figures as a table, then what is missing and what missed in plain words."""
    rows = [_row(figure) for figure in report.figures]
    shown = [name for name in HEADINGS if name in ALWAYS or any(row[name] for row in rows)]
    table = Table(title=title)
    for heading in shown:
        justify: Literal["left", "right"] = "left" if heading in ("figure", "asked") else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    for missing in report.not_measured:
        table.add_row(Text(missing.name), Text("not measured", "yellow"))
    console.print(table)
    machine = report.machine
    console.print(
        f"{machine.cores} cores, load {machine.load_before[0]:.1f} before and {machine.load_after[0]:.1f} after, "
        f"Python {machine.python}, {report.seconds:.0f} s{', quick: small counts, not comparable' * report.quick}",
        style="dim",
    )
    for peer in {peer.name: peer for figure in report.figures for peer in figure.peers}.values():
        console.print(f"{peer.name}: {peer.note}", style="dim", markup=False)
    for missing in report.not_measured:
        console.print(f"not measured: {missing.name}: {missing.reason}", style="yellow", markup=False)
    for figure in report.missed:
        measured = figure.ratio if figure.asked and figure.asked.of_ratio else figure.value
        console.print(f"MISSED: {figure.what}: {short(measured or 0)}, asked {figure.asked}", style="bold red")


def _row(figure: Figure) -> dict[str, str | Text]:
    return {
        "figure": figure.what,
        "Darkroom": with_unit(figure.value, figure.unit),
        "plain loop": "" if figure.plain is None else with_unit(figure.plain, figure.unit),
        "bare workflow": "" if figure.bare is None else with_unit(figure.bare, figure.unit),
        "peers": "\n".join(f"{peer.name} {with_unit(peer.value, figure.unit)}" for peer in figure.peers),
        "ratio": ratio_of(figure),
        "asked": "" if figure.asked is None else str(figure.asked),
        "": {True: Text("met", "green"), False: Text("MISSED", "bold red"), None: Text("")}[figure.met],
    }


def ratio_of(figure: Figure) -> str:
    """The ratio and what it is to; empty where there is none."""
    return "" if figure.ratio is None else f"{figure.ratio:.2f} × {figure.ratio_to}"


def median(values: Sequence[float]) -> float:
    """The middle one; of an even number the lower of the two, which was measured."""
    return sorted(values)[(len(values) - 1) // 2]


def with_unit(number: float | None, unit: str) -> str:
    """A number as it is printed; a dash for none."""
    return "–" if number is None else f"{short(number)} {unit}".rstrip()


def short(number: float) -> str:
    """Three digits of a number, or all before the point."""
    if number == int(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) < 100 else f"{number:.1f}"
