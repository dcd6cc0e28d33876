"""Work on pictures in processes, of which a harmful picture ends two at most."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import TypeVar

import structlog

from darkroom.decoding.children import ChildDied, Children
from darkroom.decoding.codecs import NotAPicture

T = TypeVar("T")

log = structlog.get_logger(__name__)

MOST_REMEMBERED = 1_000
"""Pictures that ended their processes."""


class Lane:
    """Some processes, with one picture each at a time.

    A picture that ends its process, by a crash or by a limit of time or memory, is tried once more, in a fresh one and
    alone, because it may have been another's fault. If it ends that one too, it is no picture.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._free = asyncio.Semaphore(children.most)
        self._second_tries = asyncio.Lock()
        self._harmful: dict[tuple[str, str], str] = {}
        """What bytes did to two processes, by work and digest: a page asks for its thumbnails again and again."""

    async def run(self, work: "partial[T]") -> T:
        """What the work returns or raises; its first argument is the bytes.

        Raises:
            NotAPicture: it ended two processes.
        """
        name, data = work.func.__name__, work.args[0]
        if self._harmful and (known := self._harmful.get((name, _digest(data)))):
            raise NotAPicture(known)
        try:
            async with self._free:
                return await self._children.run(work)
        except ChildDied as died:
            log.warning("picture tried again alone", work=name, sha256=_digest(data), reason=f"its process {died}")
        try:
            async with self._alone():
                return await self._children.run(work, fresh=True)
        except ChildDied as died:
            reason = f"not a usable picture: two processes tried to read it, and the second {died}"
        if len(self._harmful) == MOST_REMEMBERED:
            del self._harmful[next(iter(self._harmful))]
        self._harmful[name, _digest(data)] = reason
        raise NotAPicture(reason)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Wait until no picture is worked on, and keep it so."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._second_tries)  # two that each hold a part would wait for ever
            for _ in range(self._children.most):
                await stack.enter_async_context(self._free)
            yield


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
