"""Commands for the results of jobs: receipt, audit."""

import asyncio
from collections.abc import Sequence

import typer
from pydantic import JsonValue
from rich.text import Text

from cli import arguments
from cli.output import Output, plural
from cli.session import existing_parts, find_job, nothing_yet
from cli.statuses import Status
from cli.tables import receipt_table
from cli.working import opened_settings, run
from darkroom.bootstrap import Parts, has_records, open_parts
from darkroom.domain.stored import DeliveredImage
from darkroom.records.paging import delivered_pages
from darkroom.settings import Settings

AT_ONCE = 16
"""Files checked or fetched at the same time."""


def receipt(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Show the receipt of an ended job: what was ordered, delivered, missing and charged."""
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            found = (await parts.client(None).receipt(row.job_id)).drawn_up(settings.credit_usd)
            stages = await parts.records.stages(row.job_id)
        output.say(f"job {row.job_id}  {row.status}")
        output.say()
        output.result(found, receipt_table(found, stages))

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
