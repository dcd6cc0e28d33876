"""`demo`: one order from nothing to a receipt, faults included, in less than a minute."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Annotated, Any

import psutil
import typer

from cli import arguments
from cli.contact_sheet import contact_sheet
from cli.demo_orders import TITLE, Demo, DemoOrder, pictures, prepare
from cli.display import Watched
from cli.following import follow
from cli.invocation import command
from cli.jobs import ending
from cli.output import Output, as_value, plural
from cli.statuses import Status
from cli.stopping import Stop, end_process
from cli.tables import receipt_table
from cli.working import run
from darkroom import logs
from darkroom.bootstrap import Parts, open_parts
from darkroom.client.connection import connect_to
from darkroom.client.results import ProgressReading, Submitted
from darkroom.embedded.address import EmbeddedServer
from darkroom.embedded.server import embedded_server
from darkroom.exports.choosing import Choice, choose
from darkroom.exports.taking import take
from darkroom.exports.targets import Folder
from darkroom.settings import Settings, make_home, read_settings
from worker import running_workers

KEYS = ("gemini_api_key", "runware_api_key")

UNLESS_SET: dict[str, Any] = {
    "offline_miss_rate": 0.08,
    "offline_fault_rate": 0.05,
    "offline_latency": (0.2, 2.2),
    "offline_seed": 4,
    "top_up_delay": 1.0,
    "stage_concurrency": 5,
}
"""Slow enough to watch, and with a seed by which every stage needs a top-up."""


_ORDER = Annotated[
    DemoOrder, typer.Option("--order", help="What to order: three stages of 16 pictures, or a storybook of 8 pages.")
]


def demo(order: _ORDER = DemoOrder.STAGES, as_json: arguments.AsJson = False) -> None:
    """Order 48 pictures in three stages and watch them arrive, with injected faults.

    Starts a Temporal server and a worker in this process, draws with the offline provider (8 % misses and
    5 % transient faults, unless OFFLINE_* settings say otherwise), and shows top-ups as they happen. Ends
    with the receipt, a folder of pictures and a contact sheet. Needs no account, key or network, and takes
    less than a minute.
    """
    output = Output(as_json=as_json)
    raise typer.Exit(run(_demo(_demo_settings(read_settings()), order, output)))


def _demo_settings(settings: Settings) -> Settings:
    chosen = {name: value for name, value in UNLESS_SET.items() if name not in settings.model_fields_set}
    # Whatever key lies in the environment: a demo costs nothing.
    return settings.model_copy(update={**chosen, "image_provider": ("offline",), **dict.fromkeys(KEYS)})


async def _demo(settings: Settings, order: DemoOrder, output: Output) -> Status:
    home = settings.darkroom_home
    make_home(settings)
    stop = Stop()
    stop.listen()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(embedded_server(settings, any_port=True))
        stop.at_once = lambda: end_process(server.pid)
        # The worker's lines would tear the display; they are kept beside the records.
        logs.configure(settings, stack.enter_context((home / "demo.log").open("w", encoding="utf-8")))
        temporal = await connect_to(server)
        parts = await stack.enter_async_context(open_parts(settings))
        client = parts.client(temporal)
        # The references of the order are the local user's, so there must be one before them.
        await client.open_local_account()
        await stack.enter_async_context(running_workers(parts, temporal))
        made = await prepare(parts, order)
        submitted = await client.submit(await client.check(made.document, settings.local_user))
        _introduce(settings, made, submitted, server, output)
        clock = _FirstPicture()
        watched = Watched(server.job_url(submitted.job_id))
        work = asyncio.create_task(
            follow(parts, client, submitted.job_id, watched, output, on_reading=clock.note_first_picture)
        )
        stopped = asyncio.create_task(stop.requested.wait())
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.requested.is_set():
            work.cancel()
            await asyncio.wait((work,))  # it lets go of the screen
            return _interrupted(submitted, output)
        reading = await work
        await _conclude(parts, server, made, reading, clock=clock, output=output)
        return ending(reading.progress)


def _introduce(settings: Settings, made: Demo, submitted: Submitted, server: EmbeddedServer, output: Output) -> None:
    ordered = f"{plural(submitted.total_images, 'picture')} in {made.what}"
    failing = f"{settings.offline_miss_rate:.0%} misses, {settings.offline_fault_rate:.0%} transient faults"
    output.say(f"{ordered}, drawn by the offline provider with {failing}")
    if not output.live:
        output.say(server.job_url(submitted.job_id))
    output.say()


class _FirstPicture:
    """How long this process has run, and had when the first picture was delivered."""

    def __init__(self) -> None:
        self._started = psutil.Process().create_time()
        self.first: float | None = None

    @property
    def seconds(self) -> float:
        return round(time.time() - self._started, 1)

    def note_first_picture(self, reading: ProgressReading) -> None:
        if self.first is None and reading.progress.completed_images:
            self.first = self.seconds


def _interrupted(submitted: Submitted, output: Output) -> Status:
    output.say()
    output.say("stopping: waiting for calls in progress; press Ctrl-C again to exit immediately")
    output.say(f"to continue job {submitted.job_id}, run: {command('up')}")
    output.result({"job_id": str(submitted.job_id), "interrupted": True})
    return Status.INTERRUPTED


async def _conclude(
    parts: Parts, server: EmbeddedServer, made: Demo, reading: ProgressReading, *, clock: _FirstPicture, output: Output
) -> None:
    job_id = reading.progress.job_id
    receipt = await parts.records.receipt(job_id)
    assert receipt is not None, "an ended job has a receipt"
    receipt = receipt.drawn_up(parts.settings.credit_usd)
    folder = parts.settings.darkroom_home / "demo" / str(job_id)
    export = await choose(parts.records, job_id, Choice())
    await take(export, parts.storage, Folder(folder))
    sheet = folder / "contact-sheet.jpg"
    frames = made.frames(receipt, pictures(export, folder))
    title, columns = (TITLE, 4) if made.captions else (f"Darkroom demo · {job_id}", 8)
    sheet.write_bytes(await asyncio.to_thread(contact_sheet, title, frames, columns=columns))
    output.say()
    output.result(
        {
            "job_id": str(job_id),
            "receipt": as_value(receipt),
            "folder": str(folder),
            "contact_sheet": str(sheet),
            "web_ui": server.job_url(job_id),
            "first_picture_seconds": clock.first,
            "seconds": clock.seconds,
        },
        receipt_table(receipt, reading.progress.stages),
    )
    output.say()
    output.say(f"pictures       {folder}")
    output.say(f"contact sheet  {sheet}")
    output.say(f"first picture after {clock.first} s, finished after {clock.seconds} s", style="quiet")
    output.say("the job's history is kept: `darkroom up` shows it in the Temporal Web UI", style="quiet")
