"""Settings from the environment or `.env`; a wrong value is one line with name, value and what is allowed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from darkroom.domain.errors import SettingRejected
from darkroom.settings import Settings, read_settings
from darkroom.supabase import described


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder to start in, and none of our names in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def rejection(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingRejected) as caught:
        read_settings()
    return str(caught.value)


def test_the_defaults_are_those_of_the_specification() -> None:
    settings = read_settings()
    assert settings.darkroom_home == Path(".darkroom")
    assert settings.provider == "offline"
    assert (settings.gemini_timeout, settings.runware_timeout) == (180, 180)
    assert settings.offline_latency == (0.5, 1.5)
    assert (settings.offline_miss_rate, settings.offline_fault_rate, settings.offline_refusal_rate) == (0, 0, 0)
    assert (settings.offline_seed, settings.offline_size) == (0, (1376, 768))
    assert (settings.stage_concurrency, settings.provider_slots, settings.provider_max_per_second) == (25, 100, None)
    assert (settings.max_top_ups, settings.top_up_delay, settings.image_credit_price) == (5, 2, 20)
    assert (settings.webp_quality, settings.webp_method) == (90, 2)
    assert (settings.log_format, settings.log_level, settings.metrics_port) == (None, "info", None)
    limits = settings.limits
    assert (limits.stages, limits.images_per_stage, limits.images_per_job) == (1_000, 10_000, 30_000)


def test_a_key_makes_gemini_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "a-key-of-mine")
    settings = read_settings()
    assert (settings.provider, settings.provider_slots) == ("gemini", 24)
    assert settings.provider_timeout == timedelta(seconds=180)
    assert "a-key-of-mine" not in repr(settings)
    monkeypatch.setenv("IMAGE_PROVIDER", "offline")
    assert (read_settings().provider, read_settings().provider_slots) == ("offline", 100)


def test_runware_s_key_makes_it_the_provider_unless_gemini_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "a-key-of-mine")
    settings = read_settings()
    assert (settings.provider, settings.provider_slots) == ("runware", 24)
    assert (settings.runware_model, settings.runware_base_url) == ("google:nano-banana@2.1", None)
    assert "a-key-of-mine" not in repr(settings)
    monkeypatch.setenv("GEMINI_API_KEY", "another")
    assert read_settings().provider == "gemini"
    monkeypatch.setenv("IMAGE_PROVIDER", "runware")
    assert (read_settings().provider, read_settings().provider_slots) == ("runware", 24)


def test_a_call_may_take_as_long_as_the_slowest_provider_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_TIMEOUT", "400")
    assert read_settings().provider_timeout == timedelta(seconds=60)
    monkeypatch.setenv("GEMINI_API_KEY", "a-key-of-mine")
    assert read_settings().provider_timeout == timedelta(seconds=180)
    monkeypatch.setenv("RUNWARE_API_KEY", "a-key-of-mine")
    assert read_settings().provider_timeout == timedelta(seconds=400)
    monkeypatch.setenv("GEMINI_TIMEOUT", "500")
    assert read_settings().provider_timeout == timedelta(seconds=500)


@pytest.mark.parametrize("provider", ["gemini", "runware"])
def test_a_provider_without_its_key_is_rejected(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    message = rejection(monkeypatch, "IMAGE_PROVIDER", provider)
    assert f"{provider.upper()}_API_KEY" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("IMAGE_PROVIDER", "dalle", "gemini"),
        ("GEMINI_TIMEOUT", "0", "greater than 0"),
        ("GEMINI_TIMEOUT", "soon", "number"),
        ("RUNWARE_TIMEOUT", "0", "greater than 0"),
        ("RUNWARE_TIMEOUT", "1801", "less than or equal to 1800"),
        ("CANCELLED_STATUS", "canceled", "user_cancelled"),
        ("PICK_UP_SINCE", "yesterday", "2026-11-27T09:00:00Z"),
        ("PICK_UP_SINCE", "2026-11-27T09:00:00", "with its time zone"),
        ("PICK_UP_TYPES", "pipeline_stage, pipeline", "pipeline_stage, "),
        ("OFFLINE_LATENCY", "slow", "0.5-1.5"),
        ("OFFLINE_LATENCY", "2-1", "lower bound first"),
        ("OFFLINE_LATENCY", "-1", ""),
        ("OFFLINE_LATENCY", "nan", ""),
        ("OFFLINE_LATENCY", "1-inf", "3600"),
        ("OFFLINE_MISS_RATE", "1.1", "less than or equal to 1"),
        ("OFFLINE_MISS_RATE", "-0.1", "greater than or equal to 0"),
        ("OFFLINE_MISS_RATE", "nan", ""),
        ("OFFLINE_FAULT_RATE", "2", "1"),
        ("OFFLINE_REFUSAL_RATE", "half", "number"),
        ("OFFLINE_SEED", "x", "integer"),
        ("OFFLINE_SIZE", "big", "1376x768"),
        ("OFFLINE_SIZE", "1376", "1376x768"),
        ("OFFLINE_SIZE", "1x1", "16"),
        ("OFFLINE_SIZE", "9999x9999", "8192"),
        ("STAGE_CONCURRENCY", "0", "greater than or equal to 1"),
        ("PROVIDER_CONCURRENCY", "0", "greater than or equal to 1"),
        ("PROVIDER_MAX_PER_SECOND", "0", "greater than 0"),
        ("MAX_TOP_UPS", "-1", "greater than or equal to 0"),
        ("TOP_UP_DELAY", "-1", "greater than or equal to 0"),
        ("TOP_UP_DELAY", "nan", ""),
        ("IMAGE_CREDIT_PRICE", "-20", "greater than or equal to 0"),
        ("IMAGE_CREDIT_PRICE", "1.5", "integer"),
        ("CREDIT_USD", "0", "greater than 0"),
        ("CREDIT_USD", "nan", "number"),
        ("PROVIDER_DAILY_USD", "-1", "greater than 0"),
        ("PROVIDER_DAILY_USD", "ten", "decimal"),
        ("PROVIDER_CALL_USD", "0", "greater than 0"),
        ("USER_DAILY_CREDITS", "0", "greater than or equal to 1"),
        ("WEBP_QUALITY", "101", "less than or equal to 100"),
        ("WEBP_METHOD", "7", "less than or equal to 6"),
        ("LOG_FORMAT", "xml", "json"),
        ("LOG_LEVEL", "loud", "warning"),
        ("METRICS_PORT", "70000", "65535"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_name_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    message = rejection(monkeypatch, name, value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{name}={value}: ")
    assert allowed in message


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CANCELLED_STATUS", "user_cancelled", "user_cancelled"),
        ("PICK_UP_SINCE", "2026-11-27T09:00:00+09:00", datetime(2026, 11, 27, tzinfo=UTC)),
        ("PICK_UP_TYPES", " simple_general,pipeline_stage ", ("simple_general", "pipeline_stage")),
        ("PICK_UP_TYPES", "", ()),
        ("OFFLINE_LATENCY", "2", (2.0, 2.0)),
        ("OFFLINE_LATENCY", "0", (0.0, 0.0)),
        ("OFFLINE_LATENCY", "0.1-0.3", (0.1, 0.3)),
        ("OFFLINE_SIZE", "344x192", (344, 192)),
        ("OFFLINE_SIZE", "344X192", (344, 192)),
        ("OFFLINE_MISS_RATE", "1", 1.0),
        ("TOP_UP_DELAY", "0", 0.0),
        ("MAX_TOP_UPS", "0", 0),
        ("IMAGE_CREDIT_PRICE", "0", 0),
        ("CREDIT_USD", "0.005", Decimal("0.005")),
        ("PROVIDER_DAILY_USD", "50", Decimal(50)),
        ("USER_DAILY_CREDITS", "1", 1),
        ("DARKROOM_HOME", "/srv/darkroom", Path("/srv/darkroom")),
        ("GEMINI_MODEL", "another", "another"),
        ("LOG_FORMAT", "json", "json"),
    ],
)
def test_a_value_at_the_edge_of_what_is_allowed_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: Any
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(read_settings(), name.lower()) == read


def test_values_come_from_env_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_TOP_UPS=7\nIMAGE_CREDIT_PRICE=30\n# a comment\nSOMEBODY_ELSES=1\n", "utf-8")
    monkeypatch.setenv("IMAGE_CREDIT_PRICE", "40")
    settings = read_settings()
    assert (settings.max_top_ups, settings.image_credit_price) == (7, 40)


def test_a_wrong_value_in_env_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_TOP_UPS=many\n", "utf-8")
    with pytest.raises(SettingRejected, match=r"^MAX_TOP_UPS=many: "):
        read_settings()


def test_an_empty_value_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "IMAGE_PROVIDER", "METRICS_PORT", "MAX_TOP_UPS"):
        monkeypatch.setenv(name, "")
    settings = read_settings()
    assert (settings.provider, settings.metrics_port, settings.max_top_ups) == ("offline", None, 5)


def test_a_secret_is_not_in_the_line_about_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "very-secret")
    assert "very-secret" not in rejection(monkeypatch, "WEBP_METHOD", "9")


def test_an_offline_call_may_take_as_long_as_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLINE_LATENCY", "100-200")
    assert read_settings().provider_timeout > timedelta(seconds=200)


@pytest.mark.parametrize("end", ["/", "/rest/v1", "/rest/v1/", " \n"])
def test_supabase_s_address_is_the_project_s_however_it_was_copied(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setenv("SUPABASE_URL", f" https://abc.supabase.co{end}")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", " a-key \n")
    settings = read_settings()
    assert settings.supabase_url == "https://abc.supabase.co"
    assert settings.supabase_service_role_key is not None
    assert settings.supabase_service_role_key.get_secret_value() == "a-key"


def test_an_address_with_a_space_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "must be a URL" in rejection(monkeypatch, "SUPABASE_URL", "https://abc. supabase.co")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_SERVICE_ROLE_KEY", "secret-part\nsecret-rest"),
        ("GEMINI_API_KEY", "secret-part\nsecret-rest"),
        ("RUNWARE_API_KEY", "secret-part\u00e9"),
        ("API_SECRET", "secret-part"),
    ],
)
def test_a_wrong_secret_is_named_and_never_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    message = rejection(monkeypatch, name, value)
    assert message.startswith(f"{name}: ")
    assert "secret-part" not in message
    assert len(message.splitlines()) == 1


GOOGLE_KEY = "AIzaSyA-1234567890abcdefghijklmnopqrstu"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE_PROVIDER", GOOGLE_KEY),
        ("CANCELLED_STATUS", "plain-words-that-are-the-key-of-it"),
        ("PROVIDER_CONCURRENCY", "sb_secret_abcdefghij0123456789"),
        ("OFFLINE_SEED", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"),
        ("LOG_LEVEL", "Bearer abcdefgh0123456789"),
        ("METRICS_PORT", "\x1b]52;c;cm0=\x07"),
        ("SUPABASE_URL", "https://user:pass-word-1@abcdefgh.supabase.co"),
        ("SUPABASE_JWKS_URL", "https://user:pass-word-1@abcdefgh.supabase.co/jwks.json"),
        ("TEMPORAL_UI_URL", "ftp://user:pass-word-1@temporal.example"),
    ],
)
def test_a_secret_given_to_another_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("API_SECRET", "plain-words-that-are-the-key-of-it")
    message = rejection(monkeypatch, name, value)
    assert message.startswith(f"{name}=")
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    for secret in (value.rpartition("//")[2].partition("@")[0] if "@" in value else value, "pass-word-1"):
        assert secret not in message


def test_an_error_that_can_hold_headers_is_never_quoted() -> None:
    secret = httpx.LocalProtocolError("Illegal header value b'Bearer secret-part'")
    assert described(secret) == "LocalProtocolError"
    assert described(httpx.ConnectError("All connection attempts failed")) == "All connection attempts failed"
