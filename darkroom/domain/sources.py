"""What a delivered picture was made from: the bytes of a provider's answer, and who drew them."""

from darkroom.domain.model import Value

OFFLINE = "offline"
"""The provider that is a program: it learned from nothing (spec §3)."""


class PictureSource(Value):
    """The bytes of a picture as its provider gave them."""

    sha256: str
    media_type: str
    c2pa: bool
    """Whether they carry C2PA content credentials, which no file that is encoded anew can keep."""


class PictureOrigin(Value):
    """Who drew a picture; None where no record tells it any more."""

    provider: str | None = None
    model: str | None = None

    @property
    def trained(self) -> bool:
        """Whether a model that learned from samples drew it; in doubt, it did."""
        return self.provider != OFFLINE
