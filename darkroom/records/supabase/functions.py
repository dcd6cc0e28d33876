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
    RecordsUnavailable,
    RunRefused,
)
from darkroom.supabase import Supabase, described

SCHEMA_VERSION = "20261127100000"
"""The migration that this code needs: the newest in `supabase/migrations`."""

WRONG_KEY = re.compile(r"PGRST30\d|42501|401|403")
NOT_MIGRATED = re.compile(r"PGRST20[25]|42P01|42883|404")
_NOT_TEXT = re.compile(r"22P05|22021")
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
_PASSING = re.compile(r"PGRST00\d|08...|40P01|53...|55P03|57...|58...|25006|25P03|429|5\d\d|LOST")
"""Connections, deadlocks, full disks and memory, locks, shutdowns and time-outs, input and output, standby."""


class Functions:
    """The functions of one project. A call is one transaction; a time-out does not undo it."""

    def __init__(self, supabase: Supabase) -> None:
        self._supabase = supabase

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call `darkroom_{name}` with `p_` before each argument; gives its JSON.

        Raises:
            JobNotFound: no such job.
            RunRefused: the job's run may not do this.
            NotPossibleNow: the balance has no room for it.
            OrderRejected: text that PostgreSQL cannot keep.
            RecordsUnavailable: not reached, or not ready; the message says what to check.
        """
        parameters = {f"p_{key}": value for key, value in arguments.items()}
        try:
            answer = await self._supabase.client.rpc(f"darkroom_{name}", parameters).execute()
        except APIError as error:
            known = self._known(error)
            if known is None:
                raise  # a statement of ours is wrong; trying again would hide it
            raise known from error
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

    def _known(self, error: APIError) -> DarkroomError | None:
        """What a user or Temporal can do about the answer; None for a mistake of ours."""
        advice = {
            # Retried all the same: when an operator has fixed key or migrations, running jobs continue.
            WRONG_KEY: "set SUPABASE_SERVICE_ROLE_KEY to the project's service_role key",
            NOT_MIGRATED: f"apply supabase/migrations up to {SCHEMA_VERSION}",
            _PASSING: "workers retry until it succeeds",
        }
        code, message = str(error.code or ""), " ".join(str(error.message or error.details or "").split())[:200]
        if not code and not message:
            # What PostgREST answers when PostgreSQL is killed during the call: it has heard no word of it.
            code, message = "LOST", "the connection to the database was lost"
        if code == "53100":
            return RecordsUnavailable(full_disk(f"the database of {self._supabase.url}"))
        message = message.replace("`starter.py ", "`darkroom ")  # the command's first name, in applied migrations
        if code == "PT404":
            return JobNotFound(message)
        if code == "PT409":
            return RunRefused(message)
        if code == "PT422":
            return NotPossibleNow(message)
        if _NOT_TEXT.fullmatch(code):
            return OrderRejected("document", "contains a NUL character, which PostgreSQL cannot store; leave it out")
        remedy = next((remedy for pattern, remedy in advice.items() if pattern.fullmatch(code)), None)
        return None if remedy is None else self._unavailable(f"{message} ({code}); {remedy}")

    def _unavailable(self, reason: str) -> RecordsUnavailable:
        return RecordsUnavailable(f"records {self._supabase.url}: {reason}")


def keepable(said: str | None) -> str | None:
    """A reason, with what PostgreSQL cannot store shown as �: a reason never stops what it explains."""
    return None if said is None else _UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", said)
