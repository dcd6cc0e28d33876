"""The errors of Supabase Storage in our words.

Its HTTP status is 400 for nearly everything and the real one stands in the body, whose fields differ between
versions, so what counts is either the status or a word that the body holds.
"""

from dataclasses import dataclass

from storage3.exceptions import StorageApiError

from darkroom.domain.errors import DarkroomError, StorageRefused, StorageUnavailable
from darkroom.domain.receipts import shorten


class NoObject(StorageRefused):
    """Nothing lies under the key."""


class NoBucket(StorageRefused):
    """There is no such bucket, or to a download: the key is wrong."""


class AlreadyThere(StorageUnavailable):
    """What was to be made is there."""


@dataclass(frozen=True)
class _Refusal:
    statuses: tuple[int, ...]
    words: tuple[str, ...]
    reason: str
    kind: type[DarkroomError] = StorageRefused


_REFUSALS = (
    _Refusal((), ("Bucket not found", "NoSuchBucket"), "the bucket does not exist; create it in Supabase", NoBucket),
    _Refusal((), ("Object not found", "NoSuchKey", "not_found"), "it does not exist; upload it first", NoObject),
    _Refusal(
        (413,),
        ("EntityTooLarge", "Payload too large"),
        "it is too large; raise the file size limit of the bucket and of the project's Storage",
    ),
    _Refusal(
        (415,),
        ("invalid_mime_type", "InvalidMimeType"),
        "the bucket does not accept this media type; allow it in the bucket's settings",
    ),
    _Refusal(
        (401, 403),
        ("Unauthorized", "InvalidJWT", "AccessDenied", "SignatureDoesNotMatch"),
        "the key has no access; set SUPABASE_SERVICE_ROLE_KEY to the project's service_role key",
    ),
    _Refusal((), ("InvalidKey",), "the server does not accept this name; use letters, digits, '/', '_', '.' and '-'"),
    _Refusal((), ("InvalidBucketName", "Bucket name invalid"), "the bucket name is invalid; change SUPABASE_BUCKET"),
    _Refusal(
        (),
        ("Duplicate", "AlreadyExists"),
        "another process created it first; workers retry until it succeeds",
        AlreadyThere,
    ),
)

_PASSING = {408, 409, 423, 425, 429}
"""With all from 500 on: other times, other answers. 409 is a write that another one crossed."""

_UNREADABLE = "InternalError"
"""What the client says when the body is not Storage's, but a gateway's."""


def translated(error: StorageApiError, place: str) -> DarkroomError:
    """The error as `StorageRefused` or `StorageUnavailable`, in one line that begins with `place`."""
    status = int(error.status) if str(error.status).isdecimal() else 0
    said = f"{error.code} {error.message}"
    for refusal in _REFUSALS:
        if status < 500 and (status in refusal.statuses or any(word in said for word in refusal.words)):
            return refusal.kind(f"{place}: {refusal.reason}")
    if error.code == _UNREADABLE:
        return StorageUnavailable(
            f"{place}: HTTP status {status} without an error from Storage; "
            "workers retry until it succeeds, check SUPABASE_URL if it never does"
        )
    reason = shorten(" ".join(str(error.message).split()), 200)
    if status >= 500 or status in _PASSING:
        return StorageUnavailable(f"{place}: {reason} ({status}); workers retry until it succeeds")
    return StorageRefused(f"{place}: {reason} ({status}); check SUPABASE_URL and the project's Storage logs")
