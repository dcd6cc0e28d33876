"""Settings of delivered pictures: their format, their mark and their price; part of `settings.py`."""

from typing import Annotated

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings

from darkroom.domain.formats import ImageFormat
from darkroom.domain.money import Prices

Price = Annotated[int, Field(ge=0, le=1_000_000)]


class PictureSettings(BaseSettings):
    """What orders get that say nothing else, and what a picture costs."""

    image_format: ImageFormat = ImageFormat.WEBP
    webp_quality: Annotated[int, Field(ge=1, le=100)] = 90
    webp_method: Annotated[int, Field(ge=0, le=6)] = 2
    ai_mark: bool = True

    image_credit_price: Annotated[
        Price, Field(validation_alias=AliasChoices("image_credit_price", "image_per_price"))
    ] = 20
    image_credit_price_2k: Price = 30
    image_credit_price_4k: Price = 70

    @property
    def prices(self) -> Prices:
        """Credits of a picture, by its size."""
        return Prices(k1=self.image_credit_price, k2=self.image_credit_price_2k, k4=self.image_credit_price_4k)
