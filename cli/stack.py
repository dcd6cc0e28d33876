"""`up`: the options, and the Temporal server, which starts before all that needs it has been imported."""

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Annotated

import typer

from cli import arguments
from cli.output import Output
from cli.statuses import InputRejected
from cli.stopping import Stop, end_process
from cli.working import opened_settings, run
from darkroom.client.connection import configured_server
from darkroom.embedded.ports import usable_port
from darkroom.embedded.server import DEFAULT_PORT, DEFAULT_UI_PORT, embedded_server
from darkroom.settings import Settings

_PORT = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the Temporal server, on 127.0.0.1.")]
_UI_PORT = Annotated[int, typer.Option("--ui-port", min=1, max=65535, help="Port of the Temporal Web UI.")]
_API_PORT = Annotated[
    int | None,
    typer.Option(
        "--api-port",
        min=1,
        max=65535,
        help="Port of the page and the HTTP API; by default API_PORT (8400).",
        show_default=False,
    ),
]
_API = Annotated[bool, typer.Option("--api/--no-api", help="Serve the page and the HTTP API.")]


def up(
    port: _PORT = DEFAULT_PORT,
    ui_port: _UI_PORT = DEFAULT_UI_PORT,
    api_port: _API_PORT = None,
    *,
    api: _API = True,
    as_json: arguments.AsJson = False,
) -> None:
    """Run everything until Ctrl-C: Temporal server, worker, records, files, the page and the HTTP API.

    Interrupted jobs resume, and jobs submitted from another terminal start. The first Ctrl-C (or SIGTERM)
    stops new work and waits for the provider calls in progress, which are already paid for; a second one
    exits immediately. Nothing is lost either way. If TEMPORAL_ADDRESS is set, that server is used and none
    is started. With `--json` the document is written when everything is running.
    """
    output = Output(as_json=as_json)
    settings = opened_settings()
    chosen = [number for number in (port, ui_port, (api_port or settings.api_port) if api else None) if number]
    if len(set(chosen)) < len(chosen):
        raise InputRejected("--port", "--ui-port and --api-port must be different ports")
    run(_up(settings, port, ui_port, (api_port or settings.api_port) if api else None, output))


async def _up(settings: Settings, port: int, ui_port: int, api_port: int | None, output: Output) -> None:
    stop = Stop()
    stop.listen()
    async with AsyncExitStack() as stack:
        if api_port is not None:
            usable_port(api_port, "--api-port", any_port=False)
        # Work that a kill interrupted is waiting: the server starts meanwhile.
        rest = asyncio.create_task(asyncio.to_thread(import_module, "cli.running_stack"))
        server = None
        if configured_server() is None:
            server = await stack.enter_async_context(embedded_server(settings, port=port, ui_port=ui_port))
            pid = server.pid
            stop.at_once = lambda: end_process(pid)
        await (await rest).run_stack(settings, server, api_port, stop, output)
    output.say("stopped")
