"""Commands for the results of jobs: download, receipt, audit."""

import asyncio
import errno
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import JsonValue
from rich.text import Text

from cli import arguments
from cli.output import Output, as_value, plural
from cli.session import existing_parts, find_job, nothing_yet, opened_settings, run
from cli.statuses import InputRejected, Status
from cli.tables import receipt_table
from darkroom.bootstrap import Parts, has_records, open_parts
from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.model import Value
from darkroom.domain.stored import DeliveredImage
from darkroom.pictures import digest
from darkroom.records.paging import delivered_pages
from darkroom.settings import Settings

AT_ONCE = 16
"""Files checked or fetched at the same time."""


class Download(Value):
    """What a download did."""

    job_id: UUID
    folder: str
    written: int = 0
    skipped: int = 0
    """Identical files that existed already."""
    missing: tuple[str, ...] = ()
    """Delivered pictures whose file is missing from storage."""


class Address(Value):
    """A signed URL of a delivered picture: valid for a while, without a key."""

    attach_id: int
    file: str
    url: str


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
    urls: _URLS = False,
    hours: _HOURS = 24,
    as_json: arguments.AsJson = False,
) -> None:
    """Copy a job's delivered pictures to DIR as stage-N-ORDINAL.webp, or print signed URLs for them.

    Also works while the job runs: run it again for the rest. A file in another format has its own suffix.
    An existing file is skipped if it is identical, and never overwritten if it is not.
    """
    output = Output(as_json=as_json)
    if (folder is None) != urls:
        raise InputRejected("DIR", "give either a folder to copy to, or --urls")
    if folder is None:
        run(_write_addresses(opened_settings(), job, timedelta(hours=hours), output))
        return

    async def work(settings: Settings) -> Status:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            done = await export(parts, row.job_id, folder)
        output.say(f"{plural(done.written, 'picture')} written to {folder}, {done.skipped:,} already there")
        for path in done.missing:
            output.say(f"missing from storage: {path}", style="accent")
        output.result(done)
        return Status.NOT_ALL if done.missing else Status.DONE

    raise typer.Exit(run(work(opened_settings())))


async def _write_addresses(settings: Settings, job: str, lifetime: timedelta, output: Output) -> None:
    async with existing_parts(settings) as parts:
        row = await find_job(parts, job)
        if not settings.on_supabase:
            raise NotPossibleNow("only pictures in Supabase have URLs: give DIR to copy them")
        found: list[Address] = []
        async for page in delivered_pages(parts.records, row.job_id):
            files = [(image.attach_id, path, name) for image in page for path, name in image.files.items()]
            signed = await asyncio.gather(*(parts.storage.url(path, lifetime) for _, path, _ in files))
            for (attach_id, path, name), url in zip(files, signed, strict=True):
                if url is None:
                    output.say(f"missing from storage: {path}", style="accent")
                else:
                    found.append(Address(attach_id=attach_id, file=name, url=url))
    told: list[JsonValue] = [as_value(address) for address in found]
    output.result(told)
    if not output.as_json:
        for address in found:
            output.say(f"{address.file}  {address.url}")


async def export(parts: Parts, job_id: UUID, folder: Path) -> Download:
    """Copy the delivered pictures of a job into a folder.

    Raises:
        InputRejected: the folder cannot be written, or has other files of these names.
    """
    ends: list[str] = []
    marks: list[str] = []
    gate = asyncio.Semaphore(AT_ONCE)
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async for page in delivered_pages(parts.records, job_id):
            ends += await asyncio.gather(*(_copy(parts, image, folder, gate) for image in page))
            beside = [image for image in page if image.sidecar is not None]
            marks += await asyncio.gather(*(_copy_mark(parts, image, folder, gate) for image in beside))
    except OSError as error:
        raise InputRejected("DIR", f"{folder} cannot be written: {error.strerror or error}") from None
    return Download(
        job_id=job_id,
        folder=str(folder),
        written=ends.count("written"),
        skipped=ends.count("skipped"),
        missing=tuple(end for end in ends + marks if end not in ("written", "skipped")),
    )


async def _copy(parts: Parts, image: DeliveredImage, folder: Path, gate: asyncio.Semaphore) -> str:
    return await _copy_file(parts, image.path, folder / image.file_name, gate, sha256=image.sha256)


async def _copy_mark(parts: Parts, image: DeliveredImage, folder: Path, gate: asyncio.Semaphore) -> str:
    """What lies beside a picture that is delivered as it came."""
    assert image.sidecar is not None
    return await _copy_file(parts, image.sidecar, folder / image.files[image.sidecar], gate)


async def _copy_file(
    parts: Parts, path: str, target: Path, gate: asyncio.Semaphore, *, sha256: str | None = None
) -> str:
    async with gate:
        present = await asyncio.to_thread(read_copy, target)
        if present is not None and digest(present) == sha256:
            return "skipped"
        data = await parts.storage.get(path)
        if data is None:
            return path
        if present is not None and present != data:
            raise InputRejected("DIR", f"{target} already exists and is a different picture; give an empty folder")
        if present is not None:
            return "skipped"
        await asyncio.to_thread(write_copy, target, data)
        return "written"


def read_copy(path: Path) -> bytes | None:
    """What is there under a copy's name.

    Raises:
        InputRejected: a link, which may lead anywhere.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputRejected("DIR", f"{path} is a link, and links are not followed; remove it") from None
        raise


def write_copy(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; whatever lies under its names before, nothing outside the folder changes."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        file.write(data)
    temporary.replace(path)


def receipt(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Show the receipt of an ended job: what was ordered, delivered, missing and charged."""
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            found = await parts.client(None).receipt(row.job_id)
        output.say(f"job {row.job_id}  {row.status}")
        output.say()
        output.result(found, receipt_table(found))

    run(work(opened_settings()))


def audit(as_json: arguments.AsJson = False) -> None:
    """Check that the records are consistent and that every delivered picture has its file.

    The journal, balances, holds, counts and ids of all jobs must agree. Safe to run at any time, even
    while jobs run.
    """
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> Status:
        if not has_records(settings):
            output.say(nothing_yet(settings))
            output.result({"findings": [], "pictures": 0})
            return Status.DONE
        async with open_parts(settings) as parts:
            findings = list(await parts.records.audit())
            pictures = 0
            async for page in delivered_pages(parts.records, None):
                pictures += len(page)
                findings += await without_files(parts, page)
        for finding in findings:
            output.say(finding, style="accent")
        summary = f"{plural(pictures, 'delivered picture')} checked, {plural(len(findings), 'finding')}"
        listed: list[JsonValue] = list(findings)
        output.result({"findings": listed, "pictures": pictures}, Text(summary))
        return Status.NOT_ALL if findings else Status.DONE

    raise typer.Exit(run(work(opened_settings())))


async def without_files(parts: Parts, page: Sequence[DeliveredImage]) -> list[str]:
    """Findings: files of delivered pictures, and marks beside them, that are not there."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def exists(path: str) -> bool:
        async with gate:
            return await parts.storage.exists(path)

    files = [(image, path) for image in page for path in image.files]
    there = await asyncio.gather(*(exists(path) for _, path in files))
    return [
        f"job {image.job_id}: attachment {image.attach_id} is delivered, but its file {path} is missing"
        for (image, path), found in zip(files, there, strict=True)
        if not found
    ]
