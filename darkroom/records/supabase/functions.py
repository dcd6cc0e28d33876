"""Calls of the SQL functions in `supabase/schemas`, and what their errors mean."""

import re
from typing import Any

import httpx
from postgrest import APIError

from darkroom.disk import full_disk
from darkroom.domain.errors import (
    DarkroomError,
    JobNotFound,
    NotPossibleNow,
    OrderRejected,
    RecordsRefused,
    RecordsUnavailable,
    RunRefused,
)
from darkroom.domain.receipts import shorten
from darkroom.fair_queue import FairQueue
from darkroom.records.faults import GIVE_UP, Fault, fault_of
from darkroom.supabase import Supabase, described

SCHEMA_VERSION = "20261129130000"
"""The migration that this code needs: the newest in `supabase/migrations`."""

FOR_USERS, OF_ONE_USER = 16, 4
"""Calls at the same time for users of the API: of the client's 20 connections, some are left for sign-ins, and what one
user asks for above this waits for their own turn."""

_RAISED = {"PT404": JobNotFound, "PT409": RunRefused, "PT422": NotPossibleNow}
"""What our functions raise themselves."""

_WAIT = "workers retry until it succeeds"
_NOT_TEXT = re.compile(r"22P05|22021")
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")


class Functions:
    """The functions of one project. A call is one transaction; a time-out does not undo it."""

    def __init__(self, supabase: Supabase) -> None:
        self._supabase = supabase
        self._turns = FairQueue(FOR_USERS, OF_ONE_USER)

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call `darkroom_{name}` with `p_` before each argument; gives its JSON.

        Raises:
            JobNotFound: no such job.
            RunRefused: the job's run may not do this.
            NotPossibleNow: the balance has no room for it.
            OrderRejected: text that PostgreSQL cannot keep.
            RecordsUnavailable: not reached, or not ready; the message says what to check.
            RecordsRefused: anything else that the database says; retrying cannot help.
        """
        parameters = {f"p_{key}": value for key, value in arguments.items()}
        try:
            async with self._turns.turn_of_who_asks():
                answer = await self._supabase.client.rpc(f"darkroom_{name}", parameters).execute()
        except APIError as error:
            raise self._known(error) from error
        except httpx.TransportError as error:
            # Without its cause: tracebacks and Temporal's histories would quote it.
            raise self._unavailable(f"{described(error)}; check SUPABASE_URL and that the project runs") from None
        except UnicodeEncodeError as error:
            raise OrderRejected(
                "document", "contains an unpaired surrogate; write the character out in UTF-8"
            ) from error
        return answer.data

    async def close(self) -> None:
        """Let go of the connections."""
        await self._supabase.close()

    def _known(self, error: APIError) -> DarkroomError:
        return self.meaning(str(error.code or ""), str(error.message or error.details or ""))

    def meaning(self, code: str, message: str) -> DarkroomError:
        """What a user or Temporal can do about an error of the database."""
        message = shorten(" ".join(message.split()), 200)
        if not code and not message:
            # What PostgREST answers when PostgreSQL is killed during the call: it has heard no word of it.
            return self._unavailable(f"the connection to the database was lost; {_WAIT}")
        if code == "53100":
            return RecordsUnavailable(full_disk(f"the database of {self._supabase.url}"))
        message = message.replace("`starter.py ", "`darkroom ")  # the command's first name, in applied migrations
        if code in _RAISED:
            return _RAISED[code](message)
        if _NOT_TEXT.fullmatch(code):
            return OrderRejected("document", "contains a NUL character, which PostgreSQL cannot store; leave it out")
        said = f"{message} ({code})" if code else message
        match fault_of(code, message):
            case Fault.PASSING:
                remedy = _WAIT
            case Fault.WRONG_KEY:
                remedy = "set SUPABASE_SERVICE_ROLE_KEY to the project's service_role key"
            case Fault.NOT_MIGRATED:
                remedy = f"apply supabase/migrations up to {SCHEMA_VERSION}"
            case Fault.UNKNOWN:
                return RecordsRefused(f"records {self._supabase.url}: {said}; {GIVE_UP}")
        return self._unavailable(f"{said}; {remedy}")

    def _unavailable(self, reason: str) -> RecordsUnavailable:
        return RecordsUnavailable(f"records {self._supabase.url}: {reason}")


class Part:
    """Some of the methods of `SupabaseRecords`, by subject."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._call = functions.call


def keepable(said: str | None) -> str | None:
    """A reason, with what PostgreSQL cannot store shown as �: a reason never stops what it explains."""
    return None if said is None else _UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", said)
