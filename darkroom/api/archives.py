"""All pictures of a job as one zip, written while it is read: nothing is kept but one picture at a time."""

import io
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

from darkroom.records.paging import delivered_pages
from darkroom.records.watching import WatchRecords
from darkroom.storage import Storage

MISSING = "missing.txt"
EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
"""What a zip can tell; rows of before Darkroom may have no time at all."""


class _Pipe(io.RawIOBase):
    """What zipfile writes, until somebody takes it. It cannot seek, so that zipfile writes sizes behind the data."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        part = bytes(data)  # type: ignore[call-overload]  # any buffer, as the base class has it
        self._written += part
        return len(part)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


async def archive(records: WatchRecords, storage: Storage, job_id: UUID) -> AsyncIterator[bytes]:
    """The zip in parts. Pictures are stored as they are: they cannot be made smaller.

    A picture whose file is missing is named in `missing.txt`, so that nobody takes the archive for complete.
    """
    pipe = _Pipe()
    missing: list[str] = []
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as package:
        images = (image async for page in delivered_pages(records, job_id) for image in page)
        async for image in images:
            made = max(image.delivered_at, EARLIEST)
            for path, name in image.files.items():
                data = await storage.get(path)
                if data is None:
                    missing.append(name)
                    continue
                info = zipfile.ZipInfo(name, (made.year, made.month, made.day, made.hour, made.minute, made.second))
                info.external_attr = 0o644 << 16
                package.writestr(info, data)
                yield pipe.take()
        if missing:
            package.writestr(MISSING, "Their files are missing from the storage:\n" + "\n".join(missing) + "\n")
    yield pipe.take()
