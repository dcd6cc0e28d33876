"""Puts the parts together; the only place that knows which adapter is used."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import SecretStr
from temporalio.client import Client as TemporalClient

from darkroom._version import __version__
from darkroom.client import connection
from darkroom.client.connection import TemporalLink, configured_server
from darkroom.client.deleting import Deleting
from darkroom.client.jobs import Client
from darkroom.client.workers import WorkerWatch
from darkroom.decoding.children import Children
from darkroom.disk import free_bytes, lack_of_room, without_new_folders
from darkroom.doctor import ask_workers, check_disk, check_provider, check_temporal, check_writable, providers_of_late
from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.findings import Finding, State
from darkroom.domain.offers import ProviderOffer
from darkroom.domain.worker_reports import WorkerReport
from darkroom.orders.intake import Intake
from darkroom.orders.references import Uploads
from darkroom.pictures import PictureWork, UploadedPictures
from darkroom.provider_choice import configured_providers, learns_providers, offer_of
from darkroom.providers import ImageProvider
from darkroom.records import Records
from darkroom.records.sqlite import SCHEMA_VERSION as SQLITE_SCHEMA_VERSION
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings, check_together, make_home, read_settings
from darkroom.storage import Storage
from darkroom.storage.files import FileStorage
from darkroom.webhooks.egress_policy import EgressPolicy, Resolver, SystemResolver

RECORDS_FILE = "records.db"
UNSTAGED_FOLDER = "unstaged"


REPORTED = (
    "gemini_model",
    "runware_model",
    "stage_concurrency",
    "max_top_ups",
    "top_up_delay",
    "stalled_after",
    "image_credit_price",
)
"""Settings that a worker tells of itself: what differs between workers shows there. None is a secret."""


@dataclass(frozen=True)
class Parts:
    """The adapters of this process, chosen by the settings."""

    settings: Settings
    records: Records
    storage: Storage
    beside: Storage
    """This machine's own: for paid pictures while the storage does not take them."""
    providers: Mapping[str, ImageProvider]
    pictures: PictureWork
    intake: Intake
    """What workers check orders by: the providers that they have themselves."""
    ordering: Intake
    """What orders that are placed here are checked by."""
    uploads: Uploads
    egress_policy: EgressPolicy

    def offer(self) -> ProviderOffer:
        """What a worker over these parts can call."""
        return offer_of(self.providers, self.settings)

    def client(self, temporal: TemporalClient | None, workers: WorkerWatch | None = None) -> Client:
        """A client over these parts; without Temporal it only checks and reads."""
        if workers is None and temporal is None:
            workers = self.worker_watch()
        return Client(
            self.records,
            self.storage,
            self.ordering,
            self.uploads,
            temporal,
            local_user=self.settings.local_user,
            pick_up=self.settings.pick_up,
            stalled_after=timedelta(seconds=self.settings.stalled_after),
            workers=workers,
        )

    def deleting(self) -> Deleting:
        """What deletes jobs and their files."""
        return Deleting(self.records, self.storage)

    def report(self) -> WorkerReport:
        """What a worker over these parts has; which queue and process it is, the activity says."""
        settings = self.settings
        try:
            free = free_bytes(settings.darkroom_home)
        except OSError:
            free = None
        return WorkerReport(
            task_queue="",
            identity="",
            version=__version__,
            providers=tuple(self.providers),
            keeps=self.describe(),
            schema_version=_schema_version(settings),
            settings={name.upper(): str(getattr(settings, name)) for name in REPORTED}
            | {"DARKROOM_HOME": str(settings.darkroom_home.absolute())}
            | {"PROVIDER_CONCURRENCY": str(settings.provider_slots)},
            free_bytes=free,
            full_disk=lack_of_room(settings.darkroom_home),
        )

    def full_disk(self) -> str | None:
        """That the disk of this deployment's folder is full, in one sentence; on Supabase it keeps no records."""
        return None if self.settings.on_supabase else lack_of_room(self.settings.darkroom_home)

    def worker_watch(self, link: TemporalLink | None = None) -> WorkerWatch:
        """What is known of the workers, through a link to Temporal or without a server."""

        async def nobody() -> TemporalClient:
            raise ServerNotReachable("no Temporal server")

        def server_is_ours() -> bool:
            return configured_server() is None

        return WorkerWatch(nobody if link is None else link.client, server_is_ours=server_is_ours)

    def describe(self) -> str:
        """Which parts are used, for the first line of every command that does work."""
        home, project = self.settings.darkroom_home, self.settings.supabase_url
        place = f"Supabase at {project}" if project else home
        return f"provider {', then '.join(self.settings.providers)}, records and pictures in {place}"


@asynccontextmanager
async def open_parts(settings: Settings, **replaced: Any) -> AsyncIterator[Parts]:
    """The parts, closed at the end.

    `replaced` swaps a part (`records`, `storage`, `providers`, `resolver`) for another; `children`, the processes for
    pictures, may serve several and stay open.
    """
    async with AsyncExitStack() as stack:
        kept = await _keepers(settings)
        records: Records = replaced.get("records") or kept.records
        stack.push_async_callback(records.close)
        storage: Storage = replaced.get("storage") or kept.storage
        stack.push_async_callback(storage.close)
        providers: Mapping[str, ImageProvider] = replaced.get("providers") or configured_providers(settings)
        for provider in providers.values():
            stack.push_async_callback(provider.close)
        resolver: Resolver = replaced.get("resolver") or stack.enter_context(closing(SystemResolver()))
        egress_policy = EgressPolicy(resolver, settings.webhook_allowed_networks)
        children: Children | None = replaced.get("children")
        if children is None:
            children = Children()
            stack.push_async_callback(children.close)
        pictures = PictureWork(settings.webp_quality, settings.webp_method, children, marks=settings.ai_mark)
        stack.push_async_callback((uploaded := UploadedPictures()).close)
        capabilities = {name: provider.capabilities for name, provider in providers.items()}
        intake = partial(
            Intake,
            records,
            capabilities,
            settings.providers,
            settings.limits,
            egress_policy,
            image_format=settings.image_format,
        )
        yield Parts(
            settings=settings,
            records=records,
            storage=storage,
            beside=FileStorage(settings.darkroom_home / UNSTAGED_FOLDER),
            providers=providers,
            pictures=pictures,
            intake=intake(),
            ordering=intake(offers=records if learns_providers(settings) else None),
            uploads=Uploads(records, storage, uploaded),
            egress_policy=egress_policy,
        )


@asynccontextmanager
async def connect(settings: Settings | None = None) -> AsyncIterator[Client]:
    """A client of the records, the storage and the Temporal server that the settings name, closed at the end.

    It belongs to the event loop that opened it.

    Args:
        settings: else those of the environment and `.env`. Which Temporal server is used, the environment says.

    Raises:
        SettingRejected: a value is wrong, or one is missing that another one needs.
        ServerNotReachable: no Temporal server answers.
    """
    settings = settings or read_settings()
    check_together(settings)
    temporal = await connection.connect(settings)
    await connection.ensure_search_attributes(temporal)
    async with open_parts(settings) as parts:
        yield parts.client(temporal)


@dataclass(frozen=True)
class _Keepers:
    records: Records
    storage: Storage


async def _keepers(settings: Settings) -> _Keepers:
    if settings.supabase_url is None or settings.supabase_service_role_key is None:
        home = settings.darkroom_home
        return _Keepers(SqliteRecords(home / RECORDS_FILE, settings.cancelled_status), FileStorage(home / "files"))
    # The SDK costs half a second; processes that keep everything in a folder do not import it.
    from darkroom.records.supabase import SupabaseRecords  # noqa: PLC0415
    from darkroom.storage.supabase import SupabaseStorage  # noqa: PLC0415
    from darkroom.supabase import open_supabase  # noqa: PLC0415

    supabase = await open_supabase(settings.supabase_url, settings.supabase_service_role_key.get_secret_value())
    records = SupabaseRecords(supabase, settings.cancelled_status)
    return _Keepers(records, SupabaseStorage(supabase, settings.supabase_bucket))


def _schema_version(settings: Settings) -> str:
    if settings.on_supabase:
        from darkroom.records.supabase import SCHEMA_VERSION  # noqa: PLC0415 - as above

        return SCHEMA_VERSION
    return str(SQLITE_SCHEMA_VERSION)


async def examine_workers(settings: Settings) -> list[Finding]:
    """What `doctor --live` says: Temporal, and what running workers have; nothing of this process's environment."""
    return [*await check_temporal(settings), *await ask_workers(settings)]


async def examine(settings: Settings) -> list[Finding]:
    """What `doctor` says: Temporal, the records and pictures, the configured providers."""
    found = await check_temporal(settings)
    async with open_parts(settings) as parts:
        if settings.supabase_url is None or settings.supabase_service_role_key is None:
            with without_new_folders(settings.darkroom_home):
                make_home(settings)
                found.append(await check_writable(parts.storage, "folder", str(settings.darkroom_home)))
        else:
            found += await _examine_supabase(settings.supabase_url, settings.supabase_service_role_key, settings)
        found.append(check_disk(settings.darkroom_home))
        lately = await providers_of_late(parts.records) if has_records(settings) else {}
        for name, provider in parts.providers.items():
            found.append(lately.get(name) or await check_provider(name, provider))
        found += [finding for name, finding in lately.items() if name not in parts.providers]
    return found


async def _examine_supabase(url: str, secret: SecretStr, settings: Settings) -> list[Finding]:
    from darkroom.records.supabase import check_project  # noqa: PLC0415 - as above
    from darkroom.storage.supabase import SupabaseStorage  # noqa: PLC0415
    from darkroom.supabase import open_supabase  # noqa: PLC0415

    supabase = await open_supabase(url, secret.get_secret_value())
    try:
        findings = await check_project(supabase, secret.get_secret_value())
        if any(finding.state is State.WRONG for finding in findings[:2]):
            return [*findings, Finding.unknown("bucket", "Supabase does not answer, or rejects the key")]
        storage = SupabaseStorage(supabase, settings.supabase_bucket)
        place = f"bucket {settings.supabase_bucket}"
        written = await check_writable(storage, "bucket", place)
        if written.state is State.GOOD and await storage.ensure_bucket():
            written = Finding.wrong("bucket", f"{place} is public", "make it private: Darkroom uses signed URLs")
        return [*findings, written]
    finally:
        await supabase.close()


def has_records(settings: Settings) -> bool:
    """Whether there is anything to read; opening records that are not there would create them."""
    return settings.on_supabase or (settings.darkroom_home / RECORDS_FILE).is_file()


def imagined_parts(settings: Settings) -> AbstractAsyncContextManager[Parts]:
    """Parts whose records are empty and gone at the end: for looking without creating anything."""
    return open_parts(settings, records=SqliteRecords(":memory:"))
