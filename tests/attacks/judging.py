"""Says whether a try got in, by rules that know nothing of the code under attack.

In is whoever reads what is somebody else's (their mark, a picture in their colour, a file of the machine), changes what
is somebody else's (any row or file), or has more money than before. A kind of try may have one rule more.
"""

import io
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from PIL import Image, UnidentifiedImageError

from tests.attacks.wire import Answer, Ask
from tests.attacks.world import MAGENTA, MARK, OUTSIDE, World

_DIFFERS_ANYWAY = re.compile(
    r'"request_id": ?"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|\d+|[a-z-]+\.(?:invalid|localhost)|localhost'
)
"""What two requests are about, and the id of each."""


class Who(StrEnum):
    """Who makes a try."""

    STRANGER = "stranger"
    """May change nothing at all."""
    TENANT = "tenant"
    """May change what is theirs."""


class Where(StrEnum):
    """Which door it comes to."""

    API = "API"
    LOCAL = "API without sign-in"


Rule = Callable[[Answer], bool]


@dataclass(frozen=True)
class Try:
    """One try."""

    kind: str
    name: str
    ask: Ask
    who: Who = Who.STRANGER
    where: Where = Where.API
    also_in: Rule | None = None
    """What else is in."""
    twin: Ask | None = None
    """The same about what does not exist; in is whoever hears something else."""
    patience: float = 2.0


def accepted(answer: Answer) -> bool:
    """The server did what was asked."""
    return 200 <= answer.status < 300


class Judge:
    """Compares what there is with what there was."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._opening = world.balance(world.attacker)
        self._known = {who: self._state(who) for who in Who}

    def sentence(self, made: Try, answer: Answer) -> str | None:
        """Why a try is in; None when it is not."""
        read = leaked(answer)
        changed = self._changed(made.who)
        if read is not None:
            return read
        if changed is not None:
            return changed
        if self._world.balance(self._world.attacker) > self._opening:
            return "has more credits than before"
        if made.also_in is not None and made.also_in(answer):
            return f"answered {answer.status}: {answer.text[:120]!r}"
        return None

    def look_again(self) -> None:
        """Take what there is now for what there was: a tenant has done what they may."""
        self._known = {who: self._state(who) for who in Who}

    def _changed(self, who: Who) -> str | None:
        now, before = self._state(who), self._known[who]
        if now == before:
            return None
        self.look_again()
        return f"changed {', '.join(name for name in now if now[name] != before.get(name))}"

    def _state(self, who: Who) -> dict[str, object]:
        world, attacker = self._world, self._world.attacker
        without = attacker.user_id if who is Who.TENANT else None
        state: dict[str, object] = dict(world.rows(without=without))
        state |= {f"{name} of the local API": rows for name, rows in world.rows_of_the_local_api().items()}
        state["files"] = world.files(without=without)
        return state


def told_apart(answer: Answer, of_nobody: Answer) -> str | None:
    """What an answer about somebody else's tells from one about nobody's; None for nothing."""
    here, there = ((one.status, _DIFFERS_ANYWAY.sub("…", one.text)) for one in (answer, of_nobody))
    return None if here == there else f"tells {here[1][-200:]!r} from {there[1][-200:]!r}"


def leaked(answer: Answer) -> str | None:
    """What an answer tells of somebody else; None for nothing."""
    for mark, what in ((MARK, "the victim's text"), (OUTSIDE, "a file of the machine")):
        if mark.encode() in answer.data or mark in unquote(answer.data.decode("latin-1")):
            return f"reads {what}"
    if b"SQLite format 3" in answer.data or b"root:x:0:" in answer.data:
        return "reads a file of the machine"
    if answer.kind.startswith("image/") and _is_the_victims(answer.body):
        return "reads the victim's picture"
    if answer.kind == "application/zip":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(answer.body)) as package:
            if any(_is_the_victims(package.read(name)) for name in package.namelist()):
                return "reads the victim's pictures"
    return None


def _is_the_victims(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as image:
            seen = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    except (UnidentifiedImageError, OSError):
        return False
    assert isinstance(seen, tuple)
    return all(abs(one - other) < 30 for one, other in zip(seen, MAGENTA, strict=True))
