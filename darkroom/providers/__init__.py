"""The port to whatever draws pictures."""

from typing import Protocol, runtime_checkable

from darkroom.domain.images import ImageRequest, ProviderAnswer
from darkroom.domain.orders import Capabilities


class ImageProvider(Protocol):
    """Draws one picture a call.

    An answer, whatever it says, is a result. Only what may work when retried is raised.
    """

    capabilities: Capabilities

    @property
    def model(self) -> str | None:
        """Which of the provider's models draws; None where there is nothing to choose."""
        ...

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        """Draw one picture.

        Raises:
            ProviderUnavailable: a transient fault, with the wait the provider asked for, if any.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; the provider is not used afterwards."""
        ...


@runtime_checkable
class KeyedProvider(ImageProvider, Protocol):
    """A provider behind a key that may be wrong."""

    async def check(self) -> str | None:
        """What keeps its key or its model from working, with the remedy; None when nothing does. Costs nothing.

        Raises:
            ProviderUnavailable: it cannot be asked now.
        """
        ...
