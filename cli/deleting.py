"""`delete` and `purge`: jobs that have ended go, with what goes said first."""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import JsonValue

from cli import arguments
from cli.output import Output, as_value, local_time, plural
from cli.session import existing_parts, find_job, nothing_yet
from cli.statuses import InputRejected, Status
from cli.working import opened_settings, run
from darkroom.bootstrap import Parts, has_records, open_parts
from darkroom.domain.deleting import Deletion
from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.sentences import size_of
from darkroom.settings import Settings

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE = re.compile(r"([1-9][0-9]{0,5})([hdw])")

_YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")]
_OLDER_THAN = Annotated[
    str,
    typer.Option("--older-than", metavar="AGE", help="Jobs that ended longer ago, such as 90d, 12w or 48h."),
]


def delete(job: arguments.Job, yes: _YES = False, dry_run: _DRY_RUN = False, as_json: arguments.AsJson = False) -> None:
    """Delete a job that has ended: its pictures, prompts and name.

    What will be removed is said first. The numbers, the receipt and the journal stay, and so do uploaded
    references. A delete that was interrupted is finished by the next one.
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            found = await parts.client(None).deletion(row.job_id)
            if found.refusal is not None:
                raise NotPossibleNow(f"job {row.job_id} {found.refusal}")
            if found.files_removed:
                output.say(f"job {row.job_id} was deleted {_when(found.deleted_at)}; nothing changed")
                output.result(found)
                return
            output.say(f"job {row.job_id} loses {_losses(found)}")
            output.say("its numbers, receipt and journal stay; this cannot be undone", style="quiet")
            if dry_run or not _agreed("delete it?", yes=yes, output=output):
                output.result(found)
                return
            output.result(await parts.client(None).delete(row.job_id))
            output.say("deleted")

    run(work(opened_settings()))


def purge(
    older_than: _OLDER_THAN, yes: _YES = False, dry_run: _DRY_RUN = False, as_json: arguments.AsJson = False
) -> None:
    """Delete all jobs that ended long ago, as `delete` does.

    Jobs that have not ended are kept, and so are those whose pictures an unfinished job is drawn after. Workers
    do the same by themselves with KEEP_PICTURES_DAYS. A purge that was interrupted goes on with the next one.
    """
    output = Output(as_json=as_json)
    before = datetime.now(UTC) - _age(older_than)

    async def work(settings: Settings) -> Status:
        if not has_records(settings):
            output.say(nothing_yet(settings))
            output.result(_summary(before, [], deleted=0))
            return Status.DONE
        async with open_parts(settings) as parts:
            if not dry_run:
                # What was agreed to before.
                await parts.deleting().finish_interrupted()
            found = [one async for one in parts.deleting().ended_before(before)]
            going = [one for one in found if one.refusal is None]
            for one in going[:_SHOWN]:
                output.say(f"{one.job_id}  ended {_when(one.completed_at)}  {_losses(one)}", style="quiet")
            if len(going) > _SHOWN:
                output.say(f"and {len(going) - _SHOWN:,} more", style="quiet")
            for one in found:
                if one.refusal is not None:
                    output.say(f"kept: job {one.job_id} {one.refusal}")
            output.say(f"{plural(len(going), 'job')} that ended before {_when(before)}: {_sum(going)}")
            if dry_run or not going or not _agreed("delete them?", yes=yes, output=output):
                output.result(_summary(before, found, deleted=0))
                return Status.DONE
            deleted = await _purge(parts, going, output)
            output.say(f"{plural(deleted, 'job')} deleted")
            output.result(_summary(before, found, deleted=deleted))
            return Status.DONE if deleted == len(going) else Status.NOT_ALL

    raise typer.Exit(run(work(opened_settings())))


_SHOWN = 20
"""Jobs that are named one by one."""


async def _purge(parts: Parts, going: list[Deletion], output: Output) -> int:
    deleting = parts.deleting()
    deleted = 0
    for one in going:
        try:
            await deleting.delete(one.job_id)
        except NotPossibleNow as error:  # restarted, or drawn after, meanwhile
            output.say(f"kept: {error}")
        else:
            deleted += 1
    return deleted


def _agreed(question: str, *, yes: bool, output: Output) -> bool:
    """Whether to go on.

    Raises:
        InputRejected: nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputRejected("--yes", "is needed where nobody can be asked; --dry-run only says what would be removed")
    agreed = typer.confirm(question, err=True)
    if not agreed:
        output.say("nothing was deleted")
    return agreed


def _losses(found: Deletion) -> str:
    parts = [f"{plural(found.pictures, 'picture')} ({size_of(found.bytes)})"]
    parts += [f"{plural(found.marks, 'mark')} beside them"] if found.marks else []
    parts += [f"the cover {found.cover}"] if found.cover else []
    parts += ["its prompts"] if found.deleted_at is None else ["what an interrupted delete left"]
    parts += [plural(found.references, "link") + " to references"] if found.references else []
    return ", ".join(parts)


def _sum(going: list[Deletion]) -> str:
    return f"{plural(sum(one.pictures for one in going), 'picture')}, {size_of(sum(one.bytes for one in going))}"


def _summary(before: datetime, found: list[Deletion], *, deleted: int) -> dict[str, JsonValue]:
    going = [one for one in found if one.refusal is None]
    jobs: list[JsonValue] = [as_value(one) for one in found]
    return {
        "before": before.isoformat(),
        "deleted": deleted,
        "pictures": sum(one.pictures for one in going),
        "bytes": sum(one.bytes for one in going),
        "jobs": jobs,
    }


def _when(moment: datetime | None) -> str:
    return "" if moment is None else local_time(moment)[:16]


def _age(given: str) -> timedelta:
    found = _AGE.fullmatch(given.strip())
    if found is None:
        raise InputRejected("--older-than", f"'{given}' must be a number of hours, days or weeks, such as 90d")
    return int(found[1]) * _UNITS[found[2]]
