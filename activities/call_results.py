"""What `generate` says about a call: of an answer, or of what the records knew already."""

from decimal import Decimal
from uuid import UUID

from darkroom.domain.attempts import Attempt, Begin, BegunAttempt
from darkroom.domain.images import (
    Generated,
    GenerateResult,
    Missed,
    Outcome,
    ProviderAnswer,
    QuotaSpent,
    Refused,
    Stopped,
)
from darkroom.domain.receipts import shorten
from darkroom.pictures import digest_of, guess_media_type

OUTCOMES: dict[type[ProviderAnswer], Outcome] = {
    Generated: Outcome.GENERATED,
    Missed: Outcome.MISSED,
    Refused: Outcome.REFUSED,
    QuotaSpent: Outcome.QUOTA_SPENT,
    Stopped: Outcome.STOPPED,
}


async def generated(
    call_id: UUID, data: bytes, seconds: float | None, cost_usd: Decimal | None = None
) -> GenerateResult:
    """Bytes that are staged; whether they are a picture, `upload` finds out."""
    return GenerateResult(
        outcome=Outcome.GENERATED,
        call_id=call_id,
        media_type=guess_media_type(data),
        size=len(data),
        sha256=await digest_of(data),
        seconds=None if seconds is None else round(seconds, 3),
        cost_usd=cost_usd,
    )


def known(begun: BegunAttempt, attempt: Attempt) -> GenerateResult:
    """Why no call was begun."""
    if begun.spent is not None and attempt.ceilings is not None:
        reason = attempt.ceilings.reached(begun.spent, attempt.provider)
        return GenerateResult(outcome=Outcome.QUOTA_SPENT, reason=reason, until=begun.spent.until)
    match begun.begin:
        case Begin.DELIVERED:
            return GenerateResult(outcome=Outcome.DELIVERED, attach_id=begun.attach_id)
        case Begin.FULL:
            return GenerateResult(outcome=Outcome.UNNEEDED, reason=begun.reason)
        case Begin.DECIDED:
            return GenerateResult(outcome=begun.outcome or Outcome.MISSED, reason=begun.reason, final=begun.final)
        case _:
            return GenerateResult(outcome=Outcome.HELD, reason=begun.reason, final=begun.final)


def without_picture(call_id: UUID, answer: ProviderAnswer) -> GenerateResult:
    """An answer that brought no picture."""
    reason = None if isinstance(answer, Generated) else shorten(answer.reason)
    match answer:
        case Refused():
            return GenerateResult(outcome=Outcome.REFUSED, call_id=call_id, reason=reason, final=answer.final)
        case QuotaSpent():
            return GenerateResult(outcome=Outcome.QUOTA_SPENT, call_id=call_id, reason=reason, until=answer.until)
        case Stopped():
            return GenerateResult(outcome=Outcome.STOPPED, call_id=call_id, reason=reason)
        case _:
            return GenerateResult(outcome=Outcome.MISSED, call_id=call_id, reason=reason)
