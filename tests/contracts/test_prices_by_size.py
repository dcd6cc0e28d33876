"""A picture costs what its size costs: in hold, settlement, receipt and snapshot (spec §4)."""

from collections.abc import Mapping, Sequence
from typing import Any

from darkroom.domain.formats import ImageSize
from darkroom.domain.jobs import End
from tests.support.records.fixture import PRICE, PRICE_2K, PRICE_4K, RecordsFixture

SIZES: Sequence[Mapping[str, Any]] = tuple({"image_size": size} for size in ImageSize)
PRICES = [PRICE, PRICE_2K, PRICE_4K]


async def test_each_stage_holds_and_costs_its_own_price(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (1, 2, 3), looks=SIZES)
    assert [stage.image_size for stage in await fixture.records.stages(job.job_id)] == list(ImageSize)
    assert (await fixture.account(user_id)).held == 20 + 2 * 30 + 3 * 70
    for stage in range(3):
        await job.make(0, stage)
        await job.settle(0, stage)
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (1_000 - 120, 30 + 2 * 70)
    assert [row.amount for row in await fixture.records.journal(user_id, 10)] == [-70, -30, -20]
    found = await fixture.records.snapshot(job.job_id, None, 10)
    assert found is not None
    assert (found.unit_price, found.spent, found.held) == (PRICE, 120, 170)
    assert [found.unit_price if it.price is None else it.price for it in found.pictures] == PRICES
    assert list(await fixture.records.audit()) == []
    receipt = await job.close(End.CANCELLED)
    assert (receipt.total.charged, receipt.total.released, receipt.prices) == (120, 170, (20, 30, 70))


async def test_a_job_of_one_size_has_one_price(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    job = await fixture.opened(user_id, (1,), looks=SIZES[2:])
    await job.make(0)
    await job.settle(0)
    receipt = await job.close(End.DELIVERED)
    assert (receipt.unit_price, receipt.prices, receipt.total.charged) == (PRICE_4K, None, PRICE_4K)
    assert "prices" not in receipt.model_dump()


async def test_a_restart_keeps_the_prices_of_the_first_opening(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (1, 1, 1), looks=SIZES)
    await job.close(End.CANCELLED)
    await job.open(job.named(2), price=500, restart=True)
    assert (await fixture.account(user_id)).held == sum(PRICES)


async def test_max_credits_are_for_the_first_stages_at_their_prices(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    await fixture.opened(user_id, (2, 2, 2), looks=SIZES, max_credits=150)
    assert (await fixture.account(user_id)).held == 2 * 20 + 2 * 30  # 50 are left, and 70 are needed


async def test_a_job_without_a_user_is_free_in_every_size(fixture: RecordsFixture) -> None:
    job = await fixture.opened(None, (1, 1, 1), looks=SIZES)
    for stage in range(3):
        await job.make(0, stage)
        await job.settle(0, stage)
    receipt = await job.close(End.DELIVERED)
    assert (receipt.delivered, receipt.total.charged, receipt.unit_price, receipt.prices) == (3, 0, 0, None)
