"""`stats`: what providers did, by day."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from darkroom.bootstrap import has_records, open_parts
from darkroom.cli import arguments
from darkroom.cli.output import Output
from darkroom.cli.session import nothing_yet, opened_settings, run
from darkroom.cli.tables import plain_table
from darkroom.domain.statistics import ProviderDay, Statistics
from darkroom.settings import Settings

_DAYS = Annotated[int, typer.Option("--days", min=1, max=3650, help="How many days, today included (UTC).")]


def stats(days: _DAYS = 7, as_json: arguments.AsJson = False) -> None:
    """Show what providers did, by day, and how jobs ended.

    Calls, the share that brought a picture, missed, was refused or failed in passing, seconds a picture, top-up
    rounds and what they recovered, credits. Answers from the records.
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        if not has_records(settings):
            output.say(nothing_yet(settings))
            output.result(Statistics())
            return
        async with open_parts(settings) as parts:
            since = (datetime.now(UTC) - timedelta(days=days - 1)).date()
            found = await parts.records.statistics(since)
        if not found.providers and not found.jobs:
            output.say(f"nothing happened since {since}")
        shown: list[RenderableType] = [_providers(found), Text()] if found.providers else []
        shown += [_jobs(found)] if found.jobs else []
        output.result(found, Group(*shown) if shown else None)

    run(work(opened_settings()))


def _providers(found: Statistics) -> Table:
    table = plain_table()
    for name in ("day", "provider"):
        table.add_column(name, no_wrap=True, header_style="quiet")
    for name in ("calls", "pictures", "missed", "refused", "faults", "unknown", "p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True, header_style="quiet")
    for name in ("top-ups", "recovered", "credits"):
        table.add_column(name, justify="right", no_wrap=True, header_style="quiet")
    for day in found.providers:
        table.add_row(*_cells(day))
    return table


def _cells(day: ProviderDay) -> list[str]:
    shares = [f"{day.rate(number):.1%}" for number in (day.generated, day.missed, day.refused, day.faults)]
    seconds = ["–" if value is None else f"{value:.1f} s" for value in (day.seconds_p50, day.seconds_p95)]
    counts = [f"{number:,}" for number in (day.top_up_rounds, day.recovered_images, day.credits)]
    return [str(day.day), day.provider, f"{day.calls:,}", *shares, f"{day.unknown:,}", *seconds, *counts]


def _jobs(found: Statistics) -> Table:
    table = plain_table()
    table.add_column("day", no_wrap=True, header_style="quiet")
    for name in ("completed", "failed", "cancelled"):
        table.add_column(name, justify="right", no_wrap=True, header_style="quiet")
    for day in found.jobs:
        table.add_row(str(day.day), f"{day.completed:,}", f"{day.failed:,}", f"{day.cancelled:,}")
    return table
