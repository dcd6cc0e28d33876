"""Signed addresses of pictures: whoever has one may look, for a day."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from time import time

LIFETIME = timedelta(hours=24)
STEP = timedelta(hours=1)
"""Addresses made within one step are the same, so that browsers keep what they have."""


class View(StrEnum):
    """What an address shows of an attachment."""

    FILE = "file"
    THUMBNAIL = "thumbnail"


class Addresses:
    """Makes addresses of pictures and tells whether one is ours."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time) -> None:
        self._secret = secret
        self._clock = clock

    @property
    def epoch(self) -> int:
        """The step we are in; addresses change with it."""
        return int(self._clock() // STEP.total_seconds())

    def file(self, attach_id: int) -> str:
        """The address of the picture as it is stored."""
        return f"/pictures/{attach_id}?{self._query(View.FILE, attach_id)}"

    def thumbnail(self, attach_id: int) -> str:
        """The address of a small one."""
        return f"/pictures/{attach_id}/thumbnail?{self._query(View.THUMBNAIL, attach_id)}"

    def holds(self, view: View, attach_id: int, expires: int, signature: str) -> bool:
        """Whether an address is ours and not too old."""
        ours = self._signature(view, attach_id, expires)
        return hmac.compare_digest(signature.encode(), ours.encode()) and self._clock() < expires

    def _query(self, view: View, attach_id: int) -> str:
        expires = int((self.epoch + 1) * STEP.total_seconds() + LIFETIME.total_seconds())
        return f"expires={expires}&signature={self._signature(view, attach_id, expires)}"

    def _signature(self, view: View, attach_id: int, expires: int) -> str:
        digest = hmac.digest(self._secret, f"{view} {attach_id} {expires}".encode(), sha256)
        return urlsafe_b64encode(digest[:24]).decode()
