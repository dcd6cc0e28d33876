"""The routes of the API as its own description lists them, and requests that would do something there."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.attacks.wire import Ask, exchange, sending, uploading
from tests.attacks.world import GREEN, World, picture

OPEN = {"/healthz", "/readyz", "/pictures/{attach_id}", "/pictures/{attach_id}/thumbnail"}
"""Described routes that need no sign-in."""
PAGES = (
    ("GET", "/"),
    ("GET", "/jobs"),
    ("GET", "/jobs/{job_id}"),
    ("GET", "/stats"),
    *(("POST", f"/jobs/{{job_id}}/{action}") for action in ("cancel", "pause", "resume", "restart")),
)
"""Routes of the page, which are in no description."""
CSV = b"prompt,quantity\nfog,1\n"


@dataclass(frozen=True)
class Route:
    """A method and a path with parameters in braces."""

    method: str
    path: str

    @property
    def is_page(self) -> bool:
        """Whether browsers come here."""
        return not self.path.startswith("/api/") and self.path not in OPEN

    @property
    def changes(self) -> bool:
        """Whether it is for changing something."""
        return self.method not in ("GET", "HEAD")

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.method} {self.path}"

    def ask(self, job_id: object = "", attach_id: object = "", *headers: tuple[str, str]) -> Ask:
        """A request that would do something if it were allowed."""
        target = re.sub(r"\{job_id\}", str(job_id), self.path)
        target = re.sub(r"\{attach_id\}", str(attach_id), target)
        if self.is_page and self.changes:
            return Ask(self.method, target, (("Content-Type", "application/x-www-form-urlencoded"), *headers), b"a=b")
        if self.path == "/api/attachments":
            return uploading(target, "a.png", picture(GREEN), *headers)
        if self.path == "/api/tables":
            return Ask(self.method, target, (("Content-Type", "text/csv"), *headers), CSV)
        if self.method == "GET":
            return Ask("GET", target, headers)
        return sending(self.method, target, self._document(job_id), *headers)

    def _document(self, job_id: object) -> dict[str, Any]:
        if self.path in ("/api/jobs", "/api/jobs/quote"):
            return {"stages": [{"prompt": "a lemon", "quantity": 1}]}
        return (
            {"job_id": str(job_id), "reason": "because"} if self.path == "/api/jobs/cancel" else {"reason": "because"}
        )


async def routes(world: World) -> list[Route]:
    """All routes: those of the API's description, and the pages."""
    described = json.loads((await exchange(world.api.url, Ask("GET", "/openapi.json"), 20)).body)
    found = [Route(method.upper(), path) for path, of in described["paths"].items() for method in of]
    assert len(found) > 20
    return found + [Route(*page) for page in PAGES]


def protected(found: list[Route]) -> Iterator[Route]:
    """Those that need sign-in."""
    return (route for route in found if route.path not in OPEN)


def of_jobs(found: list[Route]) -> Iterator[Route]:
    """Those about one job."""
    return (route for route in found if "{job_id}" in route.path or route.path == "/api/jobs/cancel")
