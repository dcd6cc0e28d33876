"""Commands for jobs that exist: watch, status, list, cancel, pause, resume, restart."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import JsonValue
from temporalio.client import Client as TemporalClient

from cli import arguments
from cli.display import Watched
from cli.following import follow, prompts_of
from cli.output import Output, as_value, clock_time
from cli.session import client_for, connect_if_at_hand, existing_parts, find_job, nothing_yet, web_page
from cli.statuses import InputRejected, Status
from cli.tables import JobTable, receipt_table
from cli.working import opened_settings, run
from darkroom.bootstrap import Parts, has_records, open_parts
from darkroom.client.jobs import Client
from darkroom.client.results import ControlResult, ProgressReading
from darkroom.domain.errors import JobNotFound, RecordsRefused
from darkroom.domain.finding import DAY_WANTED, STATES, JobState, read_day, read_state, words_in
from darkroom.domain.jobs import JobRow
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.sentences import how_it_stands
from darkroom.settings import Settings

_LOOKED_AT = 20
"""Running jobs of a list that are looked at closely."""

_STATES = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help=f"Only jobs with this status: {', '.join(STATES)}. Running and paused ones are processing, short ones "
        "completed with pictures missing. Repeatable.",
        show_default=False,
    ),
]
_SEARCH = Annotated[
    str | None,
    typer.Option(
        "--search",
        metavar="TEXT",
        help="Only jobs with all of these words in their names and prompts, or at the beginning of their ids.",
        show_default=False,
    ),
]
_DAY = Annotated[
    str | None,
    typer.Option(
        "--day",
        metavar="YYYY-MM-DD",
        help="Only jobs created on this day (UTC).",
        show_default=False,
    ),
]
_LIMIT = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many jobs.")]


def watch(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Follow a job until it ends, then show its receipt.

    Progress of a running job comes from its workflow, or from the records when no server or worker answers. Ctrl-C
    stops watching; the job continues.
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> Status:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            temporal = await connect_if_at_hand(settings)
            return await watch_to_end(parts, parts.client(temporal), temporal, row, output)

    raise typer.Exit(run(work(opened_settings())))


def status(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Show a job's progress.

    Progress of a running job comes from its workflow if it answers within 2 seconds, otherwise from the records;
    `source` in the JSON document says which.
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            temporal = await connect_if_at_hand(settings)
            reading = await parts.client(temporal).progress(row.job_id)
            watched = _watched(parts, temporal, row)
            watched.prompts = await prompts_of(parts, reading.progress)
            watched.update(reading.progress, reading.source)
            output.result({**_as_document(reading), "name": row.name}, watched.shown(output.notes))

    run(work(opened_settings()))


def list_jobs(
    status: _STATES = None,
    search: _SEARCH = None,
    day: _DAY = None,
    limit: _LIMIT = 20,
    as_json: arguments.AsJson = False,
) -> None:
    """List jobs, newest first, from the records."""
    output = Output(as_json=as_json)
    states = _states(status or ())
    words = words_in(search or "")
    on = None if day is None else _day(day)
    narrowed = bool(states or words or on)

    async def work(settings: Settings) -> None:
        if not has_records(settings):
            output.say(nothing_yet(settings))
            output.result([])
            return
        async with open_parts(settings) as parts:
            rows = await parts.records.found_jobs(limit, statuses=states, words=words, day=on)
            trouble = await trouble_of(parts, rows)
        if not rows:
            output.say("no jobs match" if narrowed else "no jobs")
        output.result([as_value(row) for row in rows], JobTable(rows, trouble) if rows else None)

    run(work(opened_settings()))


def _day(text: str) -> date:
    try:
        return read_day(text)
    except ValueError:
        raise InputRejected("--day", f"'{text}' {DAY_WANTED}") from None


def _states(words: Sequence[str]) -> tuple[JobState, ...]:
    try:
        return tuple(read_state(word) for word in words)
    except ValueError:
        unknown = next(word for word in words if word not in STATES)
        raise InputRejected("--status", f"'{unknown}' is unknown; use one of {', '.join(STATES)}") from None


async def trouble_of(parts: Parts, rows: Sequence[JobRow]) -> dict[UUID, str]:
    """What keeps running jobs still, in a few words."""
    running = [row for row in rows if row.status is JobStatus.PROCESSING][:_LOOKED_AT]
    client = parts.client(None)
    told = {}
    for row in running:
        try:
            progress = await client.recorded(row.job_id)
        except JobNotFound:
            continue  # deleted just now
        except RecordsRefused as error:
            told[row.job_id] = str(error)
            continue
        if progress.failing or progress.stalled:
            told[row.job_id] = how_it_stands(progress, clock_time)
    return told


def cancel(job: arguments.Job, reason: arguments.Reason = None, as_json: arguments.AsJson = False) -> None:
    """Cancel a job; returns immediately.

    No provider call starts from then on. Calls in progress are finished, delivered and charged, because
    they are already paid for; the job becomes `cancelled` when the last of them is done. If the job is
    already being cancelled or has ended, nothing changes: `success` is false and the exit status is 0.
    """
    _request(job, lambda client, job_id: client.cancel(job_id, reason), as_json=as_json)


def pause(job: arguments.Job, reason: arguments.Reason = None, as_json: arguments.AsJson = False) -> None:
    """Pause a job until `resume`.

    No provider call starts while the job is paused. Calls in progress are finished, delivered and charged.
    A paused job can be cancelled, and can stay paused for as long as you like.
    """
    _request(job, lambda client, job_id: client.pause(job_id, reason), as_json=as_json)


def resume(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Resume a job that was paused by a user or by an exhausted quota."""
    _request(job, lambda client, job_id: client.resume(job_id), as_json=as_json)


def restart(job: arguments.Job, watch: arguments.Watch = False, as_json: arguments.AsJson = False) -> None:
    """Restart a cancelled, failed or short job; only missing pictures are made and charged.

    The job keeps its id, its pictures and the price of its first run.
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> Status:
        async with client_for(settings, job) as (parts, temporal, row):
            client = parts.client(temporal)
            answer = await client.restart(row.job_id)
            output.say(f"{answer.message}: {row.total_images - row.completed_images:,} of {row.total_images:,} missing")
            if watch:
                return await watch_to_end(parts, client, temporal, row, output, also=as_value(answer))
            output.result(answer)
            return Status.DONE

    raise typer.Exit(run(work(opened_settings())))


def _request(job: str, send: Callable[[Client, UUID], Coroutine[Any, Any, ControlResult]], *, as_json: bool) -> None:
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with client_for(settings, job) as (parts, temporal, row):
            answer = await send(parts.client(temporal), row.job_id)
            count = f"{answer.completed_images:,} of {answer.total_images:,} delivered so far"
            output.say(f"{answer.message}; {count}" if answer.success else f"{answer.message}; nothing changed")
            output.result(answer)

    run(work(opened_settings()))


async def watch_to_end(
    parts: Parts,
    client: Client,
    temporal: TemporalClient | None,
    row: JobRow,
    output: Output,
    *,
    also: dict[str, JsonValue] | None = None,
) -> Status:
    """Follow a job, then show its receipt; `also` is more for the JSON document."""
    reading = await follow(parts, client, row.job_id, _watched(parts, temporal, row), output)
    found = await parts.records.receipt(row.job_id)
    receipt = None if found is None else found.drawn_up(parts.settings.credit_usd)
    shown: JsonValue = None if receipt is None else as_value(receipt)
    output.say()
    output.result(
        {**(also or {}), **_as_document(reading), "receipt": shown},
        receipt_table(receipt, reading.progress.stages) if receipt else None,
    )
    return ending(reading.progress)


def ending(progress: Progress) -> Status:
    """Whether everything that was ordered was delivered."""
    whole = progress.status is JobStatus.COMPLETED and progress.completed_images == progress.total_images
    return Status.DONE if whole else Status.NOT_ALL


def _watched(parts: Parts, temporal: TemporalClient | None, row: JobRow) -> Watched:
    return Watched(web_page(parts.settings, temporal, row.job_id) if temporal is not None else None)


def _as_document(reading: ProgressReading) -> dict[str, JsonValue]:
    return {**as_value(reading.progress), "source": reading.source}
