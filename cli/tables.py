"""Receipts, jobs and money as tables."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.invocation import as_started
from cli.output import local_time, plural, seconds_left
from darkroom.domain.jobs import JobRow
from darkroom.domain.money import Account, JournalRow
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt, Tally


def receipt_table(receipt: Receipt) -> RenderableType:
    """What was ordered, delivered and charged; a second column for the last run when there were several."""
    columns = [receipt.total] if receipt.total == receipt.last_run else [receipt.total, receipt.last_run]
    table = plain_table()
    table.add_column("receipt", style="quiet", no_wrap=True, header_style="strong")
    for title in ("total", "last run")[: len(columns)]:
        table.add_column(title if len(columns) > 1 else "", justify="right", header_style="quiet", no_wrap=True)
    table.add_column("", style="quiet")
    table.add_row("ordered", f"{receipt.ordered:,}", *[""] * (len(columns) - 1))
    missing = receipt.ordered - receipt.delivered
    for name, values, remark in _lines(columns, receipt):
        table.add_row(name, *values, remark)
        if name == "delivered":
            table.add_row("missing", Text(f"{missing:,}", "accent" if missing else ""), *[""] * (len(columns) - 1))
    parts: list[RenderableType] = [table]
    if len(receipt.total.made_by) > 1:
        shares = ", ".join(
            f"{one.provider} {one.delivered:,} ({plural(one.calls, 'call')})" for one in receipt.total.made_by
        )
        parts.append(Text(f"delivered by: {shares}"))
    parts += [
        Text(f"stage {stage.stage_index}: {stage.missing:,} missing: {stage.reason}", style="accent")
        for stage in receipt.missing
    ]
    if receipt.error_message:
        parts.append(Text(as_started(receipt.error_message), style="accent"))
    return Group(*parts)


def _lines(columns: Sequence[Tally], receipt: Receipt) -> list[tuple[str, list[str], str]]:
    def numbers(field: str) -> list[str]:
        return [f"{getattr(tally, field):,}" for tally in columns]

    price = f"credits, {receipt.unit_price:,} per picture" if receipt.unit_price else "credits: the job is free"
    lines = [
        ("delivered", numbers("delivered"), ""),
        ("charged", numbers("charged"), price),
        ("released", numbers("released"), "held credits that were returned"),
        ("provider calls", numbers("provider_calls"), ""),
        ("  misses", numbers("misses"), "responses without a picture, recovered by top-ups"),
        ("  faults", numbers("faults"), "transient, retried by Temporal"),
        ("  refusals", numbers("refusals"), "blocked by the provider's policy"),
        ("  unknown", numbers("unknown_calls"), "their worker died, possibly billed"),
        ("top-up rounds", numbers("top_up_rounds"), ""),
        ("time", [seconds_left(tally.seconds) for tally in columns], ""),
    ]
    # Rows of zeros that explain nothing are left out.
    rare = {"  refusals", "  unknown", "released"}
    return [line for line in lines if line[0] not in rare or set(line[1]) != {"0"}]


def job_table(jobs: Sequence[JobRow], trouble: Mapping[UUID, str] | None = None) -> Table:
    """Jobs, one per line; `trouble` says what keeps a running one still."""
    table = plain_table()
    # A terminal of 80 columns must leave whole what is copied and what is counted.
    table.add_column("job", no_wrap=True, header_style="quiet", min_width=36)
    table.add_column("created", no_wrap=True, style="quiet", header_style="quiet")
    table.add_column("delivered", justify="right", no_wrap=True, header_style="quiet", min_width=9)
    # It alone gives way, or a long reason would push numbers out.
    table.expand = True
    table.add_column("status", header_style="quiet", no_wrap=True, overflow="ellipsis", min_width=10, ratio=1)
    for job in jobs:
        count = f"{job.completed_images:,} of {job.total_images:,}"
        table.add_row(
            str(job.job_id), local_time(job.created_at)[:16], count, _status(job, (trouble or {}).get(job.job_id))
        )
    return table


def _status(job: JobRow, trouble: str | None) -> Text:
    if job.status is JobStatus.PROCESSING:
        if job.cancel_requested:
            return Text("cancelling", style="accent")
        if trouble is not None and not job.paused:
            return Text(trouble, style="accent")
        return Text(f"paused: {job.pause_reason}" if job.paused else "processing", style="" if job.paused else "accent")
    if job.status is JobStatus.FAILED:
        return Text(f"failed: {as_started(job.error_message or '')}".rstrip(": "), style="accent")
    short = f", {job.failed_images:,} missing" if job.failed_images else ""
    return Text(f"{job.status}{short}", style="quiet" if job.status is JobStatus.CANCELLED else "")


def account_table(account: Account, journal: Sequence[JournalRow]) -> RenderableType:
    """A balance, and the changes that led to it."""
    balance = plain_table(header=False)
    balance.add_column(style="quiet")
    balance.add_column(justify="right")
    balance.add_column(style="quiet")
    balance.add_row("balance", f"{account.balance:,}", "credits")
    balance.add_row("held", f"{account.held:,}", "reserved for running jobs")
    balance.add_row("available", f"{account.available:,}", "for new jobs")
    if not journal:
        return balance
    changes = plain_table()
    changes.add_column("when", style="quiet", header_style="quiet", no_wrap=True)
    changes.add_column("what", header_style="quiet")
    changes.add_column("amount", justify="right", header_style="quiet")
    changes.add_column("balance", justify="right", header_style="quiet")
    changes.add_column("attachment", justify="right", style="quiet", header_style="quiet")
    for row in journal:
        attach_id = "" if row.attach_id is None else str(row.attach_id)
        changes.add_row(
            local_time(row.created_at),
            str(row.transaction_type),
            f"{row.amount:+,}",
            f"{row.balance_after:,}",
            attach_id,
        )
    return Group(balance, Text(""), changes)


def plain_table(*, header: bool = True) -> Table:
    return Table(box=None, show_header=header, padding=(0, 3, 0, 0), pad_edge=False)
