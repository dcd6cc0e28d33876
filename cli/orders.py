"""`submit`: an order document becomes a job."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import typer
from pydantic import JsonValue

from cli import arguments
from cli.invocation import command
from cli.jobs import watch_to_end
from cli.order_files import GivenFile, OrderFile, read_order_file, read_pictures, values_of
from cli.output import Output, as_value, plural
from cli.statuses import Status
from cli.working import opened_settings, run
from darkroom.bootstrap import Parts, has_records, imagined_parts, open_parts
from darkroom.client.connection import connect, ensure_search_attributes
from darkroom.client.results import CheckedOrder
from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import JobRow
from darkroom.orders import owner_of
from darkroom.orders.references import NewUpload
from darkroom.settings import Settings

_FILE = Annotated[
    str, typer.Argument(metavar="FILE", help="The order as JSON, YAML, or a table (CSV); - reads standard input.")
]
_REFERENCES = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        "-r",
        metavar="[INDEX=]FILE",
        help=(
            "A reference picture (PNG, JPEG or WebP, at most 20 MB), for all stages or for the one with this index, "
            "counted from 0 as in documents. Repeatable."
        ),
        show_default=False,
    ),
]
_PROMPT = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        help="With a table: the prompt of all rows. {colour} is replaced by each row's value in that column.",
        show_default=False,
    ),
]
_SET = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="With a table: a value for all rows, such as quantity=2 or aspect_ratio=1:1. Repeatable.",
        show_default=False,
    ),
]
_REFERENCE_DIR = Annotated[
    str | None,
    typer.Option(
        "--reference-dir",
        metavar="DIR",
        help="The folder of the pictures that rows name in the column 'reference'.",
        show_default=False,
    ),
]
_JOB_ID = Annotated[
    str | None,
    typer.Option(
        "--job-id",
        metavar="UUID",
        help="The job's id. Submitting the same id again returns the existing job instead of ordering twice.",
        show_default=False,
    ),
]
_NAME = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="What to call the job, at most 120 characters; `name` in the order does the same.",
        show_default=False,
    ),
]
_SIZE = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="SIZE",
        help="1K, 2K or 4K, for stages that name no `image_size` themselves.",
        show_default=False,
    ),
]
_FORMAT = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="webp, jpeg, png, avif or original, for stages that name no `format` themselves.",
        show_default=False,
    ),
]
_ORG = Annotated[
    str | None,
    typer.Option(
        "--org",
        metavar="ORG",
        help="The UUID of the organization that pays instead of the user; `org_id` in the order does the same.",
        show_default=False,
    ),
]
_ANONYMOUS = Annotated[bool, typer.Option("--anonymous", help="Order without a user: nothing is charged.")]


def submit(
    file: _FILE,
    *,
    prompt: _PROMPT = None,
    values: _SET = None,
    reference_dir: _REFERENCE_DIR = None,
    reference: _REFERENCES = None,
    job_id: _JOB_ID = None,
    name: _NAME = None,
    size: _SIZE = None,
    format_: _FORMAT = None,
    org: _ORG = None,
    anonymous: _ANONYMOUS = False,
    watch: arguments.Watch = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Order pictures: validate FILE, store it as a job and start it. A table is a stage per row.

    Nothing is written if the order is rejected, the balance does not cover it, or no Temporal server
    answers. The job belongs to the user that `userId` in the document names, otherwise to the local user, who
    pays for it unless an organization does.
    """
    output = Output(as_json=as_json)
    settings = opened_settings()
    chosen_id = arguments.uuid("--job-id", job_id) if job_id is not None else None
    org_id = arguments.uuid("--org", org) if org is not None else None
    order = read_order_file(file, values_of(prompt, values or ())).saying(name=name, image_size=size, format=format_)
    payer = _Payer(_user(settings, order.document, anonymous=anonymous), org_id)
    with order.naming_rows():
        files = read_pictures(order, reference or (), reference_dir)
    raise typer.Exit(run(_submit(settings, order, chosen_id, payer, files, watch=watch, output=output)))


class _Payer(NamedTuple):
    """Whose job it is, and the organization that is to pay for it."""

    user_id: UUID | None
    org_id: UUID | None


def _user(settings: Settings, document: Any, *, anonymous: bool) -> UUID | None:
    named = owner_of(document)
    if anonymous and named is not None:
        raise OrderRejected("user_id", f"the order names {named}; remove it, or order without --anonymous")
    user = None if anonymous else named or settings.local_user
    if user is None and not anonymous:
        raise OrderRejected("user_id", "is missing: set userId to the user who pays, or order with --anonymous")
    return user


async def _submit(
    settings: Settings,
    file: OrderFile,
    job_id: UUID | None,
    payer: _Payer,
    files: Sequence[GivenFile],
    *,
    watch: bool,
    output: Output,
) -> Status:
    async with open_parts(settings) as parts:
        # Before a server is asked and a file is made: a wrong order leaves nothing behind.
        with file.naming_rows():
            references = [await _upload(parts, one) for one in files]
            order = await _find(parts, job_id) or await _check(parts, file.document, payer, references)
        if isinstance(order, CheckedOrder):
            order.ensure_affordable(settings.prices)
        temporal = await connect(settings)
        await ensure_search_attributes(temporal)
        client = parts.client(temporal)
        if isinstance(order, JobRow):
            taken = await client.resubmit(order)
        else:
            taken = await client.submit(order, job_id=job_id)
        for warning in taken.warnings:
            output.say(f"warning: {warning}", style="quiet")
        if taken.found:
            output.say(
                f"job {taken.job_id} already exists, {plural(taken.total_images, 'picture')}; the order was not read"
            )
        else:
            output.say(f"job {taken.job_id} started, {plural(taken.total_images, 'picture')}")
        submitted: dict[str, JsonValue] = as_value(taken)
        if watch:
            return await watch_to_end(parts, client, temporal, await client.job(taken.job_id), output, also=submitted)
        output.say(f"follow it with: {command(f'watch {taken.job_id}')}", style="quiet")
        output.result(submitted)
        return Status.DONE


async def _find(parts: Parts, job_id: UUID | None) -> JobRow | None:
    """The job that an earlier submission stored under this id."""
    if job_id is None or not has_records(parts.settings):
        return None
    return await parts.client(None).find(job_id)


async def _upload(parts: Parts, file: GivenFile) -> NewUpload:
    try:
        return await parts.uploads.read(file.name, file.data, file.stage_index, in_rows=file.in_rows)
    except OrderRejected as error:
        raise OrderRejected(file.field or error.field, error.reason) from None


async def _check(parts: Parts, document: Any, payer: _Payer, references: Sequence[NewUpload]) -> CheckedOrder:
    if has_records(parts.settings):
        return await parts.client(None).check(document, payer.user_id, references, org_id=payer.org_id)
    # Opening records that do not exist would create them.
    async with imagined_parts(parts.settings) as imagined:
        return await imagined.client(None).check(document, payer.user_id, references, org_id=payer.org_id)
