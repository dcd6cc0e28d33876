"""What Gemini's answers and errors mean for an order; pure, so every case is a line in a test.

The rules are those of the provider's table: a picture, a miss, a refusal, a spent quota or a permanent
fault is an answer; only what may work when retried is raised.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.genai.errors import APIError
from google.genai.types import (
    BlockedReason,
    Candidate,
    FinishReason,
    GenerateContentResponse,
    GenerateContentResponsePromptFeedback,
    Part,
)

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, Missed, ProviderAnswer, QuotaSpent, Refused, Stopped
from darkroom.providers.wording import one_line

REFUSALS = frozenset(
    {
        FinishReason.PROHIBITED_CONTENT,
        FinishReason.IMAGE_PROHIBITED_CONTENT,
        FinishReason.SAFETY,
        FinishReason.BLOCKLIST,
        FinishReason.SPII,
    }
)

# OTHER can come from one input image and UNSPECIFIED says nothing: both may pass next time.
PASSING_BLOCKS = frozenset({BlockedReason.OTHER, BlockedReason.BLOCKED_REASON_UNSPECIFIED})

# Timeouts, conflicts and cancelled calls say nothing about the request itself.
PASSING_STATUSES = frozenset({408, 409, 425, 499})

SHORTEST_RATE_LIMIT_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(days=1)
JITTER_SHARE = 0.5
"""At most this part of the wait is added to it, so that refused calls do not come back together."""

PACIFIC = ZoneInfo("America/Los_Angeles")


def read_response(response: GenerateContentResponse) -> ProviderAnswer:
    """What a complete answer brought.

    Whether the bytes are a decodable picture is for the caller to find out.
    """
    if not response.candidates:
        return _without_candidates(response.prompt_feedback)
    candidate = response.candidates[0]
    reason = candidate.finish_reason
    if reason in REFUSALS:
        return Refused(
            reason=f"Gemini refused this picture by its policy ({_name(reason)}){_said(candidate)}; "
            "change the prompt or the reference images"
        )
    if reason is FinishReason.PUP_LIMITED_DISABLED:
        return Stopped(
            reason="Google has limited the account of GEMINI_API_KEY for breaches of its use policy; "
            "resolve this with Google or use the key of another account"
        )
    parts = (candidate.content.parts if candidate.content else None) or []
    picture = _last_picture(parts)
    if picture is not None:
        return Generated(data=picture)
    return Missed(reason=f"Gemini answered without a picture ({_name(reason)}){_said(candidate)}")


def read_error(error: APIError, *, model: str, now: datetime, jitter: float) -> ProviderAnswer:
    """What an answer with an error status means.

    `now` has a time zone and dates the return of a daily quota; `jitter`, from 0 to 1, spreads the waits
    of a rate limit.

    Raises:
        ProviderUnavailable: for a transient fault, with how long to wait where that is known.
    """
    details = _Details.of(error)
    words = _quote(error)
    if error.code == 429:
        return _rate_limited(details, words, now, jitter)
    if error.code >= 500 or error.code < 300 or error.code in PASSING_STATUSES:
        raise ProviderUnavailable(f"Gemini answered with HTTP {error.code}: {words}", retry_after=details.retry_delay)
    remedy = _remedy(error, details, model)
    if remedy:
        return Stopped(reason=f"Gemini answered with HTTP {error.code}: {words}; {remedy}")
    return Refused(
        reason=f"Gemini rejected the request (HTTP {error.code}): {words}; change the prompt or the reference images",
        final=True,
    )


def next_pacific_midnight(now: datetime) -> datetime:
    """When Google renews daily quotas next, in UTC."""
    tomorrow = now.astimezone(PACIFIC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=PACIFIC).astimezone(UTC)


def _without_candidates(feedback: GenerateContentResponsePromptFeedback | None) -> ProviderAnswer:
    block = feedback.block_reason if feedback else None
    if block is None:
        return Missed(reason="Gemini answered without a picture and without a reason")
    return Refused(
        reason=f"Gemini blocked the prompt or one of its reference images ({block.value}); "
        "change the prompt or the reference images",
        final=block not in PASSING_BLOCKS,
    )


def _last_picture(parts: Sequence[Part]) -> bytes | None:
    """Sketches come first and are marked as thoughts; the picture that counts is the last."""
    for part in reversed(parts):
        if not part.thought and part.inline_data and part.inline_data.data:
            return part.inline_data.data
    return None


def _said(candidate: Candidate) -> str:
    """What the model says instead of drawing; the SDK drops Google's own finish message."""
    parts = (candidate.content.parts if candidate.content else None) or []
    spoken = " ".join(part.text for part in parts if part.text and not part.thought)
    words = one_line(spoken)
    return f": {words}" if words else ""


def _name(reason: FinishReason | None) -> str:
    return reason.value if reason else "no finish reason"


@dataclass(frozen=True)
class _Details:
    """What an error's body says beyond its message."""

    from_gemini: bool
    """Whether the body is one of Gemini's; a page of some other server is not."""
    reasons: frozenset[str] = frozenset()
    quota_ids: tuple[str, ...] = ()
    without_quota: bool = False
    retry_delay: timedelta | None = None

    @classmethod
    def of(cls, error: APIError) -> "_Details":
        body = error.details.get("error") if isinstance(error.details, Mapping) else None
        if not isinstance(body, Mapping):
            return cls(from_gemini=False)
        details = list(_mappings(body.get("details")))
        violations = [v for detail in details for v in _mappings(detail.get("violations"))]
        return cls(
            from_gemini=True,
            reasons=frozenset(str(detail["reason"]) for detail in details if "reason" in detail),
            quota_ids=tuple(str(violation.get("quotaId", "")) for violation in violations),
            without_quota=any(str(violation.get("quotaValue")) == "0" for violation in violations)
            # Google leaves a value of 0 out of the violation and says it in the message only.
            or re.search(r"\blimit: ?0(?!\.?\d)", str(error.message)) is not None,
            retry_delay=next(filter(None, map(_delay, details)), None),
        )


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def _delay(detail: Mapping[str, object]) -> timedelta | None:
    """`RetryInfo.retryDelay`, seconds such as "23.4s"."""
    written = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay", "")))
    if written is None:
        return None
    seconds = float(written[1])
    return LONGEST_WAIT if math.isinf(seconds) else timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))


def _rate_limited(details: _Details, words: str, now: datetime, jitter: float) -> ProviderAnswer:
    # The free tier has a limit of 0 pictures, and names daily quotas too: it has to be asked first.
    if details.without_quota or any("FreeTier" in quota for quota in details.quota_ids):
        return Stopped(
            reason=f"Gemini allows no pictures for the project of GEMINI_API_KEY: {words}; enable billing "
            "for that project, or use the key of a project that has it"
        )
    if any("PerDay" in quota for quota in details.quota_ids):
        until = next_pacific_midnight(now)
        return QuotaSpent(
            reason=f"Gemini's daily quota is used up: {words}; it resets at {until:%Y-%m-%d %H:%M} UTC",
            until=until,
        )
    wait = max(details.retry_delay or timedelta(), SHORTEST_RATE_LIMIT_WAIT)
    raise ProviderUnavailable(
        f"Gemini's rate limit is reached (HTTP 429): {words}", retry_after=wait * (1 + JITTER_SHARE * jitter)
    )


def _remedy(error: APIError, details: _Details, model: str) -> str | None:
    """What has to be fixed before any call can work; None where the request itself is at fault."""
    elsewhere = "check that GEMINI_BASE_URL and GEMINI_API_VERSION point to the Gemini API"
    if error.code == 404 and details.from_gemini:
        return f"set GEMINI_MODEL to a model that draws pictures ('{model}' is not known)"
    if "API_KEY_INVALID" in details.reasons or error.code == 401:
        return "set GEMINI_API_KEY to a valid key"
    if error.code == 403:
        return "allow the key in GEMINI_API_KEY to use the Gemini API and this model, or set another key"
    if error.status == "FAILED_PRECONDITION" or error.code == 402:
        return "enable billing for the project of GEMINI_API_KEY, and call from a country where it is available"
    if error.code in (400, 413, 422):
        return None
    return elsewhere


def _quote(error: APIError) -> str:
    """Google's own words, in one line; a page of a proxy or of another server is no message."""
    message = error.message if isinstance(error.message, str) else ""
    if not message.strip() or message.lstrip().startswith("<"):
        return error.status if isinstance(error.status, str) and error.status else "no message"
    return one_line(message)
