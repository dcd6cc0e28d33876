"""Settings of what providers ask for in US dollars; part of `settings.py`."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from darkroom.domain.ceilings import Ceilings

Dollars = Annotated[Decimal, Field(gt=0, le=1_000_000)]


class CostSettings(BaseSettings):
    """What a credit is worth, and what may be spent in a day."""

    credit_usd: Dollars | None = None
    provider_daily_usd: Dollars | None = None
    provider_call_usd: Dollars = Decimal("0.05")
    user_daily_credits: Annotated[int, Field(ge=1)] | None = None

    @property
    def ceilings(self) -> Ceilings | None:
        """What calls are held against before they begin; None for nothing."""
        if self.provider_daily_usd is None and self.user_daily_credits is None:
            return None
        return Ceilings(
            provider_usd=self.provider_daily_usd,
            call_usd=self.provider_call_usd,
            user_credits=self.user_daily_credits,
        )
