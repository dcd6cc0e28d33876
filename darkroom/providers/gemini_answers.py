"""What Gemini's answers and errors mean for an order; pure, so every case is a line in a test.

The rules are those of the provider's table: a picture, a miss, a refusal, a spent quota or a permanent
fault is an answer; only what may work when retried is raised. Answers are read as they came: any value
may be null, or of another type than Google documents.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from google.genai.errors import APIError

from darkroom.domain.costs import NOTHING
from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, Missed, ProviderAnswer, QuotaSpent, Refused, Stopped
from darkroom.providers import base64_pictures, costs
from darkroom.providers.gemini_errors import ErrorDetails, http_status
from darkroom.providers.wording import one_line

Json: TypeAlias = Mapping[str, object]

REFUSALS = frozenset({"PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "SAFETY", "BLOCKLIST", "SPII"})

# OTHER can come from one input image and UNSPECIFIED says nothing: both may pass next time.
PASSING_BLOCKS = frozenset({"OTHER", "BLOCKED_REASON_UNSPECIFIED"})

# Timeouts, conflicts and cancelled calls say nothing about the request itself.
PASSING_STATUSES = frozenset({408, 409, 425, 499})

SHORTEST_RATE_LIMIT_WAIT = timedelta(seconds=15)
JITTER_SHARE = 0.5
"""At most this part of the wait is added to it, so that refused calls do not come back together."""

PACIFIC = ZoneInfo("America/Los_Angeles")


@dataclass(frozen=True)
class Asked:
    """What an answer is held against."""

    model: str
    now: datetime
    """With its time zone; dates the return of a daily quota."""
    jitter: float
    """From 0 to 1; spreads the waits of a rate limit."""
    retry_after: timedelta | None = None
    """What the answer's header names."""


def read_body(text: str, asked: Asked) -> ProviderAnswer:
    """What the body of an HTTP 200 brought.

    A picture counts whatever else is said, since it is paid for. Whether its bytes can be decoded is for the
    caller to find out.

    Raises:
        ProviderUnavailable: the body is not JSON, so not Gemini's or cut short, or it is a transient error.
    """
    try:
        body: object = json.loads(text.removeprefix("\ufeff")) if text.strip() else {}
    except (ValueError, RecursionError):
        # Nothing of it is quoted: answers are megabytes, and reasons travel in workflow history.
        raise ProviderUnavailable("Gemini's answer could not be read: it is not JSON") from None
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return Missed(reason="Gemini answered with JSON of an unexpected shape and without a picture")
    candidate = next(_mappings(body.get("candidates")), None)
    answer = _without_candidates(_mapping(body.get("promptFeedback"))) if candidate is None else _read(candidate)
    answer = answer.model_copy(update={"cost_usd": costs.of_gemini(body, asked.model, _brought(candidate))})
    error = body.get("error")
    if not error or isinstance(answer, Generated):
        return answer
    if not isinstance(error, Mapping):
        words = f": {one_line(error)}" if isinstance(error, str) else ""
        return Missed(reason=f"Gemini answered without a picture{words}")
    fault = APIError(0, body)
    fault.code = http_status(error)
    return read_error(fault, asked)


def _read(candidate: Json) -> ProviderAnswer:
    reason = _text(candidate.get("finishReason"))
    if reason in REFUSALS:
        return Refused(
            reason=f"Gemini refused this picture by its policy ({reason}){_said(candidate)}; "
            "change the prompt or the reference images"
        )
    if reason == "PUP_LIMITED_DISABLED":
        return Stopped(
            reason="Google has limited the account of GEMINI_API_KEY for breaches of its use policy; "
            "resolve this with Google or use the key of another account"
        )
    written = _last_picture(_parts(candidate))
    if written is None:
        return Missed(reason=f"Gemini answered without a picture ({reason or 'no finish reason'}){_said(candidate)}")
    picture = base64_pictures.decode(written)
    if picture is None:
        return Missed(reason="Gemini answered with a picture that cannot be read: its base64 is broken")
    return Generated(data=picture)


def read_error(error: APIError, asked: Asked) -> ProviderAnswer:
    """What an answer with an error means, by its HTTP status or by the one that its body names.

    Raises:
        ProviderUnavailable: for a transient fault, with how long to wait where that is known.
    """
    details = ErrorDetails.of(error)
    # Google charges nothing for requests that fail with a status of 400 or above; of a proxy's error nobody knows.
    cost = NOTHING if details.from_gemini and error.code >= 400 else None
    try:
        return _meaning(error, details, asked).model_copy(update={"cost_usd": cost})
    except ProviderUnavailable as unavailable:
        unavailable.cost_usd = cost
        raise


def _meaning(error: APIError, details: ErrorDetails, asked: Asked) -> ProviderAnswer:
    words = _quote(error)
    wait = max(filter(None, (details.retry_delay, asked.retry_after)), default=None)
    if error.code == 429:
        return _rate_limited(details, words, wait, asked)
    if error.code >= 500 or error.code < 300 or error.code in PASSING_STATUSES:
        raise ProviderUnavailable(f"Gemini answered with {_http(error)}: {words}", retry_after=wait)
    remedy = _remedy(error, details, asked.model)
    if remedy:
        return Stopped(reason=f"Gemini answered with {_http(error)}: {words}; {remedy}")
    return Refused(
        reason=f"Gemini rejected the request ({_http(error)}): {words}; change the prompt or the reference images",
        final=True,
    )


def _http(error: APIError) -> str:
    return f"HTTP {error.code}" if error.code else "an error without a status"


def next_pacific_midnight(now: datetime) -> datetime:
    """When Google renews daily quotas next, in UTC."""
    tomorrow = now.astimezone(PACIFIC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=PACIFIC).astimezone(UTC)


def _without_candidates(feedback: Json) -> ProviderAnswer:
    block = _text(feedback.get("blockReason"))
    if not block:
        return Missed(reason="Gemini answered without a picture and without a reason")
    return Refused(
        reason=f"Gemini blocked the prompt or one of its reference images ({block}); "
        "change the prompt or the reference images",
        final=block not in PASSING_BLOCKS,
    )


def _last_picture(parts: Sequence[Json]) -> object:
    """Sketches come first and are marked as thoughts; the picture that counts is the last."""
    for part in reversed(parts):
        written = _mapping(part.get("inlineData") or part.get("inline_data")).get("data")
        if written and not part.get("thought"):
            return written
    return None


def _brought(candidate: Json | None) -> costs.Brought:
    parts = [part for part in _parts(candidate or {}) if not part.get("thought")]
    pictures = [part for part in parts if part.get("inlineData") or part.get("inline_data")]
    return costs.Brought(len(pictures), words=any(_text(part.get("text")) for part in parts))


def _said(candidate: Json) -> str:
    """What the model says instead of drawing."""
    spoken = [_text(part.get("text")) for part in _parts(candidate) if not part.get("thought")]
    words = one_line(" ".join(spoken))
    return f": {words}" if words else ""


def _parts(candidate: Json) -> list[Json]:
    return list(_mappings(_mapping(candidate.get("content")).get("parts")))


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _rate_limited(details: ErrorDetails, words: str, wait: timedelta | None, asked: Asked) -> ProviderAnswer:
    # A project without billing has a limit of 0 pictures, and names daily quotas too: it has to be asked first.
    if details.grants_nothing:
        return Stopped(
            reason=f"Gemini allows no pictures for the project of GEMINI_API_KEY: {words}; enable billing "
            "for that project, or use the key of a project that has it"
        )
    if details.is_daily:
        until = next_pacific_midnight(asked.now)
        return QuotaSpent(
            reason=f"Gemini's daily quota is used up: {words}; it resets at {until:%Y-%m-%d %H:%M} UTC",
            until=until,
        )
    longest = max(wait or timedelta(), SHORTEST_RATE_LIMIT_WAIT)
    raise ProviderUnavailable(
        f"Gemini's rate limit is reached (HTTP 429): {words}", retry_after=longest * (1 + JITTER_SHARE * asked.jitter)
    )


def _remedy(error: APIError, details: ErrorDetails, model: str) -> str | None:
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
