"""What the application asks of pictures; whatever looks into their bytes does so in child processes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import structlog

from darkroom.decoding import codecs
from darkroom.decoding.c2pa import has_c2pa
from darkroom.decoding.children import CORES, ChildDied, Children, NoChild
from darkroom.decoding.codecs import NotAPicture, PictureFacts
from darkroom.decoding.xmp import ALGORITHMIC, COMPOSITE, LARGEST_IN_JPEG, TRAINED, Mark, marked, source_type
from darkroom.domain.sources import PictureOrigin, PictureSource

__all__ = [
    "CORES",
    "NoChild",
    "NotAPicture",
    "PictureFacts",
    "PictureWork",
    "digest",
    "digest_of",
    "guess_media_type",
    "mark_of_sheet",
    "source_of",
]

T = TypeVar("T")

log = structlog.get_logger(__name__)

LARGE = 256 * 1024
"""Bytes of a picture."""

MOST_REMEMBERED = 1_000
"""Pictures that ended their processes."""


def guess_media_type(data: bytes) -> str:
    """What the first bytes say; nothing else is looked at, so that no file can do harm."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
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
    """What a provider's bytes are, as far as that shows without decoding them; off the event loop, as `digest_of`."""

    def look() -> PictureSource:
        return PictureSource(sha256=digest(data), media_type=guess_media_type(data), c2pa=has_c2pa(data))

    return await asyncio.to_thread(look)


class PictureWork:
    """Decoding and encoding in child processes: one a core, with one picture each at a time.

    A picture that ends its process, by a crash or by a limit of time or memory, is tried once more, in a fresh one and
    alone, because it may have been another's fault. If it ends that one too, it is no picture.
    """

    def __init__(self, quality: int, method: int, children: Children, *, marks: bool = True) -> None:
        self._quality = quality
        self._method = method
        self._children = children
        self._marks = marks
        self._cores = asyncio.Semaphore(CORES)
        self._uploads = asyncio.Semaphore(1)
        """Large uploads take seconds and hundreds of MB each: one at a time, so that others' pictures do not wait."""
        self._second_tries = asyncio.Lock()
        self._harmful: dict[tuple[str, str], str] = {}
        """What bytes did to two processes, by work and digest: a page asks for its thumbnails again and again."""

    def mark(self, origin: PictureOrigin, job_id: UUID) -> Mark | None:
        """What a file of this job says of how it was made; None where `AI_MARK` is off."""
        if not self._marks:
            return None
        return Mark(TRAINED if origin.trained else ALGORITHMIC, origin.provider, origin.model, str(job_id))

    async def inspect(self, data: bytes) -> PictureFacts:
        """`codecs.inspect`."""
        return await self._run(partial(codecs.inspect, data))

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
        return await self._run(partial(codecs.encode_webp, data, self._quality, self._method, mark))

    async def thumbnail(self, data: bytes, height: int) -> bytes:
        """`codecs.thumbnail`."""
        return await self._run(partial(codecs.thumbnail, data, height))

    async def cleaned(self, data: bytes) -> tuple[bytes, PictureFacts]:
        """`codecs.cleaned`."""
        async with self._uploads:
            return await self._run(partial(codecs.cleaned, data))

    async def as_png(self, data: bytes) -> bytes:
        """`codecs.encode_png`."""
        return await self._run(partial(codecs.encode_png, data))

    async def _run(self, work: "partial[T]") -> T:
        """What the work returns or raises; its first argument is the bytes.

        Raises:
            NotAPicture: it ended two processes.
        """
        name, data = work.func.__name__, work.args[0]
        if self._harmful and (known := self._harmful.get((name, digest(data)))):
            raise NotAPicture(known)
        try:
            async with self._cores:
                return await self._children.run(work)
        except ChildDied as died:
            log.warning("picture tried again alone", work=name, sha256=digest(data), reason=f"its process {died}")
        try:
            async with self._alone():
                return await self._children.run(work, fresh=True)
        except ChildDied as died:
            reason = f"not a usable picture: two processes tried to read it, and the second {died}"
        if len(self._harmful) == MOST_REMEMBERED:
            del self._harmful[next(iter(self._harmful))]
        self._harmful[name, digest(data)] = reason
        raise NotAPicture(reason)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Wait until no picture is worked on, and keep it so."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._second_tries)  # two that each hold a part would wait for ever
            for _ in range(CORES):
                await stack.enter_async_context(self._cores)
            yield
