"""Keys to the HTTP API, of which the records keep a hash."""

from uuid import UUID, uuid4

from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from tests.support.records.fixture import RecordsFixture


def new_key(user_id: UUID, secret: str, name: str = "front end", *, operator: bool = False) -> NewApiKey:
    return NewApiKey(key_id=uuid4(), user_id=user_id, name=name, operator=operator, key_hash=hash_of(secret))


async def test_a_key_is_found_by_its_secret_alone(fixture: RecordsFixture) -> None:
    user_id, secret = await fixture.member(), new_secret()
    given = new_key(user_id, secret, operator=True)
    await fixture.records.add_api_key(given)
    await fixture.records.add_api_key(new_key(user_id, new_secret()))
    found = await fixture.records.api_key(hash_of(secret))
    assert found is not None
    assert (found.key_id, found.user_id, found.name, found.operator) == (given.key_id, user_id, "front end", True)
    assert found.revoked_at is None
    assert await fixture.records.api_key(hash_of(new_secret())) is None
    assert await fixture.records.api_key(secret) is None
    assert secret not in str(await fixture.dump())


async def test_a_key_is_kept_once(fixture: RecordsFixture) -> None:
    given = new_key(await fixture.member(), new_secret())
    await fixture.records.add_api_key(given)
    before = await fixture.dump()
    await fixture.records.add_api_key(given)
    assert await fixture.dump() == before


async def test_a_revoked_key_opens_nothing_and_is_still_listed(fixture: RecordsFixture) -> None:
    user_id, secret = await fixture.member(), new_secret()
    given = new_key(user_id, secret)
    await fixture.records.add_api_key(given)
    assert await fixture.records.revoke_api_key(given.key_id)
    assert await fixture.records.api_key(hash_of(secret)) is None
    [first] = await fixture.records.api_keys()
    assert first.revoked_at is not None
    assert await fixture.records.revoke_api_key(given.key_id)
    assert list(await fixture.records.api_keys()) == [first]
    await fixture.records.add_api_key(given)
    assert await fixture.records.api_key(hash_of(secret)) is None


async def test_what_is_not_there_cannot_be_revoked(fixture: RecordsFixture) -> None:
    assert not await fixture.records.revoke_api_key(uuid4())


async def test_keys_are_listed_newest_first(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    for name in ("one", "two", "three"):
        await fixture.records.add_api_key(new_key(user_id, new_secret(), name))
    assert [key.name for key in await fixture.records.api_keys()] == ["three", "two", "one"]
