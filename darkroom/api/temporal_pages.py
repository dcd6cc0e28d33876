"""Pages of jobs in the Temporal Web UI."""

from collections.abc import Callable
from uuid import UUID

from darkroom.client.connection import configured_server
from darkroom.embedded.address import embedded_address, job_page
from darkroom.settings import Settings


def temporal_pages(settings: Settings) -> Callable[[UUID], str | None]:
    """What gives the page of a job, where one is known."""
    config = configured_server() or {}
    namespace = str(config.get("namespace") or "default")

    def page(job_id: UUID) -> str | None:
        if settings.temporal_ui_url is not None:
            return job_page(settings.temporal_ui_url, job_id, namespace)
        server = embedded_address(settings)
        return None if server is None else server.job_url(job_id)

    return page
