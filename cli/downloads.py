"""The command `download`: delivered pictures as files, in a bucket, or as signed URLs."""

import asyncio
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from pydantic import JsonValue

from cli import arguments
from cli.output import Output, as_value, plural
from cli.session import existing_parts, find_job
from cli.statuses import InputRejected, Status
from cli.working import opened_settings, run
from darkroom.bootstrap import Parts
from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.file_names import DEFAULT_TEMPLATE
from darkroom.domain.model import Value
from darkroom.exports.buckets import Bucket
from darkroom.exports.choosing import Choice, choose
from darkroom.exports.taking import Taken, take
from darkroom.exports.targets import Folder, Target
from darkroom.settings import Settings

AT_ONCE = 16
"""URLs asked for at the same time."""


class Download(Taken):
    """What a download did."""

    job_id: UUID
    folder: str
    """Or the address of the bucket and the prefix in it."""


class Address(Value):
    """A signed URL of a delivered picture: valid for a while, without a key."""

    attach_id: int
    file: str
    url: str


_TO = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="URL",
        help="Copy to s3://bucket/prefix or gs://bucket/prefix instead (needs the extra `s3` or `gs`).",
        show_default=False,
    ),
]
_NAME = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="TEMPLATE",
        help="File names, of {job}, {stage}, {label} and {n} or {n:03}; / makes folders, the extension is added.",
    ),
]
_STAGE = Annotated[
    int | None,
    typer.Option(
        "--stage", metavar="N", min=1, help="Only pictures of this stage, counted from 1.", show_default=False
    ),
]
_PICTURES = Annotated[
    str | None,
    typer.Option(
        "--pictures", metavar="IDS", help="Only these pictures: 9634,9640-9652 (attachment ids).", show_default=False
    ),
]
_URLS = Annotated[
    bool, typer.Option("--urls", help="Print a signed URL for each picture instead of copying it (Supabase only).")
]
_HOURS = Annotated[
    float, typer.Option("--hours", min=0.01, max=24 * 365, help="With --urls: how long the URLs are valid.")
]


def download(
    job: arguments.Job,
    folder: arguments.Folder = None,
    *,
    to: _TO = None,
    name: _NAME = DEFAULT_TEMPLATE,
    stage: _STAGE = None,
    pictures: _PICTURES = None,
    urls: _URLS = False,
    hours: _HOURS = 24,
    as_json: arguments.AsJson = False,
) -> None:
    """Copy a job's delivered pictures, with manifest.json and manifest.csv, to DIR or a bucket, or print signed URLs.

    The numbers of an ended job have no gaps; while a job runs, {n} is a picture's ordinal plus one. Run it again for
    the rest: an existing file is skipped if it is identical, and never overwritten if it is not.
    """
    output = Output(as_json=as_json)
    if [folder is not None, to is not None, urls].count(True) != 1:
        raise InputRejected("DIR", "give one of a folder to copy to, --to or --urls")
    choice = Choice(name=name, stage=None if stage is None else stage - 1, pictures=pictures)
    if urls:
        run(_write_addresses(opened_settings(), job, choice, timedelta(hours=hours), output))
        return
    target: Target = Folder(folder) if folder is not None else Bucket.at(to or "")
    where = str(to if folder is None else folder)

    async def work(settings: Settings) -> Status:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            taken = await take(await choose(parts.records, row.job_id, choice), parts.storage, target)
        output.say(f"{plural(taken.written, 'picture')} written to {where}, {taken.skipped:,} already there")
        for path in taken.missing:
            output.say(f"missing from storage: {path}", style="accent")
        output.result(Download(job_id=row.job_id, folder=where, **taken.model_dump()))
        return Status.NOT_ALL if taken.missing else Status.DONE

    raise typer.Exit(run(work(opened_settings())))


async def _write_addresses(settings: Settings, job: str, choice: Choice, lifetime: timedelta, output: Output) -> None:
    async with existing_parts(settings) as parts:
        row = await find_job(parts, job)
        if not settings.on_supabase:
            raise NotPossibleNow("only pictures in Supabase have URLs: give DIR to copy them")
        export = await choose(parts.records, row.job_id, choice)
        signed = await _signed(parts, [one.picture.path for one in export.pictures], lifetime)
        found: list[Address] = []
        for one, url in zip(export.pictures, signed, strict=True):
            if url is None:
                output.say(f"missing from storage: {one.picture.path}", style="accent")
            else:
                found.append(Address(attach_id=one.picture.attach_id, file=one.name, url=url))
    told: list[JsonValue] = [as_value(address) for address in found]
    output.result(told)
    if not output.as_json:
        for address in found:
            output.say(f"{address.file}  {address.url}")


async def _signed(parts: Parts, paths: list[str], lifetime: timedelta) -> list[str | None]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def sign(path: str) -> str | None:
        async with gate:
            return await parts.storage.url(path, lifetime)

    return await asyncio.gather(*map(sign, paths))
