"""Settings of what providers ask for in US dollars; part of `settings.py`."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings


class CostSettings(BaseSettings):
    """What a credit is worth."""

    credit_usd: Annotated[Decimal, Field(gt=0, le=1_000_000)] | None = None
