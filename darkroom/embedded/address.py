"""Where the embedded server listens: a file in DARKROOM_HOME, left by `up` for the other commands."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from darkroom.domain.names import job_workflow_id
from darkroom.settings import Settings

ADDRESS_FILE = "temporal.json"
"""Where `up` leaves the address of its Temporal server, in DARKROOM_HOME."""


@dataclass(frozen=True)
class EmbeddedServer:
    """The server that `up` runs."""

    address: str
    ui_url: str
    pid: int

    def job_url(self, job_id: UUID) -> str:
        """The job's page in the Temporal Web UI."""
        return job_page(self.ui_url, job_id)


def job_page(ui_url: str, job_id: UUID, namespace: str = "default") -> str:
    """The job's page in a Temporal Web UI."""
    return f"{ui_url}/namespaces/{namespace}/workflows/{job_workflow_id(job_id)}"


def embedded_address(settings: Settings) -> EmbeddedServer | None:
    """The server that `up` left the address of; None when there is none, or the file is broken."""
    file = settings.darkroom_home / ADDRESS_FILE
    try:
        left: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return EmbeddedServer(address=str(left["address"]), ui_url=str(left["ui_url"]), pid=int(left["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
