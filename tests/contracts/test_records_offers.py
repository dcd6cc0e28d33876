"""Which providers there are, as workers say it: until it expires, and without a word of what they are paid with."""

from datetime import timedelta

from darkroom.domain.offers import ProviderOffer, offered
from darkroom.domain.orders import Capabilities
from tests.support.records.fixture import RecordsFixture

MINUTE = timedelta(minutes=1)
GEMINI = Capabilities(name="gemini", aspect_ratios=("1:1", "21:9"), max_references=14)
OFFLINE = Capabilities(name="offline", aspect_ratios=("1:1",), max_references=3)
BOTH = ProviderOffer(providers=(OFFLINE, GEMINI), default=("gemini", "offline"))
ALONE = ProviderOffer(providers=(OFFLINE,), default=("offline",))


async def test_nobody_has_offered_anything_at_first(fixture: RecordsFixture) -> None:
    assert list(await fixture.records.offered_providers()) == []
    assert offered([]) is None


async def test_an_offer_is_read_by_another_process(fixture: RecordsFixture) -> None:
    await fixture.records.offer_providers(BOTH, MINUTE)
    for records in (fixture.records, *fixture.connections):
        assert list(await records.offered_providers()) == [BOTH]


async def test_workers_that_offer_the_same_share_a_row_that_holds_longer(fixture: RecordsFixture) -> None:
    for lasts in (MINUTE, 10 * MINUTE, MINUTE):
        await fixture.records.offer_providers(BOTH, lasts)
    await fixture.records.offer_providers(ALONE, 5 * MINUTE)
    assert list(await fixture.records.offered_providers()) == [BOTH, ALONE]
    assert len((await fixture.dump())["quel_provider_offers"]) == 2


async def test_the_newest_offer_says_who_draws_what_names_nobody(fixture: RecordsFixture) -> None:
    await fixture.records.offer_providers(BOTH, MINUTE)
    await fixture.records.offer_providers(ALONE, 2 * MINUTE)
    found = offered(await fixture.records.offered_providers())
    assert found is not None
    assert found.default == ("offline",)
    assert dict(found.capabilities) == {"gemini": GEMINI, "offline": OFFLINE}


async def test_an_offer_that_expired_is_none_and_goes_with_the_next(fixture: RecordsFixture) -> None:
    await fixture.records.offer_providers(BOTH, -MINUTE)
    assert list(await fixture.records.offered_providers()) == []
    await fixture.records.offer_providers(ALONE, MINUTE)
    assert [row["offer_hash"] for row in (await fixture.dump())["quel_provider_offers"]] == [ALONE.digest]


async def test_an_offer_that_cannot_be_read_hides_no_other(planted: RecordsFixture) -> None:
    await planted.records.offer_providers(BOTH, MINUTE)
    await planted.records.offer_providers(ALONE, 2 * MINUTE)
    await planted.tables.plant(
        "update quel_provider_offers set offer = :offer where offer_hash = :hash",
        offer='{"providers": 3}',
        hash=ALONE.digest,
    )
    assert list(await planted.records.offered_providers()) == [BOTH]
