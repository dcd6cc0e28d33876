"""HTTP/1.1 of the local Storage server: requests in, answers out, the file of an upload."""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.supabase.storage_objects import invalid

READ_AHEAD = 1 << 20
"""Bytes that a connection reads before the server wants them."""


@dataclass(frozen=True)
class Request:
    """One call; the prefix `/storage/v1` is gone from its path."""

    method: str
    path: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def json(self) -> dict[str, Any]:
        """The body; no body is an empty one.

        Raises:
            Refused: it is not an object in JSON.
        """
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise invalid("Body is not valid JSON")
        return value


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    media_type: str = "application/json; charset=utf-8"


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status)


async def receive(reader: asyncio.StreamReader) -> Request:
    """The next request of a connection.

    Raises:
        asyncio.IncompleteReadError: the client hung up.
    """
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    path = tuple(unquote(part) for part in parts.path.removeprefix("/storage/v1").lstrip("/").split("/"))
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Request(method, path, query, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return bytes(body)


async def reply(writer: asyncio.StreamWriter, answer: Answer, *, with_body: bool = True) -> None:
    phrase = HTTPStatus(answer.status).phrase
    head = (
        f"HTTP/1.1 {answer.status} {phrase}\r\n"
        f"Content-Type: {answer.media_type}\r\nContent-Length: {len(answer.body)}\r\n\r\n"
    )
    writer.write(head.encode() + (answer.body if with_body else b""))
    await writer.drain()


def uploaded(request: Request) -> tuple[bytes, str]:
    """The bytes and the media type of an upload: the file of a form, or the body as it is.

    Raises:
        Refused: a form without a file.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind != "multipart/form-data":
        return request.body, f"{kind};{parameters}" if parameters else kind
    delimiter = b"--" + parameters.partition("boundary=")[2].strip('"').encode()
    body, start = request.body, 0
    while (head := body.find(b"\r\n\r\n", start)) >= 0:
        end = body.find(b"\r\n" + delimiter, head)
        fields = body[start:head].decode("latin-1").lower()
        if "filename=" in fields:
            media_type = fields.partition("content-type:")[2].partition("\r\n")[0].strip()
            return body[head + 4 : end], media_type
        start = end + 2
    raise invalid("No content provided")
