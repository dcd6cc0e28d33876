"""Keys to the HTTP API, of which the records keep a hash."""

from uuid import UUID, uuid4

from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from tests.support.records.fixture import RecordsFixture


def new_key(user_id: UUID, secret: str, name: str = "front end", *, operator: bool = False) -> NewApiKey:
    return NewApiKey(key_id=uuid4(), user_id=user_id, name=name, operator=operator, key_hash=hash_of(secret))


async def test_a_key_is_found_by_its_secret_alone(scene: RecordsFixture) -> None:
    user_id, secret = await scene.member(), new_secret()
    given = new_key(user_id, secret, operator=True)
    await scene.records.add_api_key(given)
    await scene.records.add_api_key(new_key(user_id, new_secret()))
    found = await scene.records.api_key(hash_of(secret))
    assert found is not None
    assert (found.key_id, found.user_id, found.name, found.operator) == (given.key_id, user_id, "front end", True)
    assert found.revoked_at is None
    assert await scene.records.api_key(hash_of(new_secret())) is None
    assert await scene.records.api_key(secret) is None
    assert secret not in str(await scene.dump())


async def test_a_key_is_kept_once(scene: RecordsFixture) -> None:
    given = new_key(await scene.member(), new_secret())
    await scene.records.add_api_key(given)
    before = await scene.dump()
    await scene.records.add_api_key(given)
    assert await scene.dump() == before


async def test_a_revoked_key_opens_nothing_and_is_still_listed(scene: RecordsFixture) -> None:
    user_id, secret = await scene.member(), new_secret()
    given = new_key(user_id, secret)
    await scene.records.add_api_key(given)
    assert await scene.records.revoke_api_key(given.key_id)
    assert await scene.records.api_key(hash_of(secret)) is None
    [first] = await scene.records.api_keys()
    assert first.revoked_at is not None
    assert await scene.records.revoke_api_key(given.key_id)
    assert list(await scene.records.api_keys()) == [first]
    await scene.records.add_api_key(given)
    assert await scene.records.api_key(hash_of(secret)) is None


async def test_what_is_not_there_cannot_be_revoked(scene: RecordsFixture) -> None:
    assert not await scene.records.revoke_api_key(uuid4())


async def test_keys_are_listed_newest_first(scene: RecordsFixture) -> None:
    user_id = await scene.member()
    for name in ("one", "two", "three"):
        await scene.records.add_api_key(new_key(user_id, new_secret(), name))
    assert [key.name for key in await scene.records.api_keys()] == ["three", "two", "one"]
