"""What the application asks of pictures; whatever looks into their bytes does so in child processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import structlog

from darkroom.decoding import codecs
from darkroom.decoding.c2pa import has_c2pa
from darkroom.decoding.children import CORES, Children, NoChild
from darkroom.decoding.claims import claimed_pixels
from darkroom.decoding.codecs import NotAPicture, PictureFacts
from darkroom.decoding.lanes import Lane
from darkroom.decoding.xmp import ALGORITHMIC, COMPOSITE, LARGEST_IN_JPEG, TRAINED, Mark, marked, source_type
from darkroom.domain.formats import ImageFormat
from darkroom.domain.sources import PictureOrigin, PictureSource
from darkroom.fair_queue import FairQueue

__all__ = [
    "CORES",
    "NoChild",
    "NotAPicture",
    "PictureFacts",
    "PictureWork",
    "UploadedPictures",
    "digest",
    "digest_of",
    "guess_media_type",
    "mark_of_sheet",
    "source_of",
]

log = structlog.get_logger(__name__)

LARGE = 256 * 1024
"""Bytes of a picture."""

THUMBNAIL_HEIGHT = 192
"""Pixels: frames are 96 high, and screens have two pixels for each."""

SMALL_PIXELS, SMALL_BYTES = 4_000_000, 4 * 1024 * 1024
"""Of an upload that takes a fraction of a second."""
SMALL_AT_ONCE, LARGE_AT_ONCE = 2, 2
NICENESS = 10
"""Of the processes for large uploads: requests and other pictures come first."""
HEAD = 256 * 1024
"""Bytes of a file in which its size is looked for."""
UPLOAD_MEMORY = 480 * 1024**2
"""Bytes of address space of a process for uploads; the largest picture takes 390 MB."""

Cleaner = Callable[[bytes], Awaitable[tuple[bytes, PictureFacts]]]


def guess_media_type(data: bytes) -> str:
    """What the first bytes say; nothing else is looked at, so that no file can do harm."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] == b"ftypavif":
        return "image/avif"
    return "application/octet-stream"


def digest(data: bytes) -> str:
    """The SHA-256 of the bytes, in hex."""
    return sha256(data).hexdigest()


async def digest_of(data: bytes) -> str:
    """The same; that of a large picture takes milliseconds, and leaves the event loop meanwhile."""
    return await asyncio.to_thread(digest, data) if len(data) > LARGE else digest(data)


def mark_of_sheet(packets: Iterable[bytes]) -> bytes | None:
    """The XMP of one JPEG that shows several pictures, by what theirs say; None where none of them says anything."""
    told = {source_type(packet) for packet in packets}
    for strongest in (TRAINED, COMPOSITE, ALGORITHMIC):
        if strongest in told:
            return marked(Mark(strongest), longest=LARGEST_IN_JPEG)
    return None


async def source_of(data: bytes) -> PictureSource:
    """What a provider's bytes are, as far as that shows without decoding them; of large ones as `digest_of`."""

    def look() -> PictureSource:
        return PictureSource(sha256=digest(data), media_type=guess_media_type(data), c2pa=has_c2pa(data))

    return await asyncio.to_thread(look) if len(data) > LARGE else look()


class Codec(NamedTuple):
    """How a format is written; `python -m benchmarks --only formats` measures it."""

    media_type: str
    kind: str
    options: dict[str, int]


CODECS = {
    ImageFormat.JPEG: Codec("image/jpeg", "JPEG", {"quality": 92, "subsampling": 0}),
    ImageFormat.PNG: Codec("image/png", "PNG", {"compress_level": 3}),
    ImageFormat.AVIF: Codec("image/avif", "AVIF", {"quality": 75, "speed": 8}),
}


class Deliverable(NamedTuple):
    """The file of a picture in the ordered format, a thumbnail of it, and the mark to put beside one that stays as it
    came."""

    data: bytes
    media_type: str
    small: bytes | None = None
    beside: bytes | None = None


class PictureWork:
    """Decoding and encoding in child processes: one a core, with one picture each at a time (`Lane`)."""

    def __init__(self, quality: int, method: int, children: Children, *, marks: bool = True) -> None:
        self._quality = quality
        self._method = method
        self._marks = marks
        self._lane = Lane(children)

    def mark(self, origin: PictureOrigin, job_id: UUID) -> Mark | None:
        """What a file of this job says of how it was made; None where `AI_MARK` is off."""
        if not self._marks:
            return None
        return Mark(TRAINED if origin.trained else ALGORITHMIC, origin.provider, origin.model, str(job_id))

    async def inspect(self, data: bytes) -> PictureFacts:
        """`codecs.inspect`."""
        return await self._lane.run(partial(codecs.inspect, data))

    async def check(self, data: bytes) -> None:
        """Decode a picture; not while no process can be started, which is no fault of it.

        Raises:
            NotAPicture: why it cannot be used.
        """
        try:
            await self.inspect(data)
        except NoChild as error:
            log.warning("picture not decoded", sha256=digest(data), reason=str(error))

    async def encode(self, data: bytes, mark: Mark | None = None) -> bytes:
        """`codecs.encode_webp`."""
        return await self._lane.run(partial(codecs.encode_webp, data, self._quality, self._method, mark))

    async def deliverable(self, data: bytes, wanted: ImageFormat, mark: Mark | None) -> Deliverable:
        """A provider's picture as it is delivered.

        Raises:
            NotAPicture: why it cannot be used.
        """
        if wanted is ImageFormat.ORIGINAL:
            facts, beside, small = await self._lane.run(partial(codecs.original, data, mark, THUMBNAIL_HEIGHT))
            return Deliverable(data, facts.media_type, small, beside)
        webp = Codec("image/webp", "WEBP", {"quality": self._quality, "method": self._method})
        codec = CODECS.get(wanted, webp)
        work = partial(codecs.encode_with_thumbnail, data, codec.kind, codec.options, mark, height=THUMBNAIL_HEIGHT)
        encoded = await self._lane.run(work)
        return Deliverable(encoded.data, codec.media_type, encoded.small)

    async def thumbnail(self, data: bytes) -> bytes:
        """`codecs.thumbnail`."""
        return await self._lane.run(partial(codecs.thumbnail, data, THUMBNAIL_HEIGHT))

    async def as_png(self, data: bytes, beside: bytes | None = None) -> bytes:
        """`codecs.encode_png`."""
        return await self._lane.run(partial(codecs.encode_png, data, beside))


class UploadedPictures:
    """Pictures that strangers upload, in processes of their own: what one user sends keeps nobody else waiting.

    Small ones take a fraction of a second each, and overtake the large ones, which take seconds and hundreds of MB.
    Both kinds wait for their turn by user.
    """

    def __init__(self, memory: int = UPLOAD_MEMORY) -> None:
        self._children = (
            Children(memory, most=SMALL_AT_ONCE),
            Children(memory, most=LARGE_AT_ONCE, niceness=NICENESS),
        )
        small, large = self._children
        self._small = Lane(small), FairQueue(2 * SMALL_AT_ONCE, SMALL_AT_ONCE), SMALL_PIXELS
        self._large = Lane(large), FairQueue(LARGE_AT_ONCE, 1), codecs.UPLOADED_PIXELS

    @asynccontextmanager
    async def turn(self, head: bytes, size: int, whose: Hashable) -> AsyncIterator[Cleaner]:
        """Wait for a turn; who gets it then reads the file into memory, and has it written anew.

        Args:
            head: the first bytes of the file.
            size: how many it has.
            whose: the user who brings it.
        """
        pixels = claimed_pixels(head)
        is_small = pixels is not None and pixels <= SMALL_PIXELS and size <= SMALL_BYTES
        lane, queue, most = self._small if is_small else self._large

        async def cleaned(data: bytes) -> tuple[bytes, PictureFacts]:
            return await lane.run(partial(codecs.cleaned, data, most))

        async with queue.turn(whose):
            yield cleaned

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [pid for children in self._children for pid in children.pids]

    async def close(self) -> None:
        """End the processes."""
        for children in self._children:
            await children.close()
