"""The calls of the local Storage server: who may make them, and what each does."""

import math
import time
from collections.abc import Callable
from typing import Any

import jwt

from tests.support.supabase.storage_objects import Bucket, Objects, Refused, invalid, no_bucket, no_object, unauthorized
from tests.support.supabase.storage_wire import Answer, Request, as_json, uploaded

_OBJECT_CALLS = {
    ("POST", "sign"): "sign",
    ("GET", "sign"): "signed",
    ("POST", "list"): "list",
    ("POST", "move"): "move",
    ("POST", "copy"): "copy",
    ("GET", "info"): "info",
    ("GET", "authenticated"): "download",
    ("HEAD", "authenticated"): "info",
    ("GET", "public"): "public",
}
_OF_A_KEY = {"POST": "upload", "PUT": "update", "GET": "download", "HEAD": "info"}
_BUCKET_CALLS = {"GET": "get_bucket", "POST": "create_bucket", "PUT": "update_bucket"}

OPERATIONS = tuple(dict.fromkeys((*_OBJECT_CALLS.values(), *_OF_A_KEY.values(), *_BUCKET_CALLS.values(), "remove")))
_OPEN = ("signed", "public")
"""Calls that anybody may make."""


def operation_of(request: Request) -> str:
    """What a call is named in `Faults` and in counts; "unknown" for none of ours."""
    match request.path:
        case ("bucket", *_):
            return _BUCKET_CALLS.get(request.method, "unknown")
        case ("object", first, *_) if (request.method, first) in _OBJECT_CALLS:
            return _OBJECT_CALLS[request.method, first]
        case ("object", _) if request.method == "DELETE":
            return "remove"
        case ("object", _, _, *_):
            return _OF_A_KEY.get(request.method, "unknown")
    return "unknown"


class Routes:
    """Carries calls out, one at a time."""

    def __init__(self, objects: Objects, key: str, jwt_secret: str | None) -> None:
        self._objects = objects
        self._key = key
        self._secret = jwt_secret
        self._calls: dict[str, Callable[[Request], Answer]] = {name: getattr(self, f"_{name}") for name in OPERATIONS}

    def answer(self, operation: str, request: Request) -> Answer:
        """What the real server answers: a refusal has HTTP status 400 nearly always, and its own in the body."""
        call = self._calls.get(operation)
        if call is None:
            path = "/".join(request.path)
            message = f"Route {request.method}:/{path} not found"
            return as_json({"message": message, "error": "Not Found", "statusCode": 404}, 404)
        try:
            if operation not in _OPEN and not self._is_service(operation, request.token):
                return _to_a_stranger(operation)
            return call(request)
        except Refused as refused:
            return as_json(refused.body, 400)

    def _is_service(self, operation: str, token: str) -> bool:
        """Whether the key is the service role's. A download with a wrong key sees no bucket: it may be a public one."""
        if token == self._key:
            return True
        try:
            return self._role(token) == "service_role"
        except Refused:
            if operation == "download":
                raise no_bucket() from None
            raise

    def _role(self, token: str) -> object:
        if token.count(".") != 2:
            raise unauthorized("Invalid Compact JWS")
        try:
            return jwt.decode(token, self._secret or self._key, algorithms=["HS256"]).get("role")
        except jwt.ExpiredSignatureError:
            raise unauthorized('"exp" claim timestamp check failed') from None
        except jwt.InvalidTokenError:
            raise unauthorized("signature verification failed") from None

    def _upload(self, request: Request) -> Answer:
        data, media_type = uploaded(request)
        bucket, key = _address(request.path[1:])
        upsert = request.headers.get("x-upsert", "").lower() == "true"
        stored = self._objects.put(bucket, key, data, media_type, upsert=upsert)
        return as_json({"Id": stored.id, "Key": f"{bucket}/{key}"})

    def _update(self, request: Request) -> Answer:
        bucket, key = _address(request.path[1:])
        self._objects.find(bucket, key)
        data, media_type = uploaded(request)
        stored = self._objects.put(bucket, key, data, media_type, upsert=True)
        return as_json({"Id": stored.id, "Key": f"{bucket}/{key}"})

    def _download(self, request: Request) -> Answer:
        bucket, key = _address(_without(request.path[1:], "authenticated"))
        self._objects.bucket(bucket)
        return self._bytes(bucket, key)

    def _public(self, request: Request) -> Answer:
        bucket, key = _address(request.path[2:])
        if not self._objects.bucket(bucket).public:
            raise no_bucket()
        return self._bytes(bucket, key)

    def _bytes(self, bucket: str, key: str) -> Answer:
        stored = self._objects.find(bucket, key)
        return Answer(self._objects.read(stored), media_type=stored.media_type)

    def _info(self, request: Request) -> Answer:
        bucket, key = _address(_without(request.path[1:], "info", "authenticated"))
        stored = self._objects.find(bucket, key)
        return as_json(
            {
                "id": stored.id,
                "name": stored.key,
                "bucket_id": stored.bucket,
                "size": stored.size,
                "content_type": stored.media_type,
                "etag": f'"{stored.id}"',
                "last_modified": stored.updated_at,
                "created_at": stored.created_at,
                "metadata": {},
            }
        )

    def _remove(self, request: Request) -> Answer:
        keys = request.json().get("prefixes", [])
        if not keys:
            raise invalid("body/prefixes must NOT have fewer than 1 items")
        return as_json([stored.listed(stored.key) for stored in self._objects.remove(request.path[1], keys)])

    def _list(self, request: Request) -> Answer:
        wanted = request.json()
        limit, offset = wanted.get("limit", 100), wanted.get("offset", 0)
        if limit < 1:
            raise invalid("body/limit must be >= 1")
        descending = wanted.get("sortBy", {}).get("order") == "desc"
        prefix, search = wanted.get("prefix", ""), wanted.get("search") or ""
        found = list(self._objects.list(request.path[2], prefix, search, descending=descending))
        return as_json(found[offset : offset + limit])

    def _copy(self, request: Request) -> Answer:
        bucket, source, target, target_bucket = _moved(request.json())
        stored = self._objects.copy(bucket, source, target, target_bucket)
        return as_json({"Id": stored.id, "Key": f"{stored.bucket}/{stored.key}"})

    def _move(self, request: Request) -> Answer:
        bucket, source, target, target_bucket = _moved(request.json())
        stored = self._objects.copy(bucket, source, target, target_bucket)
        self._objects.remove(bucket, [source])
        return as_json({"message": "Successfully moved", "Id": stored.id, "Key": f"{stored.bucket}/{stored.key}"})

    def _sign(self, request: Request) -> Answer:
        seconds = int(request.json().get("expiresIn", 0))
        if seconds < 1:
            raise invalid("body/expiresIn must be >= 1")
        bucket, key = _address(request.path[2:])
        self._objects.find(bucket, key)
        now = time.time()
        claims = {"url": f"{bucket}/{key}", "iat": math.floor(now), "exp": math.floor(now) + seconds}
        token = jwt.encode(claims, self._secret or self._key, "HS256")
        return as_json({"signedURL": f"/object/sign/{bucket}/{key}?token={token}"})

    def _signed(self, request: Request) -> Answer:
        try:
            claims = jwt.decode(request.query.get("token", ""), self._secret or self._key, algorithms=["HS256"])
        except jwt.ExpiredSignatureError:
            raise Refused(400, "InvalidJWT", '"exp" claim timestamp check failed') from None
        except jwt.InvalidTokenError:
            raise Refused(400, "InvalidJWT", "signature verification failed") from None
        bucket, key = _address(request.path[2:])
        if claims.get("url") != f"{bucket}/{key}":
            raise Refused(400, "InvalidSignature", "The url do not match the signature")
        return self._bytes(bucket, key)

    def _get_bucket(self, request: Request) -> Answer:
        if len(request.path) > 1:
            return as_json(vars(self._objects.bucket(request.path[1])))
        return as_json([vars(bucket) for bucket in self._objects.buckets.values()])

    def _create_bucket(self, request: Request) -> Answer:
        wanted = request.json()
        name = str(wanted.get("id") or wanted.get("name") or "")
        self._objects.create_bucket(Bucket(name, str(wanted.get("name") or name), **_options(wanted)))
        return as_json({"name": name})

    def _update_bucket(self, request: Request) -> Answer:
        self._objects.update_bucket(request.path[1], **_options(request.json()))
        return as_json({"message": "Successfully updated"})


def _to_a_stranger(operation: str) -> Answer:
    """Row-level security without a policy: nothing can be seen, nothing written."""
    if operation in ("upload", "update", "create_bucket"):
        raise unauthorized("new row violates row-level security policy")
    if operation in ("list", "remove"):
        return as_json([])
    raise no_bucket() if operation in ("get_bucket", "update_bucket") else no_object()


def _address(path: tuple[str, ...]) -> tuple[str, str]:
    """Bucket and key of a path."""
    return path[0], "/".join(path[1:])


def _without(path: tuple[str, ...], *words: str) -> tuple[str, ...]:
    for word in words:
        path = path[1:] if path[0] == word else path
    return path


def _moved(wanted: dict[str, Any]) -> tuple[str, str, str, str | None]:
    return wanted["bucketId"], wanted["sourceKey"], wanted["destinationKey"], wanted.get("destinationBucket")


def _options(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: wanted[name] for name in ("public", "file_size_limit", "allowed_mime_types") if name in wanted}
