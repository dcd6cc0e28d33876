"""What an answer cost, in US dollars: what its provider says, else its usage at the known price of its model.

The prices are those of the installed genai-prices: nothing is fetched. An answer whose cost nobody can tell has none;
it is never an error, because the picture beside it is paid for.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from genai_prices import Usage, calc_price, extract_usage

from darkroom.domain.costs import LARGEST, NOTHING, kept

Json = Mapping[str, object]

_MODALITIES = ("output_text_tokens", "output_image_tokens", "output_audio_tokens", "output_video_tokens")

_NOT_EVEN_BEGUN = frozenset({401, 402, 403, 404, 429})
"""Statuses of requests that no model has seen."""


class Brought(NamedTuple):
    """What an answer holds, for those that do not split their output by modality."""

    pictures: int
    words: bool = False
    """Whether text is beside the pictures."""


def of_gemini(body: Json, model: str, brought: Brought) -> Decimal | None:
    """The cost of one of Gemini's answers, by its `usageMetadata`; None where that cannot be told."""
    metadata = body.get("usageMetadata") or body.get("usage_metadata")
    return _of_usage({"usageMetadata": metadata}, model, brought, provider="google", flavor="default")


def of_openai(body: Json, model: str, brought: Brought, provider: str = "openai") -> Decimal | None:
    """The cost of an answer in the form of OpenAI's image API, by its `usage`; None where that cannot be told."""
    return _of_usage({"usage": body.get("usage")}, model, brought, provider=provider, flavor="images")


def stated(entries: Iterable[Json]) -> Decimal | None:
    """The sum of what a provider's entries say in `cost`, as Runware's do; None where none of them says it."""
    amounts = [amount for entry in entries if (amount := _amount(entry.get("cost"))) is not None]
    return kept(sum(amounts, NOTHING)) if amounts else None


def of_status(status: int) -> Decimal | None:
    """Nothing, for an answer that says by its HTTP status that the request was never begun; else unknown."""
    return NOTHING if status in _NOT_EVEN_BEGUN else None


def _of_usage(body: Json, model: str, brought: Brought, *, provider: str, flavor: str) -> Decimal | None:
    try:
        usage = extract_usage(body, provider_id=provider, api_flavor=flavor).usage
        if brought.pictures and not any(map(usage.reported_value, _MODALITIES)):
            if brought.pictures > 1 or brought.words:
                return None  # what of it is the picture nobody says, and a picture's tokens cost several times as much
            usage.output_image_tokens = _drawn(usage)
        priced = calc_price(usage, model.rpartition("/")[2], provider_id=provider)
        return kept(priced.total_price) if NOTHING <= priced.total_price < LARGEST else None
    except Exception:  # noqa: BLE001 - usage of any shape, and a library that promises no error types
        return None


def _drawn(usage: Usage) -> Decimal:
    """The output without what the model thought before it drew."""
    output, thoughts = (
        Decimal(str(usage.reported_value(name))) for name in ("output_tokens", "output_reasoning_tokens")
    )
    return output - thoughts


def _amount(value: object) -> Decimal | None:
    """A number of dollars in JSON, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and NOTHING <= amount < LARGEST else None
