"""What Supabase Storage says, in its older and newer words, and what Darkroom makes of it."""

import pytest
from storage3.exceptions import StorageApiError

from darkroom.domain.errors import DarkroomError, StorageRefused, StorageUnavailable
from darkroom.storage.supabase_errors import AlreadyThere, NoBucket, NoObject, translated

KEY_NAME, SIZE, KIND, ADDRESS = "SUPABASE_SERVICE_ROLE_KEY", "size limit", "media type", "SUPABASE_URL"
UNREADABLE = "Unable to parse error message: "


@pytest.mark.parametrize(
    ("status", "code", "said", "kind", "word"),
    [
        ("404", "not_found", "The resource was not found", NoObject, "does not exist"),
        ("404", "NoSuchKey", "The resource was not found", NoObject, "does not exist"),
        (404, "InternalError", UNREADABLE + '{"code": "NoSuchBucket"}', NoBucket, "bucket does not exist"),
        ("400", "InvalidJWT", "jwt expired", StorageRefused, KEY_NAME),
        ("400", "AccessDenied", "Access denied to this bucket", StorageRefused, KEY_NAME),
        ("403", "SomethingNew", "No", StorageRefused, KEY_NAME),
        (413, "InternalError", UNREADABLE + "<html>\n413</html>", StorageRefused, SIZE),
        ("400", "EntityTooLarge", "The object exceeded the maximum allowed size", StorageRefused, SIZE),
        ("415", "SomethingNew", "No", StorageRefused, KIND),
        ("400", "InvalidMimeType", "mime type text/html is not supported", StorageRefused, KIND),
        ("400", "InvalidKey", "Invalid key: ä", StorageRefused, "letters"),
        ("404", "Not Found", "Route GET:/storage/v1/object not found", StorageRefused, ADDRESS),
        ("", "SomethingNew", "Two\nlines", StorageRefused, "Two lines"),
        ("500", "Internal", "Unauthorized by the database", StorageUnavailable, "500"),
        ("409", "TransactionError", "Crossed", StorageUnavailable, "Crossed"),
        ("409", "Duplicate", "The resource already exists", AlreadyThere, "workers retry"),
        ("423", "ResourceLocked", "The resource is locked", StorageUnavailable, "locked"),
        (301, "InternalError", UNREADABLE, StorageUnavailable, ADDRESS),
    ],
)
def test_errors_of_newer_and_older_servers_have_their_kind(
    status: str | int, code: str, said: str, kind: type[DarkroomError], word: str
) -> None:
    error = translated(StorageApiError(said, code, status), "object 'a/one'")
    assert type(error) is kind
    assert str(error).startswith("object 'a/one': ")
    assert "\n" not in str(error)
    assert word in str(error)
