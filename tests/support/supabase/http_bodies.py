"""How far the bodies of requests and answers go over HTTP/1.1."""

from typing import Protocol


class Body(Protocol):
    """How far the body of a request goes."""

    finished: bool

    def take(self, received: bytearray) -> int:
        """How many of these bytes belong to it; to be asked once for each byte."""
        ...


class SizedBody:
    """A body whose length was said; none has length 0."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.finished = length == 0

    def take(self, received: bytearray) -> int:
        taken = min(self._left, len(received))
        self._left -= taken
        self.finished = self._left == 0
        return taken


class ChunkedBody:
    """A body in chunks, each with its length in front, the last one empty."""

    def __init__(self) -> None:
        self._left = 0
        self._in_trailer = False
        self.finished = False

    def take(self, received: bytearray) -> int:
        position = 0
        while not self.finished and position < len(received):
            if self._left:
                step = min(self._left, len(received) - position)
                self._left -= step
                position += step
                continue
            end = received.find(b"\r\n", position)
            if end < 0:
                break
            self._line(bytes(received[position:end]))
            position = end + 2
        return position

    def _line(self, line: bytes) -> None:
        if self._in_trailer:
            self.finished = not line
        elif size := int(line.split(b";")[0], 16):
            self._left = size + 2
        else:
            self._in_trailer = True


class UnsizedBody:
    """A body that ends with its connection."""

    finished = False

    def take(self, received: bytearray) -> int:
        return len(received)


def body_of(headers: bytes) -> Body:
    """What the headers say about the body."""
    lower = headers.lower()
    if b"\r\ntransfer-encoding: chunked" in b"\r\n" + lower:
        return ChunkedBody()
    _, named, value = (b"\r\n" + lower).partition(b"\r\ncontent-length:")
    return SizedBody(int(value.split(b"\r\n", 1)[0]) if named else 0)


def answer_body(method: str, head: bytes) -> Body | None:
    """What the head of an answer says about its body; None if this is not the answer yet, as 100 Continue."""
    line, _, headers = head.partition(b"\r\n")
    status = int(line.split(b" ")[1])
    if status < 200:
        return None
    if method == "HEAD" or status in (204, 304):
        return SizedBody(0)
    lower = headers.lower()
    if b"content-length:" not in lower and b"transfer-encoding: chunked" not in lower:
        return UnsizedBody()
    return body_of(headers)
