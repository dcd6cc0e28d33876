"""Archives over HTTP: their length is known, parts of them can be asked for, and one that broke off goes on."""

import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from darkroom.api.allowances import Held
from darkroom.api.problems import Problem
from darkroom.api.services import Services
from darkroom.api.sign_in import Caller
from darkroom.api.standing import WhileSignedIn
from darkroom.domain.file_names import DEFAULT_TEMPLATE, LONGEST_TEMPLATE
from darkroom.exports.archive import Archive
from darkroom.exports.choosing import Choice, Export

MEDIA_TYPE = "application/zip"
LONGEST_CHOICE = 32_000
"""Characters; servers take 64 KB of a request's head."""

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def chosen(
    *,
    name: Annotated[
        str,
        Query(
            max_length=LONGEST_TEMPLATE,
            description="The template of file names, of `{job}`, `{stage}`, `{label}` and `{n}` or `{n:03}`; `/` makes "
            "folders. The extension is added.",
        ),
    ] = DEFAULT_TEMPLATE,
    stage: Annotated[int | None, Query(ge=0, lt=2**31, description="Only pictures of this stage.")] = None,
    pictures: Annotated[
        str | None,
        Query(max_length=LONGEST_CHOICE, description="Only these pictures: attachment ids, such as `9634,9640-9652`."),
    ] = None,
) -> Choice:
    """What of a job is asked for."""
    return Choice(name=name, stage=stage, pictures=pictures)


def response(
    use: Services, caller: Caller, export: Export, archive: Archive, asked: Mapping[str, str], *, head: bool
) -> Response:
    """The archive, the part of it that is asked for, or its head.

    Args:
        use: the services.
        caller: who asks.
        export: what the archive is of.
        archive: what is sent.
        asked: the request's headers.
        head: whether only the headers are asked for.
    """
    etag = f'"{archive.etag}"'
    headers = {
        "Content-Disposition": f'attachment; filename="darkroom-{str(export.job_id)[:8]}.zip"',
        "ETag": etag,
        "Accept-Ranges": "bytes",
        # Asked for again each time: a job that runs has more pictures then.
        "Cache-Control": "private, no-cache",
    }
    start, stop, status = 0, archive.size, 200
    if asked.get("if-range", etag) == etag and (part := _part(asked.get("range", ""), archive.size)) is not None:
        start, stop = part
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{archive.size}"
    headers["Content-Length"] = str(stop - start)
    if head:
        return Response(status_code=status, media_type=MEDIA_TYPE, headers=headers)
    return WhileSignedIn(
        use.leases.held(Held.ARCHIVE, caller),
        use.standing,
        caller,
        archive.read(start, stop),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The one range that is asked for; None for all of it, as for several, which nobody has to be given.

    Raises:
        Problem: 416, it lies behind the end.
    """
    match = _RANGE.fullmatch(asked.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, stop = int(match[1]), min(int(match[2] or size) + 1, size)
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, stop = max(0, size - int(match[2])), size
    if start >= stop:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, f"Range: the archive has {size:,} bytes", field="Range", headers=headers)
    return start, stop
