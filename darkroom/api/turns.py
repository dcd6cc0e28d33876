"""Requests are worked on in turns by user, so that what one of them costs is not paid by the others."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from uuid import UUID

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom.api.allowances import RETRY_AFTER, Allowance, too_many
from darkroom.api.connections import customer_of
from darkroom.api.problems import Problem, answer
from darkroom.api.root_path import path_of
from darkroom.api.sign_in import presented
from darkroom.api_limits import ApiLimits
from darkroom.domain.keys import hash_of
from darkroom.fair_queue import FairQueue, Turn

log = structlog.get_logger(__name__)

OF_ALL, OF_ONE = 64, 4
"""Requests that a process works on at the same time. Those that wait for a job, for Temporal or for their client are
not worked on."""
HELD_BACK = 1.0
"""Seconds."""
KEPT = 10_000
"""Keys, tokens and sessions whose user is known before they are looked up."""
_REQUEST = "darkroom.turns"


class _Known:
    """Whose a request is, as far as its head tells."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, UUID] = OrderedDict()

    def user_of(self, proof: str) -> UUID | None:
        user_id = self._users.get(proof)
        if user_id is not None:
            self._users.move_to_end(proof)
        return user_id

    def note(self, proof: str, user_id: UUID) -> None:
        self._users[proof] = user_id
        if len(self._users) > KEPT:
            self._users.popitem(last=False)


class InTurns:
    """Lets requests of a user be worked on in turns, and stops at once what nobody waits for any more.

    Whose a request is, is known by the key, token or session that a request before it was signed in with; until then it
    is one of its address.

    Args:
        app: what answers.
        limits: what a user may ask of this process. What it costs is this process's, too, so that it counts for itself.
    """

    def __init__(self, app: ASGIApp, limits: ApiLimits) -> None:
        self._app = app
        self._most = limits.api_requests_per_user
        self._reads = Allowance(RateLimitItemPerMinute(limits.api_reads_per_minute), "reads", MemoryStorage())
        self._follows = Allowance(
            RateLimitItemPerMinute(limits.api_follows_per_minute), "event streams and waiting requests", MemoryStorage()
        )
        self._queue = FairQueue(OF_ALL, OF_ONE)
        self._known = _Known()
        self._in_progress: Counter[UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request when it is its turn."""
        if scope["type"] != "http" or path_of(scope).startswith(("/static/", "/healthz")):
            await self._app(scope, receive, send)
            return
        proof = _proof(scope)
        user_id = None if proof is None else self._known.user_of(proof)
        if user_id is None:
            await self._in_turn(scope, receive, send, proof, customer_of((scope.get("client") or ("",))[0]))
            return
        if self._in_progress[user_id] >= self._most:
            problem = too_many(f"the limit of {self._most:,} requests in progress per user is reached", RETRY_AFTER)
            await answer(problem, Request(scope))(scope, receive, send)
            return
        self._in_progress[user_id] += 1
        try:
            await self._count(scope, str(user_id))
            await self._in_turn(scope, receive, send, proof, user_id)
        except Problem as problem:
            await answer(problem, Request(scope))(scope, receive, _held_back(send))
        finally:
            self._in_progress[user_id] -= 1
            if not self._in_progress[user_id]:
                del self._in_progress[user_id]

    async def _count(self, scope: Scope, user_id: str) -> None:
        """Count what a user reads.

        Raises:
            Problem: 429, above a limit.
        """
        path = path_of(scope)
        if scope["method"] not in ("GET", "HEAD") or path.startswith("/pictures/"):
            return
        await self._reads.spend(user_id)
        if path.endswith("/events") or b"wait=" in scope["query_string"]:
            await self._follows.spend(user_id)

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send, proof: str | None, whose: Hashable) -> None:
        turn = Turn(self._queue, whose)

        async def send_without_turn(message: Message) -> None:
            if message["type"] == "http.response.body" or message.get("status") == 429:
                # A client may take as long as it likes to read.
                turn.end()
            await held_back(message)

        held_back = _held_back(send)

        if proof is not None:
            scope["state"][_REQUEST] = lambda user_id: self._known.note(proof, user_id)
        try:
            if scope["method"] in ("GET", "HEAD") and not _has_body(scope):
                await _WhileConnected(receive).run(self._app, turn, scope, send_without_turn)
            else:
                await turn.begin()
                await self._app(scope, _reading(receive, turn), send_without_turn)
        finally:
            turn.end()


def belongs_to(request: Request, user_id: UUID) -> None:
    """Say whose key, token or session a request came with."""
    note = request.scope.get("state", {}).get(_REQUEST)
    if note is not None:
        note(user_id)


class _WhileConnected:
    """Works on a request that changes nothing for as long as its client waits for it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = asyncio.Event()
        self._started = False

    async def run(self, app: ASGIApp, turn: Turn, scope: Scope, send: Send) -> None:
        came: deque[Message] = deque()
        while not came or came[-1].get("more_body", False):  # there is no body; servers say so in one message or two
            came.append(await self._receive())
            if came[-1]["type"] == "http.disconnect":
                return

        async def receive() -> Message:
            if came:
                return came.popleft()
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send_noting(message: Message) -> None:
            self._started = True
            await send(message)

        task = asyncio.current_task()
        assert task is not None, "requests are served by tasks"
        watching = asyncio.create_task(self._watch(task))
        try:
            await turn.begin()
            await app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if not self._gone.is_set() or task.uncancel():
                raise
            log.debug("client left", path=scope["path"])
        finally:
            watching.cancel()

    async def _watch(self, task: "asyncio.Task[object]") -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
        # What has begun to respond notices by itself.
        if not self._started:
            task.cancel()


def _held_back(send: Send) -> Send:
    """What sends a response. That there was too much comes late, so that asking again at once makes no more of it."""

    async def send_late(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 429:
            await asyncio.sleep(HELD_BACK)
        await send(message)

    return send_late


def _reading(receive: Receive, turn: Turn) -> Receive:
    """What receives a body; the turn is another's until it is complete."""
    left = complete = False

    async def receive_elsewhere() -> Message:
        nonlocal left, complete
        if complete:
            return await receive()
        if not left:
            left = True
            turn.leave()
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            complete = True
            await turn.come_back()
        return message

    return receive_elsewhere


def _proof(scope: Scope) -> str | None:
    """The hash of what a request is signed in with."""
    try:
        shown = presented(Request(scope))
    except Problem:
        return None
    return None if shown is None else hash_of(shown.secret)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
