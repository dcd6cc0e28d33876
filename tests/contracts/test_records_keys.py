"""Keys to the HTTP API, and sessions, of which the records keep a hash."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from darkroom.domain.keys import MOST_SESSIONS, NewApiKey, NewSession, hash_of, new_secret, new_session_secret
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


def new_session(user_id: UUID, secret: str, key_id: UUID | None = None, seconds: float = 60) -> NewSession:
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    return NewSession(session_hash=hash_of(secret), user_id=user_id, key_id=key_id, expires_at=ends)


async def test_a_session_is_found_by_its_secret_until_it_ends(fixture: RecordsFixture) -> None:
    user_id, secret, over = uuid4(), new_session_secret(), new_session_secret()
    given = new_session(user_id, secret)
    await fixture.records.add_session(given)
    await fixture.records.add_session(new_session(user_id, over, seconds=-1))
    found = await fixture.records.session(hash_of(secret))
    assert found is not None
    assert (found.user_id, found.operator, found.key_id) == (user_id, False, None)
    assert abs((found.expires_at - given.expires_at).total_seconds()) < 0.01
    for other in (secret, hash_of(over), hash_of(new_session_secret())):
        assert await fixture.records.session(other) is None
    assert secret not in str(await fixture.dump())
    for _ in range(2):
        await fixture.records.end_session(hash_of(secret))
        assert await fixture.records.session(hash_of(secret)) is None


async def test_a_session_is_kept_once(fixture: RecordsFixture) -> None:
    given = new_session(uuid4(), new_session_secret())
    await fixture.records.add_session(given)
    before = await fixture.dump()
    await fixture.records.add_session(given.model_copy(update={"user_id": uuid4()}))
    assert await fixture.dump() == before


async def test_a_session_ends_with_its_key_and_no_other_does(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    secrets, sessions = [new_secret(), new_secret()], [new_session_secret() for _ in range(3)]
    keys = [new_key(user_id, secret, operator=True) for secret in secrets]
    for key in keys:
        await fixture.records.add_api_key(key)
    for session, key_id in zip(sessions, (keys[0].key_id, keys[1].key_id, None), strict=True):
        await fixture.records.add_session(new_session(user_id, session, key_id))
    found = await fixture.records.session(hash_of(sessions[0]))
    assert found is not None
    assert (found.operator, found.key_id) == (True, keys[0].key_id)
    asked = [hash_of(secret) for secret in (*secrets, *sessions, "nobody's")]
    assert set(await fixture.records.valid_sign_ins(asked)) == set(asked[:5])
    await fixture.records.revoke_api_key(keys[0].key_id)
    assert await fixture.records.session(hash_of(sessions[0])) is None
    assert set(await fixture.records.valid_sign_ins(asked)) == {asked[1], asked[3], asked[4]}
    assert not await fixture.records.valid_sign_ins([])


async def test_a_user_has_so_many_sessions_and_ended_ones_go(fixture: RecordsFixture) -> None:
    user_id, other = uuid4(), uuid4()
    of_other, over = new_session_secret(), new_session_secret()
    await fixture.records.add_session(new_session(other, of_other))
    await fixture.records.add_session(new_session(other, over, seconds=-1))
    sessions = [new_session_secret() for _ in range(MOST_SESSIONS + 2)]
    for session in sessions:
        await fixture.records.add_session(new_session(user_id, session))
    kept = {row["session_hash"] for row in (await fixture.dump())["quel_api_sessions"]}
    assert kept == {hash_of(session) for session in (*sessions[2:], of_other)}
