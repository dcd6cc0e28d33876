"""An environment that something cannot use: one line that names the variable, and never its secret."""

import os
from pathlib import Path

import httpx
import httpx2
import pytest
from temporalio.service import RPCError, RPCStatusCode

from darkroom.api.problems import problem_of
from darkroom.client.connection import configured_server, connect
from darkroom.client.temporal_faults import explained, why_not_connected
from darkroom.domain.errors import ServerNotReachable, SettingRejected
from darkroom.providers.connections import describe
from darkroom.proxies import check_proxies
from darkroom.settings import Settings, read_settings
from darkroom.webhooks.sending import _described

SECRET = "sk-a-secret"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")


def refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingRejected) as caught:
        configured_server()
    return str(caught.value)


@pytest.mark.parametrize("name", ["TEMPORAL_API_KEY", "TEMPORAL_NAMESPACE", "TEMPORAL_GRPC_META_AUTHORIZATION"])
def test_a_line_break_in_what_goes_into_a_header_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(name, f"{SECRET}\nmore", monkeypatch)
    assert said == f"{name}: contains characters that no header takes, such as a line break"
    monkeypatch.setenv(name, f"{SECRET}\n")
    assert configured_server() is not None, "white space at the ends is removed"


def test_a_configuration_file_is_not_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "temporal.toml"
    broken.write_text(f'[profile.default]\napi_key = "{SECRET}\n')
    said = refused("TEMPORAL_CONFIG_FILE", str(broken), monkeypatch)
    assert said.startswith("Temporal configuration: cannot be read at line 2, column ")
    monkeypatch.delenv("TEMPORAL_CONFIG_FILE")
    said = refused("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nowhere/cert.pem", monkeypatch)
    assert said == "Temporal configuration: /nowhere/cert.pem cannot be read (No such file or directory)"


async def test_a_server_that_is_not_there_is_one_sentence_that_ends_in_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", SECRET)
    monkeypatch.setenv("TEMPORAL_TLS", "false")
    with pytest.raises(ServerNotReachable) as caught:
        await connect(Settings(_env_file=None))
    assert str(caught.value) == (
        "the Temporal server at 127.0.0.1:1 does not answer (the connection was refused): "
        "check TEMPORAL_ADDRESS, or unset it and run `darkroom up`"
    )


def test_no_error_that_may_hold_headers_is_quoted() -> None:
    holding = f'Status {{ code: PermissionDenied, headers: {{"authorization": "Bearer {SECRET}"}} }}'
    assert why_not_connected(RuntimeError(holding)) == "it refuses the API key"
    assert why_not_connected(RuntimeError(f"anything else {SECRET}")) is None
    for status in RPCStatusCode:
        error = RPCError(holding, status, b"")
        assert SECRET not in explained(error)
        assert SECRET not in problem_of(error).detail
        assert "; " in explained(error), "what to do"
    assert describe(httpx2.LocalProtocolError(f"Illegal header value b'Bearer {SECRET}'")) == "LocalProtocolError"
    assert _described(httpx.LocalProtocolError(f"Illegal header value b'{SECRET}'")) == "LocalProtocolError"
    assert describe(httpx2.ConnectError("All connection attempts failed")) == (
        "ConnectError: All connection attempts failed"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", f"socks5://me:{SECRET}@127.0.0.1:1080", "requires the Python package socksio; install it, or"),
        ("https_proxy", "socks5h://127.0.0.1:1080", "requires the Python package socksio"),
        ("HTTPS_PROXY", "socks4://127.0.0.1:1080", "must be the URL of an HTTP or SOCKS5 proxy"),
        ("HTTP_PROXY", f"http://me:{SECRET}@proxy:port", "must be a URL, such as http://proxy:3128"),
        ("NO_PROXY", "localhost,[::1]", "'[::1]' cannot be read; write IPv6 addresses without brackets"),
        ("NO_PROXY", "fe80::/10", "leave out networks of IPv6"),
    ],
)
def test_a_proxy_that_no_client_can_use_is_one_line(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> None:
        return None

    monkeypatch.setattr("darkroom.proxies.find_spec", missing)
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "a-key")
    with pytest.raises(SettingRejected) as caught:
        read_settings()
    assert str(caught.value).startswith(f"{name.upper()}: ")
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("excluded", ["localhost,127.0.0.1,::1,.example.com,10.0.0.0/8, host:80", "*", ""])
async def test_what_is_not_refused_can_be_used(excluded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("http://proxy:3128", "proxy:3128", "https://me:password@proxy"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", excluded)
        check_proxies(exclusions=True)
        await httpx.AsyncClient().aclose()
        await httpx2.AsyncClient().aclose()


def test_names_that_deployments_have_are_read_after_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", "the-second")
    monkeypatch.setenv("IMAGE_PER_PRICE", "7")
    assert _key_and_price() == ("the-second", 7)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "the-first")
    monkeypatch.setenv("IMAGE_CREDIT_PRICE", "8")
    assert _key_and_price() == ("the-first", 8)
    monkeypatch.delenv("SUPABASE_SERVICE_ROLE_KEY")
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", f"{SECRET}\nmore")
    with pytest.raises(SettingRejected, match=r"^SUPABASE_SERVICE_KEY: contains characters") as caught:
        read_settings()
    assert SECRET not in str(caught.value)


def _key_and_price() -> tuple[str, int]:
    settings = read_settings()
    assert settings.supabase_service_role_key is not None
    return settings.supabase_service_role_key.get_secret_value(), settings.image_credit_price


def test_a_home_of_a_user_who_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_HOME", "~nobody-of-this-name/pictures")
    with pytest.raises(SettingRejected) as caught:
        read_settings()
    assert str(caught.value) == (
        "DARKROOM_HOME=~nobody-of-this-name/pictures: must not begin with ~ and a user who has no home here"
    )


@pytest.mark.parametrize("data", ["IMAGE_PROVIDER=offline".encode("utf-16"), b"A=1\nNAME=caf\xe9\n"])
def test_an_env_file_in_another_encoding_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(data)
    with pytest.raises(SettingRejected, match=r"^\.env: is not UTF-8 text \(byte [\d,]+\); save it as UTF-8$"):
        read_settings()


def test_a_variable_of_others_in_another_encoding_is_none_of_temporals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", os.fsdecode(b"caf\xe9"))
    found = configured_server()
    assert found is not None
    assert found["target_host"] == "127.0.0.1:1"


@pytest.mark.parametrize("size", ["\u00b2x\u00b3", "16x", "wide", "1376x76800"])
def test_a_size_of_other_figures_is_one_line(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLINE_SIZE", size)
    with pytest.raises(SettingRejected, match="must be width x height in pixels, each from 16 to 8192"):
        read_settings()
