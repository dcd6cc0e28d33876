"""`keys`: made, shown once, listed without their secret, revoked."""

from pathlib import Path
from uuid import uuid4

from cli.working import run as run_work
from darkroom.domain.keys import PREFIX, ApiKey, hash_of
from darkroom.domain.names import LOCAL_USER
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run, contents


def kept(home: Path, secret: str) -> ApiKey | None:
    async def look() -> ApiKey | None:
        records = SqliteRecords(home / "records.db")
        found = await records.api_key(hash_of(secret))
        await records.close()
        return found

    return run_work(look())


def test_a_key_is_shown_once_and_only_its_hash_is_kept(home: Path, run: Run) -> None:
    made = run("keys", "create", "--name", "the shop", "--json").document
    secret = made["secret"]
    assert secret.startswith(PREFIX)
    assert (made["user_id"], made["name"], made["operator"]) == (str(LOCAL_USER), "the shop", False)
    key = kept(home, secret)
    assert key is not None
    assert str(key.key_id) == made["key_id"]
    assert not any(secret in line for line in contents(home))
    [listed] = run("keys", "list", "--json").document
    assert listed["name"] == "the shop"
    assert "key_hash" not in listed
    assert secret not in run("keys", "list").out


def test_a_person_can_copy_the_key(home: Path, run: Run) -> None:
    told = run("keys", "create", "--operator")
    assert told.status == 0
    [secret] = [line for line in told.out.splitlines() if line.startswith(PREFIX)]
    key = kept(home, secret)
    assert key is not None
    assert key.operator


def test_a_revoked_key_opens_nothing_and_revoking_twice_is_no_harm(home: Path, run: Run) -> None:
    made = run("keys", "create", "--json").document
    for _ in range(2):
        assert run("keys", "revoke", made["key_id"]).status == 0
    assert kept(home, made["secret"]) is None
    [listed] = run("keys", "list", "--json").document
    assert listed["revoked_at"] is not None


def test_a_key_needs_a_user_and_revoking_needs_a_key(home: Path, run: Run) -> None:
    stranger = str(uuid4())
    told = run("keys", "create", stranger)
    assert (told.status, told.error) == (
        2,
        f"USER: {stranger} has no member row; `darkroom credits grant {stranger} N` creates one",
    )
    assert run("keys", "create", "me").status == 2
    assert run("keys", "create").status == 0
    nobody = str(uuid4())
    told = run("keys", "revoke", nobody)
    assert (told.status, told.error) == (4, f"key {nobody} does not exist; `darkroom keys list` shows all keys")
    assert run("keys", "revoke", "x").error == "KEY_ID: 'x' is not a UUID"
