"""`stats`: provider statistics by day."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli import arguments
from cli.costs import dollars, unknown
from cli.output import Output
from cli.session import nothing_yet
from cli.tables import plain_table
from cli.working import opened_settings, run
from darkroom.bootstrap import has_records, open_parts
from darkroom.domain.costs import Cause, CostAccount
from darkroom.domain.statistics import ProviderDay, Statistics
from darkroom.settings import Settings

_DAYS = Annotated[int, typer.Option("--days", min=1, max=3650, help="Number of days, including today (UTC).")]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


_WIDE = 130
"""Columns of a terminal that has room for all of them."""

_Column = tuple[str, Callable[[ProviderDay], str]]

_CALLS: tuple[_Column, ...] = (
    ("calls", lambda day: f"{day.calls:,}"),
    ("pictures", lambda day: f"{day.rate(day.generated):.1%}"),
    ("missed", lambda day: f"{day.rate(day.missed):.1%}"),
    ("refused", lambda day: f"{day.rate(day.refused):.1%}"),
    ("faults", lambda day: f"{day.rate(day.faults):.1%}"),
    ("unknown", lambda day: f"{day.unknown:,}"),
)
_EFFORT: tuple[_Column, ...] = (
    ("p50", lambda day: _seconds(day.seconds_p50)),
    ("p95", lambda day: _seconds(day.seconds_p95)),
    ("top-ups", lambda day: f"{day.top_up_rounds:,}"),
    ("recovered", lambda day: f"{day.recovered_images:,}"),
    ("credits", lambda day: f"{day.credits:,}"),
)
_COST: tuple[_Column, ...] = (
    ("cost", lambda day: dollars(_account(day).usd)),
    ("no picture", lambda day: dollars(_account(day).usd_without_picture)),
    ("cost unknown", lambda day: unknown(day.costs)),
    ("charged", lambda day: dollars(_account(day).income_usd)),
    ("margin", lambda day: dollars(_account(day).margin_usd)),
)
_WITHOUT_PICTURE: tuple[_Column, ...] = (
    ("misses", lambda day: dollars(day.costs.of(Cause.MISSED).usd)),
    ("refusals", lambda day: dollars(day.costs.of(Cause.REFUSED).usd)),
    ("faults", lambda day: dollars(day.costs.of(Cause.FAULT).usd)),
    ("unused", lambda day: dollars(day.costs.of(Cause.UNUSED).usd)),
)


def _account(day: ProviderDay) -> CostAccount:
    assert day.costs.account is not None
    return day.costs.account


def stats(days: _DAYS = 7, as_json: arguments.AsJson = False) -> None:
    """Show statistics by day and provider, and how jobs ended.

    Lists calls, the shares that returned a picture, missed, were refused or failed with a transient fault,
    seconds per call (median and 95th percentile), top-up rounds, the pictures they recovered, and credits; what the
    calls cost in US dollars, what of it brought no picture and why, the calls whose cost is unknown, and the margin
    (with CREDIT_USD).
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        if not has_records(settings):
            output.say(nothing_yet(settings))
            output.result(Statistics())
            return
        async with open_parts(settings) as parts:
            since = (datetime.now(UTC) - timedelta(days=days - 1)).date()
            found = (await parts.records.statistics(since)).drawn_up(settings.credit_usd)
        if not found.providers and not found.jobs:
            output.say(f"no calls and no ended jobs since {since}")
        shown = _providers(found, output.notes.width) if found.providers else []
        shown += [_jobs(found)] if found.jobs else []
        output.result(found, Group(*shown) if shown else None)

    run(work(opened_settings()))


def _providers(found: Statistics, width: int) -> list[RenderableType]:
    """One table where there is room for it, else one of outcomes above one of effort; then costs, if there are any."""
    wide = width >= _WIDE
    tables = [_CALLS + _EFFORT] if wide else [_CALLS, _EFFORT]
    if any(account.usd or account.unknown_calls or account.margin_usd is not None for account in _accounts(found)):
        tables += [_COST + _WITHOUT_PICTURE] if wide else [_COST, _WITHOUT_PICTURE]
    return [part for columns in tables for part in (_table(found, columns), Text())]


def _accounts(found: Statistics) -> list[CostAccount]:
    return [_account(day) for day in found.providers]


def _table(found: Statistics, columns: Sequence[_Column]) -> Table:
    table = plain_table()
    for name in ("day", "provider"):
        table.add_column(name, no_wrap=True, header_style="quiet")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True, header_style="quiet")
    for day in found.providers:
        table.add_row(str(day.day), day.provider, *(cell(day) for _, cell in columns))
    return table


def _jobs(found: Statistics) -> Table:
    table = plain_table()
    table.add_column("day", no_wrap=True, header_style="quiet")
    for name in ("completed", "failed", "cancelled"):
        table.add_column(name, justify="right", no_wrap=True, header_style="quiet")
    for day in found.jobs:
        table.add_row(str(day.day), f"{day.completed:,}", f"{day.failed:,}", f"{day.cancelled:,}")
    return table
