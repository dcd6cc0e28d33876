"""Settings: what the HTTP API grants each client. Above any of them it answers 429 and says when to try again."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode


class ApiLimits(BaseSettings):
    """Limits of the API; docs/deploy.md lists them with what a proxy must do."""

    api_session_hours: Annotated[float, Field(gt=0, le=8760)] = 24.0
    api_changes_per_minute: Annotated[int, Field(ge=1)] = 600
    api_reads_per_minute: Annotated[int, Field(ge=1)] = 3_000
    api_follows_per_minute: Annotated[int, Field(ge=1)] = 600
    api_failed_keys_per_minute: Annotated[int, Field(ge=1)] = 60
    api_streams_per_user: Annotated[int, Field(ge=1)] = 100
    api_waits_per_user: Annotated[int, Field(ge=1)] = 100
    api_archives_per_user: Annotated[int, Field(ge=1)] = 4
    api_uploads_per_user: Annotated[int, Field(ge=1)] = 8
    api_large_requests_per_user: Annotated[int, Field(ge=1)] = 4

    api_open_jobs_per_user: Annotated[int, Field(ge=1)] = 1_000
    api_stored_mb_per_user: Annotated[int, Field(ge=1)] = 10_000
    api_free_orders_per_day: Annotated[int, Field(ge=1)] = 100
    api_webhooks_per_day: Annotated[int, Field(ge=1)] = 1_000
    api_webhooks_per_host_per_day: Annotated[int, Field(ge=1)] = 10_000
    api_limits_redis_url: SecretStr | None = None

    api_connections: Annotated[int, Field(ge=1)] = 1_000
    api_connections_per_address: Annotated[int, Field(ge=1)] = 100
    api_requests_per_user: Annotated[int, Field(ge=1)] = 300
    api_requests: Annotated[int, Field(ge=1)] = 1_000
    api_head_timeout: Annotated[float, Field(gt=0, le=600)] = 10.0
    api_body_timeout: Annotated[float, Field(gt=0, le=3600)] = 120.0
    api_idle_timeout: Annotated[int, Field(ge=1, le=3600)] = 15
    api_trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
