"""Settings of delivered pictures: their format, their mark and their price; part of `settings.py`."""

from typing import Annotated

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings

from darkroom.domain.formats import ImageFormat

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
