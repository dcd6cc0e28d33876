"""What goes wrong at the local Storage server, on demand."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from tests.support.supabase.storage_wire import Answer, as_json


class Wrong(StrEnum):
    """What is answered in place of the right thing."""

    INTERNAL = "500"
    """The body of the real server."""
    BAD_GATEWAY = "502"
    """A gateway's page of HTML, as when only the gateway is up."""
    BUSY = "429"
    WRONG_KEY_AT_GATEWAY = "401"
    """A gateway that knows the key is wrong: its body has neither `error` nor `statusCode`."""
    NO_STORAGE = "404"
    """A page of HTML: the address is not a project's."""
    DATABASE_DOWN = "544"
    """The real server's own status, in a body that comes with HTTP 400."""
    ANOTHER_SERVER = "200"
    """A page of HTML that is no error: something else listens there."""
    NO_BUCKET = "no bucket"
    """What a download answers that comes just before the bucket is made."""
    NEWER_NO_OBJECT = "newer no object"
    """A missing object in a body with other names of fields."""


_ANSWERS = {
    Wrong.INTERNAL: as_json({"statusCode": "500", "error": "Internal", "message": "Internal Server Error"}, 500),
    Wrong.BAD_GATEWAY: Answer(b"<html>\r\n<h1>502 Bad Gateway</h1>\r\n</html>", 502, "text/html"),
    Wrong.BUSY: as_json({"statusCode": "429", "error": "SlowDown", "message": "Too many requests"}, 429),
    Wrong.WRONG_KEY_AT_GATEWAY: as_json({"message": "Invalid API key", "hint": "Double check your API key."}, 401),
    Wrong.NO_STORAGE: Answer(b"<html>\n<h1>Not Found</h1>\n</html>", 404, "text/html"),
    Wrong.DATABASE_DOWN: as_json(
        {"statusCode": "544", "error": "DatabaseTimeout", "message": "The connection to the database timed out"}, 400
    ),
    Wrong.ANOTHER_SERVER: Answer(b"<html>Welcome!</html>", 200, "text/html"),
    Wrong.NO_BUCKET: as_json({"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"}, 400),
    Wrong.NEWER_NO_OBJECT: as_json({"code": "NoSuchKey", "message": "Object not found"}, 404),
}


@dataclass(frozen=True)
class Faults:
    """What goes wrong from now on; without arguments nothing does."""

    every: int = 0
    """Each so-many-th call gets `answer` instead of being carried out: 3 is every third, 0 none."""
    answer: Wrong = Wrong.INTERNAL
    stalls: int = 0
    """So many calls are carried out and never answered: the client has to give up."""
    down: bool = False
    """Connections are cut without an answer."""
    together: int = 1
    """Calls are carried out once so many of them are there."""
    operations: frozenset[str] = frozenset()
    """Those it happens to, of `OPERATIONS`; none named, all."""


class Trouble:
    """`Faults` at work: counts the calls they are about."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._calls = 0
        self._stalls = faults.stalls
        self._gate = asyncio.Barrier(faults.together)

    def concerns(self, operation: str) -> bool:
        return not self.faults.operations or operation in self.faults.operations

    async def instead(self) -> Answer | None:
        """What to answer instead of carrying the call out."""
        if self.faults.together > 1:
            await self._gate.wait()
        self._calls += 1
        if self.faults.every and self._calls % self.faults.every == 0:
            return _ANSWERS[self.faults.answer]
        return None

    def stalls(self) -> bool:
        """Whether the answer to this call is held back."""
        if not self._stalls:
            return False
        self._stalls -= 1
        return True
