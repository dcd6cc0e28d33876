"""Whether a deployment is ready: one finding for each thing that jobs need."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.connection import connect
from darkroom.client.temporal_faults import explained
from darkroom.domain.errors import (
    NamespaceUnknown,
    ProviderUnavailable,
    ServerNotReachable,
    StorageRefused,
    StorageUnavailable,
)
from darkroom.domain.findings import Finding
from darkroom.domain.names import SearchAttribute
from darkroom.providers import ImageProvider, KeyedProvider
from darkroom.settings import Settings
from darkroom.storage import Storage

SERVER, NAMESPACE, ATTRIBUTES = "Temporal", "namespace", "search attributes"
PATIENCE = timedelta(seconds=5)


async def check_temporal(settings: Settings) -> list[Finding]:
    """A finding for the server, its namespace and the search attributes.

    Raises:
        SettingRejected: the server's address is invalid.
    """
    try:
        client = await connect(settings, PATIENCE)
    except NamespaceUnknown as error:
        reason, _, remedy = str(error).partition(": ")
        unchecked = Finding.unknown(ATTRIBUTES, "no such namespace")
        return [Finding.good(SERVER, "answers"), Finding.wrong(NAMESPACE, reason, remedy), unchecked]
    except ServerNotReachable as error:
        reason, _, remedy = str(error).partition(": ")
        others = (Finding.unknown(what, "no Temporal server") for what in (NAMESPACE, ATTRIBUTES))
        return [Finding.wrong(SERVER, reason, remedy), *others]
    address = client.service_client.config.target_host
    return [Finding.good(SERVER, f"{address} answers"), await _namespace(client), await _search_attributes(client)]


async def _namespace(client: Client) -> Finding:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=PATIENCE
        )
    except RPCError as error:
        reason, _, remedy = explained(error).partition("; ")
        return Finding.wrong(NAMESPACE, f"{client.namespace} could not be read: {reason}", remedy)
    return Finding.good(NAMESPACE, f"{client.namespace} exists")


async def _search_attributes(client: Client) -> Finding:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        there = (await client.operator_service.list_search_attributes(request, timeout=PATIENCE)).custom_attributes
    except RPCError as error:
        if error.status in (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED):
            return Finding.unknown(ATTRIBUTES, "not listed by this server; check its own interface (Temporal Cloud)")
        return Finding.wrong(ATTRIBUTES, *explained(error).split("; "))
    missing = [str(name) for name in SearchAttribute if name not in there]
    if missing:
        names = " ".join(f"--name {name} --type Keyword" for name in missing)
        return Finding.wrong(
            ATTRIBUTES, f"{', '.join(missing)} missing", f"`temporal operator search-attribute create {names}`"
        )
    return Finding.good(ATTRIBUTES, ", ".join(SearchAttribute))


async def check_writable(storage: Storage, what: str, place: str) -> Finding:
    """A finding for a storage: an object is written, read and removed."""
    key, data = f"staging/doctor/{uuid4()}", b"darkroom"
    try:
        await storage.put(key, data, "application/octet-stream")
        found = await storage.get(key)
        await storage.delete([key])
    except (StorageRefused, StorageUnavailable) as error:
        return Finding.wrong(what, str(error), "fix what it names, then check again")
    if found != data:
        return Finding.wrong(what, f"{place} returned other bytes than were written", "check what proxies or caches it")
    return Finding.good(what, f"{place} can be written, read and deleted from")


async def check_provider(name: str, provider: ImageProvider) -> Finding:
    """A finding for a provider's key and model; nothing is drawn."""
    what = f"provider {name}"
    if not isinstance(provider, KeyedProvider):
        return Finding.good(what, "needs no key")
    try:
        async with asyncio.timeout(2 * PATIENCE.total_seconds()):
            wrong = await provider.check()
    except (ProviderUnavailable, TimeoutError) as error:
        return Finding.wrong(what, str(error) or "does not answer", "try again; check that this machine can reach it")
    if wrong is None:
        return Finding.good(what, "accepts the key")
    reason, _, remedy = wrong.rpartition("; ")
    return Finding.wrong(what, reason or wrong, remedy if reason else "check the key")
