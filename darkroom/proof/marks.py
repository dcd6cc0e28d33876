"""Pictures that say which call drew them, and for which prompt: legible after WebP at quality 90."""

import hashlib
import io
import re
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

ACROSS = DOWN = 8
BLOCK = 32, 18
"""Pixels of a block; one block is one bit."""

MARK = re.compile(r"\[[\w./-]+\]")


class Mark(NamedTuple):
    """What a picture says of itself."""

    prompt: str
    """Eight hexadecimal digits of its mark."""
    call: int


def prompt_mark(prompt: str) -> str:
    """What is kept of a prompt: of the part in brackets, which no other prompt has."""
    found = MARK.search(prompt)
    return hashlib.sha256((found[0] if found else prompt).encode()).hexdigest()[:8]


def drawn(mark: Mark, kind: str = "PNG") -> bytes:
    """A picture of 256 × 144 pixels."""
    content = bytes.fromhex(mark.prompt) + mark.call.to_bytes(3, "big")
    bits = content + bytes([sum(content) % 256])
    image = Image.new("L", (ACROSS, DOWN))
    image.putdata([255 if bits[n // 8] >> (7 - n % 8) & 1 else 0 for n in range(ACROSS * DOWN)])
    file = io.BytesIO()
    image.resize((ACROSS * BLOCK[0], DOWN * BLOCK[1]), Image.Resampling.NEAREST).convert("RGB").save(file, kind)
    return file.getvalue()


def read(data: bytes) -> Mark | None:
    """What a picture says; None for one that is cut or none of ours."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("L").resize((ACROSS, DOWN), Image.Resampling.BOX)
    except (OSError, SyntaxError, UnidentifiedImageError):
        return None
    content = bytearray(ACROSS * DOWN // 8)
    for n, value in enumerate(small.tobytes()):
        content[n // 8] |= (value > 127) << (7 - n % 8)
    if sum(content[:-1]) % 256 != content[-1]:
        return None
    return Mark(bytes(content[:4]).hex(), int.from_bytes(content[4:7], "big"))
