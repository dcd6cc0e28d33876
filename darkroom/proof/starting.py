"""Starts what a run is made of: Temporal, a provider, an API and workers, each a process that ends with this one."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from darkroom.bootstrap import open_parts
from darkroom.client.connection import connect, ensure_search_attributes
from darkroom.domain.errors import DarkroomError, ServerNotReachable
from darkroom.domain.names import LOCAL_USER
from darkroom.embedded.launching import child_environment, server_command
from darkroom.proof.ports import HOST, free_port
from darkroom.proof.processes import STARTS_WITHIN, Process, Worker
from darkroom.proof.provider import KEY
from darkroom.proof.site import OPENING_BALANCE
from darkroom.proof.stack import Stack
from darkroom.proof.waiting import until
from darkroom.settings import Settings


class ServerEnded(DarkroomError):
    """A server of the run does not start."""


@dataclass(frozen=True)
class Programs:
    """How the programs of a stack are started, by whoever knows where they are."""

    worker: Sequence[str]
    """The arguments of Python."""
    path: Path
    """What it needs to find what they import."""


SETTINGS = {
    "IMAGE_PROVIDER": "gemini",
    "GEMINI_API_KEY": KEY,
    "PROVIDER_CONCURRENCY": "8",
    "TOP_UP_DELAY": "0.5",
    "LOG_FORMAT": "json",
    "IMAGE_CREDIT_PRICE": "20",
}
LATENCY = 0.2, 2.0


@asynccontextmanager
async def running_stack(
    folder: Path,
    seed: int | str,
    programs: Programs,
    *,
    workers: int,
    client_limit: float,
    latency: tuple[float, float] = LATENCY,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """Everything up, empty; killed at the end. The environment and the folder of this process are the stack's."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    for name in ("temporal", "tmp"):
        (folder / name).mkdir()
    temporal_port, http_port, provider_port, api_port = (free_port() for _ in range(4))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": os.pathsep.join((str(programs.path), str(Path(__file__).parents[2]))),
        "DARKROOM_HOME": str(home),
        "TEMPORAL_ADDRESS": f"{HOST}:{temporal_port}",
        "GEMINI_BASE_URL": f"http://{HOST}:{provider_port}",
        "API_PORT": str(api_port),
        "STAGE_CONCURRENCY": str(random.Random(seed).choice((2, 3, 4))),  # noqa: S311 - a plan
        "GEMINI_TIMEOUT": f"{client_limit:g}",
        **SETTINGS,
        **(more or {}),
    }
    os.chdir(folder)
    os.environ.update(environment)
    settings = Settings(_env_file=None)
    module = ("-P", "-m")
    async with AsyncExitStack() as cleanup:
        server = Process(
            "Temporal",
            server_command(temporal_port, http_port, "darkroom-proof.invalid"),
            child_environment(environment),
            folder / "temporal.log",
            folder / "temporal",
        )
        provider = provider_process(
            folder, provider_port, environment, seed=seed, client_limit=client_limit, latency=latency
        )
        api = Process.python("API", (*module, "darkroom.api"), environment, folder / "api.log")
        served = [
            Worker(Process.python(f"worker {n}", programs.worker, environment, folder / f"worker-{n}.log"), n)
            for n in range(workers)
        ]
        for process in (server, provider, api, *(worker.process for worker in served)):
            cleanup.push_async_callback(process.kill)
        await asyncio.gather(start_temporal(server, settings), provider.start())
        temporal = await connect(settings)
        await ensure_search_attributes(temporal)
        parts = await cleanup.enter_async_context(open_parts(settings))
        await parts.records.ensure_member(LOCAL_USER, OPENING_BALANCE)
        url = f"http://{HOST}:{api_port}"
        stack = Stack(
            *(folder, home, provider, served, environment, client_limit),
            temporal_server=server,
            temporal=temporal,
            api=api,
            parts=parts,
            api_url=url,
        )
        await asyncio.gather(api.start(), *(worker.start() for worker in served))
        await until_serving(stack)
        for process in (provider, api, *(worker.process for worker in served)):
            if not process.lives:
                raise ServerEnded(f"{process.name} ended at its start; {process.log} says why")
        stack.say("everything is up")
        yield stack


def provider_process(
    folder: Path,
    port: int,
    environment: Mapping[str, str],
    *,
    seed: int | str,
    client_limit: float,
    latency: tuple[float, float],
) -> Process:
    """The provider of a run, which keeps its account in the run's folder."""
    program = (
        *("-P", "-m", "darkroom.proof.provider", str(folder), "--port", str(port), "--seed", str(seed)),
        *("--client-limit", f"{client_limit:g}", "--latency", *map(str, latency)),
    )
    return Process.python("provider", program, environment, folder / "provider.log")


async def start_temporal(server: Process, settings: Settings) -> None:
    """Start the server, and wait until it answers."""
    await server.start()

    async def answers() -> bool:
        if not server.lives:
            raise ServerEnded(f"the Temporal server ended at its start; {server.log} says why")
        with suppress(ServerNotReachable):
            return await (await connect(settings)).service_client.check_health()
        return False

    await until(answers, "the Temporal server to answer", STARTS_WITHIN)


async def until_serving(stack: Stack) -> None:
    """Wait for the API."""

    async def so() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{stack.api_url}/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    await until(so, "the API to answer", STARTS_WITHIN)
