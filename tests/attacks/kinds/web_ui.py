"""The embedded Temporal's listener and ports: what a page of another site, or a name that leads here, can send."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from temporalio.client import Client, WorkflowHandle

from darkroom.embedded.address import EmbeddedServer
from darkroom.embedded.server import embedded_server
from darkroom.settings import Settings
from tests.attacks.judging import Try, accepted
from tests.attacks.wire import Answer, Ask

KIND = "page of another site, at Temporal"
PORTS = "page of another site, at Temporal's own ports"
EVIL = "evil.example"
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GET")


@dataclass
class Listener:
    """The listener and the job behind it."""

    url: str
    server: EmbeddedServer
    job_id: str
    job: WorkflowHandle[Any, Any]

    async def state(self) -> tuple[object, int]:
        """What a try may not change."""
        described = await self.job.describe()
        return described.status, described.history_length

    def address(self, made: Try) -> str:
        """Where a try goes."""
        return self.url if made.kind == KIND else f"http://127.0.0.1:{made.name.split()[0]}"

    def ports(self) -> list[int]:
        """Those of Temporal that speak HTTP, or might."""
        grpc = int(self.server.address.rpartition(":")[2])
        listens = psutil.Process(self.server.pid).net_connections("tcp")
        ports = {link.laddr.port for link in listens if link.status == psutil.CONN_LISTEN}
        return sorted(ports - {grpc})


@asynccontextmanager
async def running_listener(home: Path) -> AsyncIterator[Listener]:
    """The embedded Temporal as `up` runs it, with a job."""
    async with embedded_server(Settings(_env_file=None, darkroom_home=home), port=0, ui_port=0) as server:
        client = await Client.connect(server.address)
        job_id = f"job-{uuid4()}"
        job: WorkflowHandle[Any, Any] = await client.start_workflow("PipelineJob", id=job_id, task_queue="nobody")
        yield Listener(server.ui_url, server, job_id, job)


def _paths(job_id: str) -> list[str]:
    workflows = "/api/v1/namespaces/default/workflows"
    return [
        f"{workflows}/{job_id}/signal/pause",
        f"{workflows}/{job_id}/terminate",
        f"{workflows}/{job_id}/cancel",
        f"{workflows}/{job_id}/history",
        workflows,
        f"/x/..{workflows}/{job_id}/terminate",
        f"/{workflows}/{job_id}/terminate",
        f"{workflows}/{job_id}/%74erminate",
    ]


def _foreign(own: str) -> list[tuple[tuple[str, str], ...]]:
    host = own.partition("//")[2]
    return [
        (("Host", EVIL),),
        (("Host", EVIL), ("Origin", f"http://{EVIL}")),
        (("Host", f"127.0.0.1.{EVIL}"), ("Origin", f"http://127.0.0.1.{EVIL}")),
        (("Host", f"{EVIL}@127.0.0.1"),),
        (("Host", ""),),
        (("Host", "[::1"), ("Origin", "http://[::1")),
        (("Host", host), ("Host", EVIL)),
        (("Origin", f"http://{EVIL}"), ("Sec-Fetch-Site", "cross-site")),
        (("Origin", "null"), ("Sec-Fetch-Site", "cross-site")),
        (("Origin", "http://127.0.0.1:1"), ("Sec-Fetch-Site", "same-site")),
        (("Origin", f"{own}.{EVIL}"), ("Sec-Fetch-Site", "cross-site")),
        (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")),
    ]


def tries(listener: Listener) -> Iterator[Try]:
    """Everything a page of another site can send, at the listener and at each port behind it."""
    for path in _paths(listener.job_id):
        for method in METHODS:
            for headers in _foreign(listener.url):
                body = b"" if method == "GET" else b"{}"
                ask = Ask(method, path, (*headers, ("Content-Type", "text/plain")), body)
                # Any page may be linked to; what the API says is another thing.
                rule = accepted if path.startswith("/api/") or method != "GET" else None
                yield Try(KIND, f"{method} {path.replace(listener.job_id, 'JOB')} {headers}", ask, also_in=rule)
        for port in listener.ports():
            for host in (f"127.0.0.1:{port}", f"localhost:{port}", EVIL):
                ask = Ask("POST", path, (("Host", host), ("Content-Type", "text/plain")), b"{}")
                name = f"{port} {path.replace(listener.job_id, 'JOB')} as {host}"
                yield Try(PORTS, name, ask, also_in=_obeyed)


def _obeyed(answer: Answer) -> bool:
    # A port that speaks no HTTP/1.1 answers nothing that is one.
    return accepted(answer)
