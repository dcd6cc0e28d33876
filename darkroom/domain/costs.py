"""What providers ask for their calls, in US dollars, and what is left of the credits (spec §4)."""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field

from darkroom.domain.model import Value, is_none

DIGITS = Decimal("1e-9")
"""To which costs are kept: a token costs less than a millionth of a dollar."""

LARGEST = Decimal(1_000_000)
"""What no call costs: a provider that says so is not believed."""

NOTHING = Decimal(0)

WITHOUT_COST = frozenset({"offline"})
"""Providers that ask for nothing: no ceiling holds them up."""


def kept(usd: Decimal) -> Decimal:
    """An amount as it is kept and compared: nine digits, without the zeros at its end."""
    rounded = usd.quantize(DIGITS).normalize()
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral() else rounded


Dollars = Annotated[Decimal, AfterValidator(kept)]
"""US dollars, which a margin may lack; as text in JSON, because binary fractions are no money."""

Usd = Annotated[Decimal, Field(ge=0), AfterValidator(kept)]
"""US dollars that somebody asks for."""


class Cause(StrEnum):
    """What became of a call, for whoever pays for it."""

    DELIVERED = "delivered"
    """Its picture is delivered."""
    MISSED = "missed"
    REFUSED = "refused"
    FAULT = "fault"
    """The provider could not answer, or its quota, its key or its account did not allow it."""
    UNUSED = "unused"
    """It brought a picture that is not delivered."""
    UNKNOWN = "unknown"
    """It has no outcome: it is in progress, or its worker died."""


class CostOf(Value):
    """What the calls of one cause cost."""

    calls: int = 0
    usd: Usd = NOTHING
    unknown: int = 0
    """Calls among them whose cost nobody can tell; `usd` is that of the others."""


class CostAccount(Value):
    """What calls cost and what was charged for their pictures."""

    usd: Usd
    usd_without_picture: Usd
    """The part of `usd` for calls that brought no delivered picture."""
    unknown_calls: int
    """Calls whose cost nobody can tell; they are in no amount."""
    income_usd: Dollars | None = Field(default=None, exclude_if=is_none)
    """The credits that were charged, at `CREDIT_USD` each; left out without that setting."""
    margin_usd: Dollars | None = Field(default=None, exclude_if=is_none)
    """The income less the cost."""


class Costs(Value):
    """What a provider's calls cost, by what became of them. Operators alone see it."""

    by_cause: dict[Cause, CostOf] = Field(default_factory=dict)
    account: CostAccount | None = Field(default=None, exclude_if=is_none)
    """Drawn up for whoever reads it, because the worth of a credit may change."""

    def drawn_up(self, charged: int, credit_usd: Decimal | None) -> Self:
        """With the account, for so many credits that were charged."""
        shares = self.by_cause.values()
        usd = sum((share.usd for share in shares), NOTHING)
        income = None if credit_usd is None else charged * credit_usd
        account = CostAccount(
            usd=usd,
            usd_without_picture=usd - self.of(Cause.DELIVERED).usd,
            unknown_calls=sum(share.unknown for share in shares),
            income_usd=income,
            margin_usd=None if income is None else income - usd,
        )
        return self.model_copy(update={"account": account})

    def of(self, cause: Cause) -> CostOf:
        """Those of one cause."""
        return self.by_cause.get(cause, CostOf())


class CostRow(NamedTuple):
    """A cause, and what its calls cost, as the records count it."""

    cause: str
    calls: int
    usd: float | None
    unknown: int


def of_rows(rows: Iterable[CostRow]) -> Costs:
    """The costs that the records count."""
    return Costs(
        by_cause={
            Cause(row.cause): CostOf(calls=row.calls, usd=kept(Decimal(str(row.usd or 0))), unknown=row.unknown)
            for row in rows
        }
    )
