"""While a job runs its row trails what is settled by a second at most (spec §2)."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import Client

from darkroom.domain.images import ImageRequest, ProviderAnswer
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.stacks.workflow import running_stack
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class SlowAtTheEnd(ScriptedProvider):
    """Draws at once, except the picture of this ordinal, which waits until it is let go."""

    def __init__(self, ordinal: int) -> None:
        super().__init__()
        self._ordinal = ordinal
        self.let_go = asyncio.Event()

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        if request.ordinal == self._ordinal:
            await self.let_go.wait()
        return await super().generate(request)


async def test_the_row_shows_the_last_image_of_a_burst_without_another_settlement(
    skipping_client: Client, home: Path
) -> None:
    provider = SlowAtTheEnd(3)
    async with running_stack(skipping_client, home, provider) as stack:
        job_id = await stack.order(4)

        async def settled() -> bool:
            return len(await stack.parts.records.delivered_images(job_id, 0, 10)) == 3

        async def shown() -> bool:
            row = await stack.row(job_id)
            return row.completed_images == len(row.generated_attach_ids) == 3

        try:
            await until(settled, "three pictures to be settled")
            await until(shown, "the row to show them", seconds=2)
        finally:
            provider.let_go.set()
        assert (await stack.end_of(job_id)).delivered == 4
