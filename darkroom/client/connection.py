"""The way to Temporal: which server, how to reach it, and what its client says of itself."""

import asyncio
import logging
import os
import warnings
from datetime import timedelta
from functools import cache
from time import monotonic
from typing import Any

from dotenv import dotenv_values
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.temporal_faults import check_headers, unreadable, why_not_connected
from darkroom.domain.errors import NamespaceUnknown, ServerNotReachable, SettingRejected
from darkroom.domain.names import SearchAttribute
from darkroom.embedded.address import EmbeddedServer, embedded_address
from darkroom.settings import Settings

AT_HAND = timedelta(seconds=2)
"""How long somebody who can do without Temporal waits for it."""

ASK_AGAIN_AFTER = 2.0
"""Seconds before a server that did not answer is asked again."""

PATIENCE = timedelta(seconds=10)
"""How long the server may take to answer the first time."""


def configured_server() -> dict[str, Any] | None:
    """How to connect to the server that TEMPORAL_ADDRESS or a profile names; None when they name none.

    Raises:
        SettingRejected: the configuration cannot be read.
    """
    given = {**dotenv_values(".env"), **os.environ}
    # Empty means unset, as for our own settings; the SDK takes an empty key for a key. What others left in the
    # environment, such as a path in another encoding, is none of Temporal's.
    environment = {
        name: value.strip()
        for name, value in given.items()
        if value and value.strip() and (name.startswith("TEMPORAL_") or _is_text(name + value))
    }
    try:
        config = ClientConfig.load_client_connect_config(override_env_vars=environment)
    except (RuntimeError, OSError, ValueError) as error:
        raise unreadable(error) from None
    check_headers(config)
    return dict(config) if config.get("target_host") else None


def _is_text(value: str) -> bool:
    return value.encode("utf-8", "ignore").decode() == value


async def connect(settings: Settings, patience: timedelta = PATIENCE, metrics_address: str | None = None) -> Client:
    """A client of the configured server, else of the one that `up` runs in DARKROOM_HOME.

    With an address this process serves metrics on it; only those that work do.

    Raises:
        ServerNotReachable: there is none, or it does not answer in time; one line with what to do.
        SettingRejected: its address is none.
    """
    config = configured_server()
    if config is None:
        embedded = embedded_address(settings)
        if embedded is None:
            raise ServerNotReachable(
                "no Temporal server: start one with `darkroom up` in another terminal, or set TEMPORAL_ADDRESS"
            )
        config = {"target_host": embedded.address}
    return await _connect(config, patience, metrics_address)


async def connect_to(server: EmbeddedServer, metrics_address: str | None = None) -> Client:
    """A client of our own server, whatever the environment says of others."""
    return await _connect({"target_host": server.address}, PATIENCE, metrics_address)


class TemporalLink:
    """The client of a process that outlives servers: made when it is needed, and anew when the server has moved."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configured = configured_server() is not None
        self._connecting = asyncio.Lock()
        self._client: tuple[str, Client] | None = None
        self._failed: tuple[float, ServerNotReachable] | None = None

    async def client(self) -> Client:
        """The client; it reconnects by itself when its server was away.

        Raises:
            ServerNotReachable: there is no server, or it does not answer at once.
        """
        async with self._connecting:
            address = self._address()
            if self._client is not None and self._client[0] == address:
                return self._client[1]
            if self._failed is not None and monotonic() - self._failed[0] < ASK_AGAIN_AFTER:
                raise self._failed[1]
            try:
                client = await connect(self._settings, AT_HAND)
            except ServerNotReachable as error:
                self._failed = monotonic(), error
                raise
            self._client, self._failed = (address, client), None
            return client

    def _address(self) -> str:
        if self._configured:
            return "configured"
        embedded = embedded_address(self._settings)
        return "" if embedded is None else embedded.address


async def _connect(config: dict[str, Any], patience: timedelta, metrics_address: str | None) -> Client:
    address = config["target_host"]
    remedy = "check that it is running"
    if configured_server() is not None:
        remedy = "check TEMPORAL_ADDRESS, or unset it and run `darkroom up`"
    try:
        async with asyncio.timeout(patience.total_seconds()):
            with warnings.catch_warnings():
                # The SDK warns of an address with a scheme in two lines of its own; it fails right after.
                warnings.filterwarnings("ignore", message="Target host as URL", category=UserWarning)
                client = await Client.connect(
                    **config, data_converter=pydantic_data_converter, runtime=runtime(metrics_address)
                )
                await _check_namespace(client)
                return client
    except TimeoutError:
        raise ServerNotReachable(
            f"the Temporal server at {address} does not answer within {patience.total_seconds():.0f} s: {remedy}"
        ) from None
    except RuntimeError as error:
        reason = why_not_connected(error)
        words = "" if reason is None else f" ({reason})"
        raise ServerNotReachable(f"the Temporal server at {address} does not answer{words}: {remedy}") from None
    except ValueError:
        if config.get("tls"):
            raise SettingRejected(
                "TEMPORAL_TLS_…: cannot be used; give a client certificate together with its key, both as PEM"
            ) from None
        raise SettingRejected(f"TEMPORAL_ADDRESS={address}: must be host:port") from None


async def _check_namespace(client: Client) -> None:
    """Say so at once when the namespace is unknown; a server that does not tell is not asked again.

    Raises:
        NamespaceUnknown: to this server.
    """
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NamespaceUnknown(
                f"the Temporal server has no namespace {client.namespace}: set TEMPORAL_NAMESPACE, or create it with "
                f"`temporal operator namespace create --namespace {client.namespace}`"
            ) from None


async def ensure_search_attributes(client: Client) -> None:
    """Register the search attributes that jobs are found by, if they are missing and the server lets us.

    Raises:
        ServerNotReachable: they are missing and cannot be registered; the line says the command.
    """
    required = {str(name): IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for name in SearchAttribute}
    try:
        there = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        missing = {name: kind for name, kind in required.items() if name not in there.custom_attributes}
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
    except RPCError as error:
        if error.status in (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED):
            return  # Temporal Cloud answers like this; there they are made in its own interface
        names = " ".join(f"--name {name} --type Keyword" for name in required)
        raise ServerNotReachable(
            "the Temporal server lacks Darkroom's search attributes, and they cannot be registered from here: "
            f"register them with `temporal operator search-attribute create {names}`"
        ) from None


@cache
def runtime(metrics_address: str | None) -> Runtime:
    """The SDK's runtime, one a process: its log lines go through Python's logging, not to standard output.

    With an address it serves Prometheus metrics.

    Raises:
        SettingRejected: the address cannot be used.
    """
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    filtered = TelemetryFilter(core_level="WARN", other_level="ERROR")
    metrics = PrometheusConfig(bind_address=metrics_address) if metrics_address else None
    try:
        return Runtime(
            telemetry=TelemetryConfig(logging=LoggingConfig(filter=filtered, forwarding=forwarding), metrics=metrics)
        )
    except ValueError as error:
        raise SettingRejected(f"METRICS_HOST, METRICS_PORT: {metrics_address} cannot be used ({error})") from None
