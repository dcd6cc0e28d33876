"""Without sign-in: this machine alone is served, and never by way of a proxy."""

from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from darkroom.domain.errors import SettingRejected
from darkroom.domain.names import LOCAL_USER
from tests.support.stacks.api import ApiStack, running_api


async def test_on_this_machine_the_local_user_needs_no_token_but_a_wrong_one_is_wrong(quiet: ApiStack) -> None:
    account = (await quiet.http.get("/api/account")).json()
    assert (account["user_id"], account["signed_in_by"], account["operator"]) == (str(LOCAL_USER), "local", True)
    assert (await quiet.http.get("/api/jobs", headers=quiet.as_user("dk_wrong"))).status_code == 401


async def test_it_refuses_to_listen_elsewhere_unless_there_is_something_to_sign_in_with(
    temporal: Client, tmp_path: Path
) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_host": "192.0.2.1"}) as api:
        with pytest.raises(SettingRejected, match=r"API_HOST=192\.0\.2\.1.*keys create"):
            await api.services.sign_in.check()
        secret = await api.key(uuid4())
        await api.services.sign_in.check()
        [key] = await api.parts.records.api_keys()
        await api.parts.records.revoke_api_key(key.key_id)
        with pytest.raises(SettingRejected):
            await api.services.sign_in.check()
        assert secret not in repr(await api.parts.records.api_keys())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "evil.example@127.0.0.1"}, 403),
        ({"Host": "evil.example/@127.0.0.1"}, 403),
        ({"Host": "localhost:8400"}, 200),
        ({"Host": "[::1]:8400"}, 200),
    ],
)
async def test_without_sign_in_only_this_machines_names_are_served(
    quiet: ApiStack, headers: dict[str, str], status: int
) -> None:
    assert (await quiet.http.get("/api/jobs", headers=headers)).status_code == status


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"]
)
async def test_behind_a_proxy_nobody_is_the_local_user(quiet: ApiStack, signed: ApiStack, header: str) -> None:
    forwarded = {header: "203.0.113.7"}
    answer = await quiet.http.get("/api/account", headers=forwarded)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "API_HOST" in answer.json()["detail"]
    mine = signed.as_user(await signed.key(uuid4()))
    assert (await signed.http.get("/api/account", headers={**forwarded, **mine})).status_code == 200
