"""The sizes in which pictures are drawn, the formats in which they are delivered, and what their files are called."""

from enum import StrEnum
from types import MappingProxyType

WEBP = "image/webp"
XMP = "application/rdf+xml"
"""The media type of a mark that lies beside its picture."""

SUFFIXES = MappingProxyType({WEBP: ".webp", "image/jpeg": ".jpg", "image/png": ".png", "image/avif": ".avif"})
"""By media type, how the names of delivered files end."""

_MEDIA_TYPES = {suffix: media_type for media_type, suffix in SUFFIXES.items()}


class ImageFormat(StrEnum):
    """What an order may ask for."""

    WEBP = "webp"
    JPEG = "jpeg"
    PNG = "png"
    AVIF = "avif"
    ORIGINAL = "original"
    """The provider's bytes as they came."""


class ImageSize(StrEnum):
    """How large a picture is drawn: about so many thousand pixels on a side of a square one."""

    K1 = "1K"
    K2 = "2K"
    K4 = "4K"

    @property
    def factor(self) -> int:
        """By how much its sides are longer than those of the smallest."""
        return int(self[0])


def media_type_of(path: str) -> str:
    """The media type of a delivered file, by its name."""
    return _MEDIA_TYPES.get(suffix_of(path), WEBP)


def suffix_of(path: str) -> str:
    """How a file's name ends, with the dot."""
    name = path.rpartition("/")[2]
    return f".{name.rpartition('.')[2]}" if "." in name else ""
