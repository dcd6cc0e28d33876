"""Pictures in a bucket of S3 or Google Cloud Storage, through fsspec. An object is written once, or not at all."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from darkroom.domain.errors import ExportRejected
from darkroom.domain.file_names import MANIFEST_JSON
from darkroom.exports.targets import ensure_ours
from darkroom.pictures import digest

T = TypeVar("T")

FIELD = "--to"
SHA256 = "sha256"
"""The metadata by which an object is known again without reading it."""

_PROTOCOLS = {"s3": "s3", "gs": "gs", "gcs": "gs"}
"""By the scheme of an address: the extra that it needs."""


class Bucket:
    """A prefix of a bucket. Credentials are found where the tools of its provider look for them."""

    def __init__(self, url: str, files: Any, root: str, failures: tuple[type[Exception], ...]) -> None:
        self._url = url
        self._files = files
        self._root = root
        self._failures = failures
        self._sizes: dict[str, int] = {}

    @classmethod
    def at(cls, url: str) -> "Bucket":
        """The place that an address names; nothing is asked of the network yet.

        Raises:
            ExportRejected: it is no such address, or the packages for it are not installed.
        """
        scheme, separator, path = url.partition("://")
        extra = _PROTOCOLS.get(scheme)
        if extra is None or not separator or not path.strip("/"):
            raise ExportRejected(FIELD, f"{url!r} is not s3://bucket/prefix or gs://bucket/prefix")
        if any(step in (".", "..") for step in path.split("/")):
            raise ExportRejected(FIELD, f"{url!r} leads out of its prefix")
        try:
            files, failures = _opened(extra)
        except ImportError:
            raise ExportRejected(FIELD, f"needs more packages: pip install 'darkroom[{extra}]'") from None
        return cls(url.rstrip("/"), files, path.strip("/"), failures)

    async def open(self, job_id: UUID) -> None:
        found = await self._ask("listing", self._files.find, self._root, detail=True)
        self._sizes = {path: int(info["size"]) for path, info in found.items()}
        manifest = self._key(MANIFEST_JSON)
        if manifest in self._sizes:
            ensure_ours(await self._ask("reading", self._files.cat_file, manifest), job_id, FIELD, self._url)

    async def holds(self, name: str, size: int, sha256: str) -> bool:
        key = self._key(name)
        if key not in self._sizes:
            return False
        if self._sizes[key] != size or await self._ask("reading", self._digest, key) != sha256:
            raise self._another(name)
        return True

    async def write(self, name: str, data: bytes, sha256: str) -> None:
        key = self._key(name)
        try:
            await self._ask("writing", self._create, key, data, sha256)
        except FileExistsError:  # written by somebody else meanwhile
            if await self._ask("reading", self._digest, key) != sha256:
                raise self._another(name) from None

    async def replace(self, name: str, data: bytes) -> None:
        await self._ask("writing", self._files.pipe_file, self._key(name), data)

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _another(self, name: str) -> ExportRejected:
        place = f"{self._url}/{name}"
        return ExportRejected(FIELD, f"{place} already exists and is a different picture; give another prefix")

    def _digest(self, key: str) -> str:
        metadata = self._files.info(key).get("metadata") if self._extra == "gs" else self._files.metadata(key)
        return str((metadata or {}).get(SHA256) or digest(self._files.cat_file(key)))

    def _create(self, key: str, data: bytes, sha256: str) -> None:
        field = "metadata" if self._extra == "gs" else "Metadata"
        self._files.pipe_file(key, data, mode="create", **{field: {SHA256: sha256}})

    @property
    def _extra(self) -> str:
        return _PROTOCOLS[self._url.partition("://")[0]]

    async def _ask(self, what: str, call: Callable[..., T], *args: object, **options: object) -> T:
        try:
            return await asyncio.to_thread(call, *args, **options)
        except FileExistsError:
            raise
        except FileNotFoundError:
            raise ExportRejected(FIELD, f"{self._url}: there is no such bucket, or it cannot be seen") from None
        except self._failures as error:
            if _is_of_permission(error):
                reason = f"{what} is not permitted: {_line(error)}; check the credentials and the bucket's permissions"
            else:
                reason = f"{what} failed: {_line(error)}; what was written stays, and the same command goes on"
            raise ExportRejected(FIELD, f"{self._url}: {reason}") from None


def _is_of_permission(error: Exception) -> bool:
    """Whether credentials or rights are missing: gcsfs raises an `OSError` without a number for a 403."""
    return (
        isinstance(error, PermissionError)
        or getattr(error, "code", None) in (401, 403)
        or str(error).startswith("Forbidden")
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _opened(extra: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """The file system, and what its calls raise beside `OSError`."""
    if extra == "s3":
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - an extra
        from s3fs import S3FileSystem  # noqa: PLC0415

        return S3FileSystem(use_listings_cache=False, skip_instance_cache=True), (OSError, BotoCoreError, ClientError)
    from aiohttp import ClientError as HttpClientError  # noqa: PLC0415
    from gcsfs import GCSFileSystem  # noqa: PLC0415
    from gcsfs.retry import HttpError  # noqa: PLC0415
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    files = GCSFileSystem(use_listings_cache=False, skip_instance_cache=True)
    return files, (OSError, HttpClientError, HttpError, GoogleAuthError)
