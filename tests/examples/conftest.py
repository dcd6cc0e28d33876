"""One running `up` for the examples: Temporal's server, a worker, the API, the offline provider."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_stack import STARTER, environment, first_document, ports_of_its_own
from tests.support.ports import free_port
from tests.support.until import until

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Stack:
    """What the examples run against."""

    url: str
    environment: dict[str, str]

    def order(self, quantity: int, **more: Any) -> str:
        """Order over HTTP; gives the job's id."""
        document = {"stages": [{"prompt": "a lemon", "quantity": quantity}], **more}
        answer = httpx.post(f"{self.url}/api/jobs", json=document, timeout=30, trust_env=False)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the folder of the examples until it ends."""
        return subprocess.run(
            command,
            cwd=EXAMPLES,
            env={**self.environment, "DARKROOM_URL": self.url, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


async def answers(url: str) -> bool:
    """Whether the API is there, and what it needs."""
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack; webhooks may go to this machine."""
    folder = tmp_path_factory.mktemp("examples")
    # Two calls at a time: jobs last long enough for a connection to be lost while they run.
    settings = environment(folder / "home", WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8", STAGE_CONCURRENCY="2")
    with (
        (folder / "up.log").open("w") as log,
        subprocess.Popen(
            [*STARTER, "up", "--json", *ports_of_its_own()],
            env=settings,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            url = first_document(process)["page"]
            asyncio.run(until(lambda: answers(url), "the API to answer", 30))
            yield Stack(url, settings)
        finally:
            process.terminate()
            process.wait(30)


Start = Callable[..., tuple[subprocess.Popen[str], int]]


@pytest.fixture
def start(stack: Stack) -> Iterator[Start]:
    """Starts a server of the examples on a free port; stopped at the end. Gives the process and the port."""
    started: list[subprocess.Popen[str]] = []

    def begin(example: str, **settings: str) -> tuple[subprocess.Popen[str], int]:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / example)],
            env={**stack.environment, "PORT": str(port), **settings},
            cwd=Path(stack.environment["DARKROOM_HOME"]).parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, port

    yield begin
    for process in started:
        process.terminate()
        with process:
            process.wait(30)
