"""What Runware's answers mean for an order; pure, so every case is a line in a test.

Codes are those of Runware's own SDK (runware-sdk 1.2, errors.py) and of https://runware.ai/docs/platform/errors,
which warns that they still vary: spelling does not count, and a code that is unknown is judged by the HTTP status.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from uuid import UUID

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, Missed, ProviderAnswer, Refused, Stopped
from darkroom.providers import base64_pictures, costs
from darkroom.providers.wording import LONGEST_QUOTE, one_line

# Timeouts, conflicts and cancelled calls say nothing about the request itself.
PASSING_STATUSES = frozenset({408, 409, 425, 499})

JITTER_SHARE = 0.5
"""At most this part of the wait is added to it, so that refused calls do not come back together."""

LONGEST_CODE = 60

ADD_CREDITS = "add credits to the account of RUNWARE_API_KEY, or set the key of another"


class Fault(Enum):
    """What an error's code says of it."""

    POLICY = auto()
    LIMITED = auto()
    PASSING = auto()
    KEY = auto()
    ACCOUNT = auto()
    CREDITS = auto()
    MODEL = auto()
    REQUEST = auto()


def _codes(fault: Fault, names: str) -> dict[str, Fault]:
    return {_plain(name): fault for name in names.split()}


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())


CODES = {
    **_codes(
        Fault.POLICY,
        "contentPolicyViolation providerContentPolicyViolation promptBlocked imageBlocked contentModeration "
        # What the filter of the company behind a model says comes as this one, whatever it sounds like.
        "invalidProviderContent moderationFailed nsfwContentDetected sensitiveContentDetected unsafeContentDetected",
    ),
    **_codes(
        Fault.KEY,
        "unauthorized forbidden permissionDenied insufficientPermissions authenticationFailed authFailed "
        "invalidAuthentication invalidCredentials missingAuthentication tokenExpired tokenInvalid tokenMissing "
        "tokenRevoked",
    ),
    **_codes(
        Fault.ACCOUNT,
        "accountSuspended accountDisabled organizationSuspended organizationDisabled workspaceSuspended "
        "workspaceDisabled",
    ),
    **_codes(Fault.CREDITS, "paymentRequired"),
    **_codes(Fault.MODEL, "invalidModel missingModel unsupportedModel unknownModel modelNotFound modelDisabled"),
    **_codes(
        Fault.PASSING,
        "internalServerError serverError serviceUnavailable serverUnavailable standardError unknownError "
        "undefinedError defaultError unrecognizedResponse inferenceError processingFailed taskFailed taskCancelled "
        "taskFailedOrNotFound downloadFailed uploadFailed noAvailableServer modelUnavailable modelNotReady "
        "mediaStorageFileCouldNotBeMoved errorRetrievingAccountManagement",
    ),
    **_codes(Fault.REQUEST, "unknownParameter incompatibleParameters validationFailed"),
}


@dataclass(frozen=True)
class Reply:
    """What came back of one POST."""

    status: int
    body: bytes
    retry_after: timedelta | None = None


@dataclass(frozen=True)
class Asked:
    """What a reply is held against."""

    task: UUID
    model: str
    key: str = field(repr=False)
    """Taken out of whatever Runware says."""


def read_picture(reply: Reply, asked: Asked, jitter: float) -> ProviderAnswer:
    """What the answer to an order for one picture brought; `jitter`, from 0 to 1, spreads the waits.

    A usable picture counts whatever else is said, since it is paid for. Whether its bytes can be decoded
    is for the caller to find out.

    Raises:
        ProviderUnavailable: for a transient fault, with how long to wait where that is known.
    """
    said = _read(reply, asked)
    cost = costs.stated(said.entries)
    if cost is None and not said.results:
        cost = costs.of_status(reply.status)
    try:
        return _picture_in(said, reply, asked, jitter).model_copy(update={"cost_usd": cost})
    except ProviderUnavailable as unavailable:
        unavailable.cost_usd = cost
        raise


def _picture_in(said: "_Said", reply: Reply, asked: Asked, jitter: float) -> ProviderAnswer:
    flagged = [result.get("NSFWContent") is True for result in said.results]
    for result, is_flagged in zip(said.results, flagged, strict=True):
        picture = base64_pictures.decode(result.get("imageBase64Data") or result.get("imageDataURI"))
        if picture and not is_flagged:
            return Generated(data=picture)
    if any(flagged):
        return Refused(
            reason="Runware flagged the picture as not safe for work (NSFWContent); "
            "change the prompt or the reference images"
        )
    return _without_result(reply, said, asked, jitter)


def read_account(reply: Reply, asked: Asked) -> str | None:
    """What keeps the account of the key from drawing, with the remedy; None when nothing does.

    Raises:
        ProviderUnavailable: the answer does not say.
    """
    said = _read(reply, asked)
    if not said.results:
        answer = _without_result(reply, said, asked, jitter=0)
        if isinstance(answer, Stopped):
            return answer.reason
        raise ProviderUnavailable(f"Runware does not say whether it accepts the key (HTTP {reply.status})")
    balance = said.results[0].get("balance")
    if isinstance(balance, int | float) and balance <= 0:
        return f"the Runware account has no credits left (balance {balance:g}); {ADD_CREDITS}"
    return None


@dataclass(frozen=True)
class _Said:
    """The parts of an answer that are about our task."""

    results: tuple[Mapping[str, object], ...] = ()
    error: Mapping[str, object] | None = None

    @property
    def entries(self) -> tuple[Mapping[str, object], ...]:
        """All of them; each may say what it cost."""
        return self.results if self.error is None else (*self.results, self.error)


def _read(reply: Reply, asked: Asked) -> _Said:
    body = _body(reply)
    errors = [*_mappings(body.get("errors")), *_mappings(body.get("error"))]
    # What is wrong with the key or with the whole request names no task.
    ours = (error for error in errors if error.get("taskUUID") is None or _is_ours(error, asked))
    return _Said(
        results=tuple(result for result in _mappings(body.get("data")) if _is_ours(result, asked)),
        error=next(ours, None),
    )


def _body(reply: Reply) -> Mapping[str, object]:
    """The JSON of an answer; empty for JSON that is of another shape, and where the status has to say everything."""
    try:
        body: object = json.loads(reply.body) if reply.body.strip() else {}
    except (ValueError, RecursionError):
        if _succeeded(reply):
            # Nothing of it is quoted: answers are megabytes, and reasons travel in workflow history.
            raise ProviderUnavailable("Runware's answer could not be read: it is not JSON") from None
        return {}
    return body if isinstance(body, Mapping) else {}


def _succeeded(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    """The objects of a list, or the one that stands in its place."""
    yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping))


def _is_ours(entry: Mapping[str, object], asked: Asked) -> bool:
    return str(entry.get("taskUUID", "")).lower() == str(asked.task)


def _without_result(reply: Reply, said: _Said, asked: Asked, jitter: float) -> ProviderAnswer:
    fault = _fault(reply, said.error)
    words = _words(reply, said.error, asked)
    match fault:
        case Fault.POLICY:
            return Refused(
                reason=f"Runware refused this picture by its policy: {words}; change the prompt or the reference images"
            )
        case Fault.REQUEST:
            return Refused(
                reason=f"Runware rejected the request: {words}; change the prompt, the reference images or the "
                "aspect ratio",
                final=True,
            )
        case Fault.LIMITED | Fault.PASSING:
            what = "Runware's rate limit is reached" if fault is Fault.LIMITED else "Runware could not draw this time"
            wait = reply.retry_after and reply.retry_after * (1 + JITTER_SHARE * jitter)
            raise ProviderUnavailable(f"{what}: {words}", retry_after=wait)
        case None if _succeeded(reply):
            return Missed(reason=f"Runware answered without a picture: {words}")
    return Stopped(reason=f"Runware did not accept the call: {words}; {_remedy(fault, asked)}")


def _remedy(fault: Fault | None, asked: Asked) -> str:
    match fault:
        case Fault.KEY:
            return "set RUNWARE_API_KEY to a valid key"
        case Fault.ACCOUNT:
            return "resolve this with Runware, or set RUNWARE_API_KEY to the key of another account"
        case Fault.CREDITS:
            return ADD_CREDITS
        case Fault.MODEL:
            return f"set RUNWARE_MODEL to a model that draws pictures ('{asked.model}' is not accepted)"
        case _:
            return "check that RUNWARE_BASE_URL points to Runware's API"


def _fault(reply: Reply, error: Mapping[str, object] | None) -> Fault | None:
    """What the code of the error says, else what the status does; None when neither says anything known."""
    by_status = _fault_of_status(reply.status)
    by_code = _fault_of_code(error, reply.status) if error else None
    # A server that stumbles is no judge of the request.
    return by_status if by_code is None or (by_code is Fault.REQUEST and by_status is Fault.PASSING) else by_code


def _fault_of_code(error: Mapping[str, object], status: int) -> Fault | None:
    code = _plain(str(error.get("code") or ""))
    if re.fullmatch(r"[45][0-9][0-9]", code):  # an HTTP status, in a body that came with another
        return _fault_of_status(int(code))
    about_request = code.startswith(("invalid", "missing", "unsupported"))
    rules = (
        (code in CODES, CODES.get(code)),
        ("ratelimit" in code or code == "toomanyrequests", Fault.LIMITED),
        # Runware's own keys, credits and quotas with Google are not ours to fix.
        ("timeout" in code or code.startswith("provider"), Fault.PASSING),
        ("apikey" in code, Fault.KEY),
        ("credits" in code or "balance" in code or ("quota" in code and status != 429), Fault.CREDITS),
        (about_request and error.get("parameter") == "model", Fault.MODEL),
        (about_request, Fault.REQUEST),
    )
    return next((fault for holds, fault in rules if holds), None)


def _fault_of_status(status: int) -> Fault | None:
    """What the HTTP status says; None for success, and for what Runware's API never answers."""
    if status >= 500 or status in PASSING_STATUSES:
        return Fault.PASSING
    return {
        400: Fault.REQUEST,
        401: Fault.KEY,
        402: Fault.CREDITS,
        403: Fault.KEY,
        413: Fault.REQUEST,
        422: Fault.REQUEST,
        429: Fault.LIMITED,
    }.get(status)


def _words(reply: Reply, error: Mapping[str, object] | None, asked: Asked) -> str:
    """Runware's own words in one line, with the code and the parameter they are about."""
    if error is None:
        return f"HTTP {reply.status}"
    message = _quoted(error.get("message"), asked, LONGEST_QUOTE) or "no message"
    code = _quoted(error.get("code"), asked, LONGEST_CODE) or f"HTTP {reply.status}"
    parameter = _quoted(error.get("parameter"), asked, LONGEST_CODE)
    return f"{message} ({code}, {parameter})" if parameter else f"{message} ({code})"


def _quoted(value: object, asked: Asked, longest: int) -> str:
    return one_line(value.replace(asked.key, "…"), longest) if isinstance(value, str) else ""
