"""What the local Storage server keeps and refuses: buckets, objects, the real server's limits and error bodies."""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

SERVER_LIMIT = 52_428_800
"""Bytes of one object where the bucket sets no limit of its own; the real server's default."""

_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$@=;:+,?-]+")
_BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$@=;:+,?-]{1,63}")


def _now() -> str:
    return datetime.now(UTC).isoformat()


class Refused(Exception):
    """An answer that is an error, with the fields of the body on the wire."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.body = {"statusCode": str(status), "error": error, "message": message}


def no_object() -> Refused:
    return Refused(404, "not_found", "Object not found")


def no_bucket() -> Refused:
    return Refused(404, "Bucket not found", "Bucket not found")


def duplicate() -> Refused:
    return Refused(409, "Duplicate", "The resource already exists")


def unauthorized(message: str) -> Refused:
    return Refused(403, "Unauthorized", message)


def invalid(message: str) -> Refused:
    """What the check of a request's shape answers."""
    return Refused(400, "Error", message)


@dataclass(frozen=True)
class Bucket:
    """A bucket as `GET /bucket/{id}` shows it."""

    id: str
    name: str
    public: bool = False
    file_size_limit: int | None = None
    allowed_mime_types: list[str] | None = None
    owner: str = ""
    created_at: str = field(default_factory=_now)
    updated_at: str = field(default_factory=_now)

    def accepts(self, data: bytes, media_type: str) -> None:
        """Raise when the bytes are too many or of a kind that the bucket does not take."""
        kind = media_type.partition(";")[0].strip().lower()
        allowed = self.allowed_mime_types
        if allowed and not {kind, f"{kind.partition('/')[0]}/*", "*/*"} & {name.lower() for name in allowed}:
            raise Refused(415, "invalid_mime_type", f"mime type {media_type} is not supported")
        if len(data) > min(self.file_size_limit or SERVER_LIMIT, SERVER_LIMIT):
            raise Refused(413, "Payload too large", "The object exceeded the maximum allowed size")


@dataclass(frozen=True)
class StoredObject:
    """An object without its bytes."""

    bucket: str
    key: str
    media_type: str
    size: int
    id: str
    created_at: str
    updated_at: str

    def listed(self, name: str) -> dict[str, object]:
        """The object as `list` and `remove` show it."""
        metadata = {"eTag": f'"{self.id}"', "size": self.size, "mimetype": self.media_type, "contentLength": self.size}
        dates = {"updated_at": self.updated_at, "created_at": self.created_at, "last_accessed_at": self.created_at}
        return {"name": name, "id": self.id, "bucket_id": self.bucket, **dates, "metadata": metadata}


class Objects:
    """Buckets and objects in a folder: each object one file, a line of JSON before its bytes.

    One at a time: the server calls it from one loop, so that every change is whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._buckets_file = folder / "buckets.json"
        self.buckets: dict[str, Bucket] = {}
        if self._buckets_file.exists():
            self.buckets = {each["id"]: Bucket(**each) for each in json.loads(self._buckets_file.read_text())}
        self._objects: dict[tuple[str, str], StoredObject] = {}
        for path in folder.glob("*.object"):
            with path.open("rb") as file:
                stored = StoredObject(**json.loads(file.readline()))
            self._objects[stored.bucket, stored.key] = stored

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise no_bucket()
        return self.buckets[name]

    def create_bucket(self, bucket: Bucket) -> None:
        if not _BUCKET.fullmatch(bucket.id):
            raise Refused(400, "Invalid Input", "Bucket name invalid")
        if bucket.id in self.buckets:
            raise duplicate()
        self._keep(bucket)

    def update_bucket(self, name: str, **changes: object) -> None:
        self._keep(replace(self.bucket(name), updated_at=_now(), **changes))  # type: ignore[arg-type] # from JSON

    def put(self, name: str, key: str, data: bytes, media_type: str, *, upsert: bool) -> StoredObject:
        """Store the bytes whole; over what is there only with `upsert`."""
        bucket = self.bucket(name)
        _check(key)
        bucket.accepts(data, media_type)
        before = self._objects.get((name, key))
        if before and not upsert:
            raise duplicate()
        now = _now()
        created = before.created_at if before else now
        stored = StoredObject(name, key, media_type, len(data), str(uuid.uuid4()), created, now)
        self._write(stored, data)
        return stored

    def find(self, name: str, key: str) -> StoredObject:
        """The object; a missing bucket is a missing object here, as on the real server."""
        found = self._objects.get((name, key))
        if found is None:
            raise no_object()
        return found

    def read(self, stored: StoredObject) -> bytes:
        with self._path(stored.bucket, stored.key).open("rb") as file:
            file.readline()
            return file.read()

    def remove(self, name: str, keys: list[str]) -> list[StoredObject]:
        """Remove what lies under these keys, taken literally; what was there."""
        removed = [self._objects.pop((name, key)) for key in dict.fromkeys(keys) if (name, key) in self._objects]
        for stored in removed:
            self._path(stored.bucket, stored.key).unlink()
        return removed

    def copy(self, name: str, source: str, target: str, target_bucket: str | None = None) -> StoredObject:
        stored = self.find(name, source)
        _check(target)
        return self.put(target_bucket or name, target, self.read(stored), stored.media_type, upsert=False)

    def list(self, name: str, prefix: str, search: str, *, descending: bool) -> Iterator[dict[str, object]]:
        """One level of a folder: its folders (`id` is None), then its objects, each by name."""
        prefix = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
        folders: set[str] = set()
        objects: dict[str, StoredObject] = {}
        for (bucket, key), stored in self._objects.items():
            if bucket == name and key.startswith(prefix):
                first, below, _ = key.removeprefix(prefix).partition("/")
                if first.lower().startswith(search.lower()):
                    if below:
                        folders.add(first)
                    else:
                        objects[first] = stored
        nothing = dict.fromkeys(("id", "updated_at", "created_at", "last_accessed_at", "metadata"))
        yield from ({"name": folder, **nothing} for folder in sorted(folders, reverse=descending))
        yield from (objects[each].listed(each) for each in sorted(objects, reverse=descending))

    def _keep(self, bucket: Bucket) -> None:
        self.buckets[bucket.id] = bucket
        self._buckets_file.write_text(json.dumps([asdict(each) for each in self.buckets.values()]))

    def _write(self, stored: StoredObject, data: bytes) -> None:
        path = self._path(stored.bucket, stored.key)
        partly = path.with_suffix(".part")
        with partly.open("wb") as file:
            file.write(json.dumps(asdict(stored)).encode() + b"\n")
            file.write(data)
        partly.replace(path)
        self._objects[stored.bucket, stored.key] = stored

    def _path(self, bucket: str, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(f'{bucket}/{key}'.encode()).hexdigest()}.object"


def _check(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise Refused(400, "InvalidKey", f"Invalid key: {key}")
