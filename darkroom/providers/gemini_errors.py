"""What the body of Gemini's errors says beyond its message."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from google.genai.errors import APIError

LONGEST_WAIT = timedelta(days=1)

STATUSES: Mapping[str, int] = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}
"""The HTTP status of each name, as google/rpc/code.proto pairs them."""


def http_status(error: Mapping[str, object]) -> int:
    """The HTTP status that an error in a body stands for: its code, else what its name is paired with; else 0."""
    code = str(error.get("code"))
    # Below 300 it is no HTTP error: some other numbering, such as gRPC's, of which the name says the same.
    if re.fullmatch(r"[345][0-9][0-9]", code):
        return int(code)
    return STATUSES.get(str(error.get("status")).upper(), 0)


@dataclass(frozen=True)
class ErrorDetails:
    """What an error's body says beyond its message."""

    from_gemini: bool
    """Whether the body is one of Gemini's; a page of some other server is not."""
    reasons: frozenset[str] = frozenset()
    grants_nothing: bool = False
    """Whether a quota of this project is 0, which no wait changes."""
    is_daily: bool = False
    """Whether a quota is counted by the day."""
    retry_delay: timedelta | None = None

    @classmethod
    def of(cls, error: APIError) -> "ErrorDetails":
        """Read the body of an error; of any shape."""
        body = error.details.get("error") if isinstance(error.details, Mapping) else None
        if not isinstance(body, Mapping):
            return cls(from_gemini=False)
        details = list(_mappings(body.get("details")))
        violations = [v for detail in details for v in _mappings(detail.get("violations"))]
        return cls(
            from_gemini=True,
            reasons=frozenset(str(detail["reason"]) for detail in details if "reason" in detail),
            grants_nothing=_grants_nothing(violations, str(error.message)),
            is_daily=any("PerDay" in str(violation.get("quotaId")) for violation in violations),
            retry_delay=max(filter(None, map(_delay, details)), default=None),
        )


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def _grants_nothing(violations: list[Mapping[str, object]], message: str) -> bool:
    """Whether a limit is 0: in a violation, in the message, or left out of both for the free tier.

    Google leaves a value of 0 out of the violation. The free tier with a limit above 0 draws pictures.
    """
    stated = [float(limit) for limit in re.findall(r"\blimit: ?(\d+(?:\.\d+)?)", message)]
    limits = [_limit(violation) for violation in violations]
    if 0 in stated or 0 in limits:
        return True
    without_limit = (violation for violation, limit in zip(violations, limits, strict=True) if limit is None)
    return not stated and any("FreeTier" in str(violation.get("quotaId")) for violation in without_limit)


def _limit(violation: Mapping[str, object]) -> float | None:
    written = str(violation.get("quotaValue"))
    return float(written) if re.fullmatch(r"\d{1,30}(\.\d{1,30})?", written) else None


def _delay(detail: Mapping[str, object]) -> timedelta | None:
    """`RetryInfo.retryDelay`, seconds such as "23.4s"."""
    written = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay", "")))
    if written is None:
        return None
    seconds = float(written[1])
    return LONGEST_WAIT if math.isinf(seconds) else timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))
