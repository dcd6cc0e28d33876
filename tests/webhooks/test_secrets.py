"""What webhooks are signed with: the same in all processes of a deployment, another one for each user."""

import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from darkroom.domain.errors import SettingRejected
from darkroom.settings import Settings
from darkroom.signing import SECRET_FILE, deployment_secret, derived, webhook_key, webhook_secret

SECRET = SecretStr("a secret of at least 32 characters")


def settings(home: Path, **values: object) -> Settings:
    return Settings.model_validate({"darkroom_home": home, **values})


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    found = deployment_secret(settings(tmp_path / "home"))
    assert len(found) == 32
    assert deployment_secret(settings(tmp_path / "home")) == found
    assert deployment_secret(settings(tmp_path / "other")) != found
    file = tmp_path / "home" / SECRET_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [SECRET_FILE]


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    homes = [settings(tmp_path / "home")] * 16
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        assert len(set(pool.map(deployment_secret, homes))) == 1


def test_a_configured_secret_wins_and_nothing_is_written(tmp_path: Path) -> None:
    on_supabase = {"supabase_url": "https://x.supabase.co", "supabase_service_role_key": SecretStr("key")}
    configured = deployment_secret(settings(tmp_path / "home", api_secret=SECRET, **on_supabase))
    from_key = deployment_secret(settings(tmp_path / "home", **on_supabase))
    assert configured == SECRET.get_secret_value().encode()
    assert from_key not in (configured, b"key")
    assert deployment_secret(settings(tmp_path / "elsewhere", **on_supabase)) == from_key
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).write_text("hello")
    with pytest.raises(SettingRejected, match=SECRET_FILE):
        deployment_secret(settings(tmp_path))


def test_each_user_and_each_purpose_has_its_own() -> None:
    one, other = uuid4(), uuid4()
    keys = {webhook_key(b"x", user) for user in (one, other, None)} | {
        webhook_key(b"y", one),
        derived(b"x", "pictures"),
    }
    assert len(keys) == 5
    assert webhook_secret(b"x", one).startswith("whsec_")
    assert webhook_key(b"x", None) == derived(b"x", "webhook:anonymous")
