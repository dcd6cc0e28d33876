"""Receipts, jobs and money as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli import costs
from cli.invocation import as_started
from cli.output import local_time, one_line, plural, seconds_left
from darkroom.domain.jobs import JobRow
from darkroom.domain.keys import ApiKey
from darkroom.domain.money import Account, JournalRow
from darkroom.domain.orders import Stage
from darkroom.domain.progress import JobStatus, StageProgress
from darkroom.domain.receipts import Receipt, Tally
from darkroom.domain.stage_labels import number_of_stage
from darkroom.domain.wallets import OrganizationAccount


def receipt_table(receipt: Receipt, stages: Iterable[Stage | StageProgress]) -> RenderableType:
    """What was ordered, delivered and charged; a second column for the last run when there were several.

    Args:
        receipt: of an ended job.
        stages: its stages, for their labels.
    """
    labels = {stage.stage_index: stage.label for stage in stages}
    table = FirstThatFits(_amounts(receipt, remarks=True), _amounts(receipt, remarks=False))
    parts: list[RenderableType] = [table]
    if len(receipt.total.made_by) > 1:
        shares = ", ".join(
            f"{one.provider} {one.delivered:,} ({plural(one.calls, 'call')})" for one in receipt.total.made_by
        )
        parts.append(Text(f"delivered by: {shares}"))
    if receipt.org_id is not None:
        parts.append(Text(f"paid by organization {receipt.org_id}"))
    parts += [
        Text(
            f"{labels.get(stage.stage_index) or number_of_stage(stage.stage_index)}: {stage.missing:,} missing: "
            f"{stage.reason}",
            style="accent",
        )
        for stage in receipt.missing
    ]
    if receipt.error_message:
        parts.append(Text(as_started(receipt.error_message), style="accent"))
    return Group(*parts)


def _amounts(receipt: Receipt, *, remarks: bool) -> Table:
    columns = [receipt.total] if receipt.total == receipt.last_run else [receipt.total, receipt.last_run]
    table = plain_table()
    table.add_column("receipt", style="quiet", no_wrap=True, header_style="strong")
    for title in ("total", "last run")[: len(columns)]:
        table.add_column(title if len(columns) > 1 else "", justify="right", header_style="quiet", no_wrap=True)
    if remarks:
        table.add_column("", style="quiet")
    table.add_row("ordered", f"{receipt.ordered:,}")
    missing = receipt.ordered - receipt.delivered
    for name, values, remark in _lines(columns, receipt):
        table.add_row(name, *values, *[remark] * remarks)
        if name == "delivered":
            table.add_row("missing", Text(f"{missing:,}", "accent" if missing else ""))
    return table


def _lines(columns: Sequence[Tally], receipt: Receipt) -> list[tuple[str, list[str], str]]:
    def numbers(field: str) -> list[str]:
        return [f"{getattr(tally, field):,}" for tally in columns]

    prices = receipt.prices or (receipt.unit_price,)
    per_picture = " or ".join(f"{price:,}" for price in prices)
    price = f"credits, {per_picture} per picture" if any(prices) else "credits: the job is free"
    lines = [
        ("delivered", numbers("delivered"), ""),
        ("charged", numbers("charged"), price),
        ("released", numbers("released"), "held credits that were returned"),
        *costs.lines(columns),
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


class FirstThatFits:
    """The first of several tables that the terminal has room for, else the last."""

    def __init__(self, *tables: RenderableType) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(width=10_000)
        for table in self._tables[:-1]:
            if Measurement.get(console, unlimited, table).minimum <= options.max_width:
                yield table
                return
        yield self._tables[-1]


def key_table(keys: Sequence[ApiKey]) -> RenderableType:
    """API keys, one per line; on a narrow terminal each over several lines, since their ids are copied."""
    table = plain_table()
    for title in ("key", "user", "name", "operator", "created", "revoked"):
        table.add_column(title, header_style="quiet", no_wrap=True)
    lines: list[Text] = []
    for key in keys:
        created, revoked = local_time(key.created_at), "" if key.revoked_at is None else local_time(key.revoked_at)
        table.add_row(str(key.key_id), str(key.user_id), key.name, "yes" if key.operator else "", created, revoked)
        parts = [key.name, "operator" if key.operator else "", f"created {created}", revoked and f"revoked {revoked}"]
        lines.append(Text(str(key.key_id), overflow="fold"))
        lines += [
            Text(f"  {part}", overflow="fold") for part in (f"user {key.user_id}", ", ".join(filter(None, parts)))
        ]
    return FirstThatFits(table, Group(*lines))


class JobTable:
    """Jobs, one per line, those with a name on two; where there is no room for a reason, it stands below, in full.

    What is copied and what is counted is never cut. A narrow terminal loses the times first.
    """

    def __init__(self, jobs: Sequence[JobRow], trouble: Mapping[UUID, str] | None = None) -> None:
        """`trouble` says what keeps a running job still."""
        self._jobs = [_job_cells(job, (trouble or {}).get(job.job_id)) for job in jobs]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        shown = next((cells for cells in _JOB_COLUMNS if self._width(cells) <= width), _JOB_COLUMNS[-1])
        widths = {cell: self._width((cell,)) for cell in shown}
        yield Text(_GAP.join(_padded(_JOB_TITLES[cell], widths[cell], cell) for cell in shown).rstrip(), "quiet")
        for job in self._jobs:
            line = Text(overflow="fold")
            for cell in shown:
                style = job.style if cell == "status" else "quiet" if cell == "created" else ""
                line.append(_padded(getattr(job, cell), widths[cell], cell), style).append(_GAP)
            line.rstrip()
            if job.name:
                yield line
                line = Text("", overflow="fold").append(f"  {job.name}", "strong")
            if job.reason and cell_len(line.plain) + 2 + cell_len(job.reason) <= width:
                yield line.append(f": {job.reason}", job.style)
            else:
                yield line
                yield from (Text(f"  {part.plain}", job.style) for part in Text(job.reason).wrap(console, width - 2))

    def _width(self, cells: Sequence[str]) -> int:
        """Of these columns with the gaps between them."""
        widest = (
            max(map(cell_len, [_JOB_TITLES[cell], *(getattr(job, cell) for job in self._jobs)])) for cell in cells
        )
        return sum(widest) + len(_GAP) * (len(cells) - 1)


class _JobCells(NamedTuple):
    job_id: str
    created: str
    delivered: str
    status: str
    reason: str
    style: str
    name: str


_JOB_TITLES = {"job_id": "job", "created": "created", "delivered": "delivered", "status": "status"}
_JOB_COLUMNS = (tuple(_JOB_TITLES), ("job_id", "delivered", "status"))
_GAP = " " * 3


def _padded(text: str, width: int, column: str) -> str:
    room = " " * (width - cell_len(text))
    return room + text if column == "delivered" else text + room


def _job_cells(job: JobRow, trouble: str | None) -> _JobCells:
    status, reason, style = _status(job, trouble)
    count = f"{job.completed_images:,} of {job.total_images:,}"
    return _JobCells(
        str(job.job_id),
        local_time(job.created_at)[:16],
        count,
        status,
        as_started(one_line(reason or "")),
        style,
        job.name or "",
    )


def _status(job: JobRow, trouble: str | None) -> tuple[str, str | None, str]:
    """A word or two, the reason, and the style of both."""
    if job.status is JobStatus.PROCESSING:
        if job.cancel_requested:
            return "cancelling", None, "accent"
        return ("paused", job.pause_reason, "") if job.paused else ("processing", trouble, "accent")
    if job.status is JobStatus.FAILED:
        return "failed", job.error_message, "accent"
    short = f", {job.failed_images:,} missing" if job.failed_images else ""
    return f"{job.status}{short}", None, "quiet" if job.status is JobStatus.CANCELLED else ""


def account_table(account: Account | OrganizationAccount, journal: Sequence[JournalRow]) -> RenderableType:
    """A balance, and the changes that led to it."""
    amounts = FirstThatFits(_balance(account, remarks=True), _balance(account, remarks=False))
    parts: list[RenderableType] = [amounts]
    if isinstance(account, OrganizationAccount):
        parts.insert(0, Text(f"{account.name} ({account.status})", "strong"))
    if not journal:
        return Group(*parts)
    return Group(
        *parts,
        Text(""),
        FirstThatFits(_changes(journal), _changes(journal, "user"), _changes(journal, "when", "attachment", "user")),
    )


def _balance(account: Account | OrganizationAccount, *, remarks: bool) -> Table:
    table = plain_table(header=False)
    table.add_column(style="quiet", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    if remarks:
        table.add_column(style="quiet")
    for name, amount, remark in (
        ("balance", account.balance, "credits"),
        ("held", account.held, "reserved for running jobs"),
        ("available", account.available, "for new jobs"),
    ):
        table.add_row(name, f"{amount:,}", *[remark] * remarks)
    return table


def _changes(journal: Sequence[JournalRow], *left_out: str) -> Table:
    rows = [
        {
            "when": local_time(row.created_at),
            "what": str(row.transaction_type),
            "amount": f"{row.amount:+,}",
            "balance": f"{row.balance_after:,}",
            "attachment": "" if row.attach_id is None else str(row.attach_id),
            "user": str(row.used_by_member_id or ""),
        }
        for row in journal
    ]
    if not any(row["user"] for row in rows):
        left_out += ("user",)
    table = plain_table()
    for name in [name for name in rows[0] if name not in left_out]:
        quiet = "quiet" if name in ("when", "attachment", "user") else ""
        table.add_column(
            name,
            justify="left" if name in ("when", "what") else "right",
            style=quiet,
            header_style="quiet",
            no_wrap=name != "what",
            min_width=len(rows[0][name]) if name == "when" else None,
        )
    for row in rows:
        table.add_row(*(value for name, value in row.items() if name not in left_out))
    return table


def plain_table(*, header: bool = True) -> Table:
    return Table(box=None, show_header=header, padding=(0, 3, 0, 0), pad_edge=False)
