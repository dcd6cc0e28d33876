"""`up`: the options, and the Temporal server, which starts before all that needs it has been imported."""

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Annotated, Any

import typer

from cli import arguments
from cli.output import Output
from cli.statuses import InputRejected
from cli.stopping import Stop, end_process
from cli.working import opened_settings, run
from darkroom.client.connection import configured_server
from darkroom.collector import without_collection
from darkroom.embedded.ports import usable_port
from darkroom.embedded.server import DEFAULT_PORT, DEFAULT_UI_PORT, server_without_web_ui
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
        rest = asyncio.create_task(asyncio.to_thread(_import_the_rest))
        server = web_ui = None
        if configured_server() is None:
            starting = server_without_web_ui(settings, port=port, ui_port=ui_port)
            server, web_ui = await stack.enter_async_context(starting)
            pid = server.pid
            stop.at_once = lambda: end_process(pid)

        async def serve_web_ui() -> None:
            """On this stack: the Web UI is there as long as the server, also while calls in progress are waited for."""
            if web_ui is not None:
                await stack.enter_async_context(web_ui())

        await (await rest).run_stack(settings, server, serve_web_ui, api_port=api_port, stop=stop, output=output)
    output.say("stopped")


def _import_the_rest() -> Any:
    with without_collection():
        return import_module("cli.running_stack")
