"""The port to whatever draws pictures."""

from typing import Protocol

from darkroom.domain.images import ImageRequest, ProviderAnswer
from darkroom.domain.orders import Capabilities


class ImageProvider(Protocol):
    """Draws one picture a call.

    An answer, whatever it says, is a result. Only what may work when simply tried again is raised.
    """

    capabilities: Capabilities

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        """Draw one picture.

        Raises:
            ProviderUnavailable: a passing fault, with the wait the provider asked for, if any.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; the provider is not used afterwards."""
        ...
