"""Whether a Supabase project is ready for Darkroom: reached, the right key, migrated, its clock."""

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
from postgrest import APIError
from pydantic import BaseModel, TypeAdapter

from darkroom.domain.findings import Finding
from darkroom.domain.receipts import shorten
from darkroom.records.faults import Fault, fault_of
from darkroom.records.supabase.functions import SCHEMA_VERSION
from darkroom.supabase import Supabase, described

MOST_SKEW = timedelta(seconds=5)
"""Tokens, signed addresses and the times on a receipt are still what they say."""

PROJECT, KEY, MIGRATIONS, CLOCK = "Supabase", "service key", "migrations", "clock"


class _State(BaseModel):
    version: str
    time: datetime


_STATE = TypeAdapter(_State)


async def check_project(supabase: Supabase, key: str) -> list[Finding]:
    """A finding for the project, its key, its migrations and its clock."""
    asked = datetime.now(UTC)
    try:
        answer = await supabase.client.rpc("darkroom_state", {}).execute()
    except httpx.TransportError as error:
        reason = described(error)
        lost = Finding.wrong(
            PROJECT, f"{supabase.url} does not answer ({reason})", "check SUPABASE_URL and that the project runs"
        )
        return [lost, *(Finding.unknown(what, "Supabase does not answer") for what in (KEY, MIGRATIONS, CLOCK))]
    except APIError as error:
        return _refused(supabase.url, key, error)
    state = _STATE.validate_python(answer.data)
    return [
        Finding.good(PROJECT, f"{supabase.url} answers"),
        Finding.good(KEY, "has the rights of the service role"),
        _migrations(state.version),
        _clock(state.time, asked, datetime.now(UTC)),
    ]


def _refused(url: str, key: str, error: APIError) -> list[Finding]:
    code = str(error.code or "")
    message = f"{shorten(' '.join(str(error.message or error.details or '').split()), 120)} ({code})"
    fault = fault_of(code, message)
    answers = Finding.good(PROJECT, f"{url} answers")
    role = _role(key)
    if fault is Fault.WRONG_KEY or role not in (None, "service_role"):
        kind = f"is the key of the role {role}" if role not in (None, "service_role") else message
        remedy = "set SUPABASE_SERVICE_ROLE_KEY to the project's service_role (or secret) key"
        return [
            answers,
            Finding.wrong(KEY, kind, remedy),
            *(Finding.unknown(what, "the key is refused") for what in (MIGRATIONS, CLOCK)),
        ]
    if fault is Fault.NOT_MIGRATED:
        missing = Finding.wrong(MIGRATIONS, "are not applied", "apply supabase/migrations, see docs/deploy.md")
        unchecked = (Finding.unknown(what, "the migrations are missing") for what in (KEY, CLOCK))
        return [answers, next(unchecked), missing, next(unchecked)]
    failing = Finding.wrong(PROJECT, f"{url} returned an error: {message}", "check the project's logs; try again")
    return [failing, *(Finding.unknown(what, "Supabase returned an error") for what in (KEY, MIGRATIONS, CLOCK))]


def _role(key: str) -> str | None:
    """The role that a key says it has; None for keys that say nothing."""
    if key.startswith("sb_publishable_"):
        return "anon"
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return role if isinstance(role, str) else None


def _migrations(version: str) -> Finding:
    if version < SCHEMA_VERSION:
        return Finding.wrong(
            MIGRATIONS,
            f"are at {version}, but {SCHEMA_VERSION} is required",
            "apply the newer files of supabase/migrations",
        )
    # Newer ones only add: a deployment migrates first, and its workers follow.
    return Finding.good(MIGRATIONS, f"are at {version}")


def _clock(there: datetime, asked: datetime, answered: datetime) -> Finding:
    # The database read its clock somewhere between our request and its response.
    skew = max(asked - there, there - answered, timedelta(0))
    difference = f"differs from Supabase's by {skew.total_seconds():.1f} s"
    if skew > MOST_SKEW:
        return Finding.wrong(CLOCK, difference, "set this machine's clock, for example with a time server (NTP)")
    return Finding.good(CLOCK, difference)
