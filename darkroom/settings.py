"""Settings from the environment or a `.env` file; docs/settings.md documents each one."""

import os
import re
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from darkroom.api_limits import ApiLimits
from darkroom.cost_settings import CostSettings
from darkroom.domain.errors import SettingRejected
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.orders import JobType, Limits
from darkroom.domain.pick_up import PickUp
from darkroom.domain.wording import in_a_sentence
from darkroom.picture_settings import PictureSettings
from darkroom.proxies import check_proxies
from darkroom.setting_values import read_job_types, read_latency, read_list, read_moment, read_size, shown

Share = Annotated[float, Field(ge=0, le=1)]
_PREFIX_NAME = re.compile(r"[A-Za-z0-9._~-]+")
_ADDRESSES = {
    "supabase_url": "the project's https://abcdefgh.supabase.co",
    "supabase_jwks_url": "https://abcdefgh.supabase.co/auth/v1/.well-known/jwks.json",
    "temporal_ui_url": "http://temporal.example:8080",
}
_KEY = re.compile(r"[!-~]+")
_SECRETS = (
    *("gemini_api_key", "runware_api_key", "supabase_service_role_key", "supabase_service_key"),
    *("supabase_jwt_secret", "api_secret", "api_limits_redis_url"),
)
_LISTS = ("api_cors_origins", "api_trusted_proxies", "webhook_allowed_networks")
_SECOND_NAMES = {"SUPABASE_SERVICE_ROLE_KEY": "SUPABASE_SERVICE_KEY", "IMAGE_CREDIT_PRICE": "IMAGE_PER_PRICE"}
"""What deployments have; the first name wins."""


def _named(name: str) -> Any:
    return Field(validation_alias=AliasChoices(name.lower(), _SECOND_NAMES[name].lower()))


_VERSION_PART = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$"
"""Of a deployment or a build; Temporal joins the two with a colon."""


class Settings(PictureSettings, CostSettings, ApiLimits):
    """All settings; the names in the environment are these names in capitals."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    darkroom_home: Path = Path(".darkroom")

    image_provider: Annotated[tuple[Literal["gemini", "runware", "offline"], ...] | None, NoDecode] = None
    gemini_api_key: SecretStr | None = None
    gemini_model: str = "gemini-nano-banana-2.1"
    gemini_base_url: str | None = None
    gemini_api_version: str | None = None
    gemini_timeout: Annotated[float, Field(gt=0, le=1800)] = 180.0
    runware_api_key: SecretStr | None = None
    runware_model: str = "google:nano-banana@2.1"
    runware_base_url: str | None = None
    runware_timeout: Annotated[float, Field(gt=0, le=1800)] = 180.0

    supabase_url: str | None = None
    supabase_service_role_key: Annotated[SecretStr | None, _named("SUPABASE_SERVICE_ROLE_KEY")] = None
    supabase_bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] = "attachments"
    cancelled_status: Literal["cancelled", "user_cancelled"] = "cancelled"
    pick_up_pending: bool = True
    pick_up_since: datetime | None = None
    pick_up_types: Annotated[tuple[JobType, ...], NoDecode] = ()
    keep_pictures_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    housekeeping_every: Annotated[float, Field(ge=10, le=86_400)] = 3600.0
    pick_up_every: Annotated[float, Field(ge=1, le=3600)] = 5.0

    offline_latency: Annotated[tuple[float, float], NoDecode] = (0.5, 1.5)
    offline_miss_rate: Share = 0.0
    offline_fault_rate: Share = 0.0
    offline_refusal_rate: Share = 0.0
    offline_seed: int = 0
    offline_size: Annotated[tuple[int, int], NoDecode] = (1376, 768)

    stage_concurrency: Annotated[int, Field(ge=1, le=500)] = 25
    provider_concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    provider_max_per_second: Annotated[float, Field(gt=0)] | None = None

    max_top_ups: Annotated[int, Field(ge=0, le=100)] = 5
    storybook_max_top_ups: Annotated[int, Field(ge=0, le=100)] = 2
    top_up_delay: Annotated[float, Field(ge=0, le=60)] = 2.0
    stalled_after: Annotated[float, Field(ge=10, le=86_400)] = 120.0

    deployment_name: Annotated[str, Field(pattern=_VERSION_PART)] | None = None
    build_id: Annotated[str, Field(pattern=_VERSION_PART)] | None = None

    job_stages_at_once: Annotated[int, Field(ge=1, le=1_000)] = 40
    max_stages: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    max_stage_images: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    max_job_images: Annotated[int, Field(ge=1, le=30_000)] = 30_000

    api_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    api_port: Annotated[int, Field(ge=1, le=65535)] = 8400
    api_root_path: str = ""
    api_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    api_cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    supabase_jwt_secret: SecretStr | None = None
    supabase_jwks_url: str | None = None
    temporal_ui_url: str | None = None
    webhook_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()

    log_format: Literal["console", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _trim(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("gemini_api_key", "runware_api_key", "supabase_service_role_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _KEY.fullmatch(value.get_secret_value()):
            raise ValueError("contains characters that no key has, such as a line break; copy it again")
        return value

    @field_validator("image_provider", mode="before")
    @classmethod
    def _read_providers(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(dict.fromkeys(name.strip().lower() for name in value.split(",") if name.strip())) or None

    _read_lists = field_validator(*_LISTS, mode="before")(read_list)
    _read_latency = field_validator("offline_latency", mode="before")(read_latency)
    _read_size = field_validator("offline_size", mode="before")(read_size)
    _read_since = field_validator("pick_up_since", mode="before")(read_moment)
    _read_types = field_validator("pick_up_types", mode="before")(read_job_types)

    @field_validator("darkroom_home")
    @classmethod
    def _expand_home(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("must not begin with ~ and a user who has no home here") from None

    @field_validator("supabase_url", "supabase_jwks_url", "temporal_ui_url")
    @classmethod
    def _read_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
        except ValueError:  # an unfinished IPv6 address
            parts = urlsplit("")
        complete = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if not complete or re.search(r"\s", value):
            example = _ADDRESSES[str(info.field_name)]
            raise ValueError(f"must be a URL, such as {example}")
        value = value.rstrip("/")
        return value.removesuffix("/rest/v1").rstrip("/") if info.field_name == "supabase_url" else value

    @field_validator("api_root_path")
    @classmethod
    def _read_prefix(cls, value: str) -> str:
        names = value.rstrip("/").split("/")
        if names[0] or not all(_PREFIX_NAME.fullmatch(name) and name.strip(".") for name in names[1:]):
            raise ValueError("must be a path of letters, digits and -._~, such as /darkroom")
        return "/".join(names)

    @property
    def on_supabase(self) -> bool:
        """Whether Supabase keeps records and pictures, rather than the folder DARKROOM_HOME."""
        return self.supabase_url is not None

    @property
    def local_user(self) -> UUID | None:
        """The one user of the embedded default, who need not be named; on Supabase there is none."""
        return None if self.on_supabase else LOCAL_USER

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers of orders that name none: the first, and when it cannot draw, the next."""
        if self.image_provider is not None:
            return self.image_provider
        with_keys = {"gemini": self.gemini_api_key, "runware": self.runware_api_key}
        return (next((name for name, key in with_keys.items() if key), "offline"),)

    @property
    def pick_up(self) -> PickUp:
        """Which pending rows are started."""
        return PickUp(pending=self.pick_up_pending, since=self.pick_up_since, types=self.pick_up_types)

    @property
    def provider(self) -> str:
        """The first of them."""
        return self.providers[0]

    @property
    def provider_slots(self) -> int:
        """Concurrent provider calls per process."""
        return self.provider_concurrency or (100 if self.providers == ("offline",) else 24)

    @property
    def provider_timeout(self) -> timedelta:
        """The longest one call to any configured provider may take: an order may name each of them."""
        longest = max(60.0, self.offline_latency[1] + 30)
        if self.gemini_api_key is not None:
            longest = max(longest, self.gemini_timeout)
        if self.runware_api_key is not None:
            longest = max(longest, self.runware_timeout)
        return timedelta(seconds=longest)

    @property
    def metrics_address(self) -> str | None:
        """Where a process that runs jobs serves its metrics; None for nowhere."""
        host = f"[{self.metrics_host}]" if ":" in self.metrics_host else self.metrics_host
        return None if self.metrics_port is None else f"{host}:{self.metrics_port}"

    def api_address(self, port: int | None = None) -> str:
        """The address of the page and the HTTP API, on another port if one is given."""
        plain = self.api_host.strip("[]")
        host = f"[{plain}]" if ":" in plain else plain
        return f"http://{host}:{port or self.api_port}{self.api_root_path}"

    @property
    def limits(self) -> Limits:
        """How large an order may be."""
        return Limits(
            stages=self.max_stages, images_per_stage=self.max_stage_images, images_per_job=self.max_job_images
        )


def make_home(settings: Settings) -> None:
    """Create DARKROOM_HOME, for its user alone.

    Raises:
        SettingRejected: it cannot be a folder.
    """
    home = settings.darkroom_home
    try:
        if home.name == ".darkroom" and home.is_dir() and home.stat().st_uid == os.geteuid():
            home.chmod(0o700)  # made by an older version; a folder of another name may have other uses
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingRejected(
            f"DARKROOM_HOME={home}: cannot be created as a folder ({error.strerror or error})"
        ) from None


def read_settings() -> Settings:
    """The settings as environment and `.env` give them.

    Raises:
        SettingRejected: a value is wrong; one line with the name, the value and what is allowed.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "_".join(str(step) for step in first["loc"][:1]).upper()
        second = _SECOND_NAMES.get(name, "")
        name = second if second in os.environ and name not in os.environ else name
        reason = str(first["msg"]).removeprefix("Value error, ")
        given = "" if name.lower() in _SECRETS else f"={first['input']!s}"
        raise SettingRejected(shown(f"{name}{given}: {in_a_sentence(reason)}", _SECRETS)) from None
    except UnicodeDecodeError as error:
        raise SettingRejected(f".env: is not UTF-8 text (byte {error.start:,}); save it as UTF-8") from None
    check_together(settings)
    return settings


def check_together(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises:
        SettingRejected: one is missing that another one needs.
    """
    for name, key in (("gemini", settings.gemini_api_key), ("runware", settings.runware_api_key)):
        if name in settings.providers and key is None:
            required = f"{name.upper()}_API_KEY"
            raise SettingRejected(f"IMAGE_PROVIDER={name}: requires {required}; set it, or use IMAGE_PROVIDER=offline")
    if (settings.deployment_name is None) is not (settings.build_id is None):
        there, other = ("DEPLOYMENT_NAME", "BUILD_ID") if settings.deployment_name else ("BUILD_ID", "DEPLOYMENT_NAME")
        raise SettingRejected(f"{there} is set without {other}; set both, or neither")
    if settings.supabase_url is not None and settings.supabase_service_role_key is None:
        raise SettingRejected(
            f"SUPABASE_URL={settings.supabase_url}: requires SUPABASE_SERVICE_ROLE_KEY; set both, or neither"
        )
    if settings.supabase_url is None and settings.supabase_service_role_key is not None:
        raise SettingRejected("SUPABASE_SERVICE_ROLE_KEY is set without SUPABASE_URL; set both, or neither")
    if settings.on_supabase or settings.gemini_api_key or settings.runware_api_key:
        check_proxies(exclusions=settings.on_supabase)
