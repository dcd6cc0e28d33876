"""Taking the pictures of a job home as one zip file."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from darkroom.api.allowances import Held
from darkroom.api.archives import MEDIA_TYPE, chosen, response
from darkroom.api.guarded_routes import GuardedRoute
from darkroom.api.problems import documented
from darkroom.api.routes.jobs import JobId
from darkroom.api.services import SignedIn, Use
from darkroom.exports.archive import archive_of
from darkroom.exports.choosing import Choice, choose

router = APIRouter(prefix="/api/jobs", tags=["jobs"], route_class=GuardedRoute)

Chosen = Annotated[Choice, Depends(chosen)]

_ANSWERS: dict[int | str, dict[str, Any]] = {
    **documented(404, 409, 416, 429),
    200: {"content": {MEDIA_TYPE: {}}, "description": "The zip file."},
    206: {"content": {MEDIA_TYPE: {}}, "description": "A part of it."},
}


@router.get("/{job_id}/archive.zip", response_class=Response, responses=_ANSWERS)
async def archived(job_id: JobId, caller: SignedIn, use: Use, choice: Chosen, request: Request) -> Response:
    """Download the delivered pictures as a zip file, or those you choose, with `manifest.json` and `manifest.csv`.

    The length is known, and an ended job gives the same bytes each time: a download that broke off can go on with
    `Range` and `If-Range`. `HEAD` gives the length and the `ETag` alone.
    """
    return await _archive(job_id, caller, use, choice, request, head=False)


@router.head("/{job_id}/archive.zip", response_class=Response, include_in_schema=False)
async def archive_head(job_id: JobId, caller: SignedIn, use: Use, choice: Chosen, request: Request) -> Response:
    """Get the length and the `ETag` of the zip file."""
    return await _archive(job_id, caller, use, choice, request, head=True)


async def _archive(
    job_id: JobId, caller: SignedIn, use: Use, choice: Choice, request: Request, *, head: bool
) -> Response:
    await use.job(job_id, caller)
    async with use.leases.held(Held.ARCHIVE, caller):
        export = await choose(use.parts.records, job_id, choice)
        archive = await archive_of(export, use.parts.storage)
    return response(use, caller, export, archive, request.headers, head=head)
