"""The records of what a user has."""

from typing import Protocol
from uuid import UUID

from darkroom.domain.usage import Usage


class UsageRecords(Protocol):
    """What limits are compared with."""

    async def usage(self, user_id: UUID) -> Usage:
        """What a user has now."""
        ...
