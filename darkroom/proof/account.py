"""What the provider says that it was asked, and which of it lies on disk: independent of the records."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from darkroom.proof.marks import Mark, read

FILES, UNSTAGED = "files", "unstaged"
CALLS_FILE = "calls.jsonl"
DRAWN = (None, "twice", "slow")
"""The faults, none among them, of which a picture comes all the same."""


@dataclass
class Call:
    """One request for a picture."""

    number: int
    worker: str
    """Which start of which worker made it."""
    mark: str
    """Of its prompt."""
    fault: str | None
    began: float
    ended: str | None = None
    """`sent` in full, the client was `gone`, or nothing yet."""
    ended_at: float | None = None

    @property
    def good(self) -> bool:
        """Whether a picture was drawn and came in time, if the client waited for it."""
        return self.fault in DRAWN


@dataclass
class Account:
    """All calls of a run, by number."""

    calls: dict[int, Call] = field(default_factory=dict)

    @property
    def good(self) -> set[int]:
        return {call.number for call in self.calls.values() if call.good}

    @property
    def faults(self) -> int:
        """Calls that the provider itself left without a picture."""
        return len(self.calls) - len(self.good)


def read_account(folder: Path) -> Account:
    """The account as it stands."""
    account = Account()
    for line in (folder / CALLS_FILE).read_text("utf-8").splitlines():
        noted = json.loads(line)
        number = noted["number"]
        if "ended" in noted:
            account.calls[number].ended, account.calls[number].ended_at = noted["ended"], noted["at"]
        else:
            account.calls[number] = Call(number, noted["worker"], noted["mark"], noted["fault"], noted["at"])
    return account


def pictures_in(folder: Path) -> dict[Path, Mark | None]:
    """Every picture below a folder and what it says; temporary files and what vanishes meanwhile are left out."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            found[path] = read(path.read_bytes())
        except FileNotFoundError:
            continue
    return found


def saved_calls(home: Path) -> set[int]:
    """Calls whose picture is on disk, wherever: in the order in which pictures move, so that none is missed."""
    places = (home / UNSTAGED, home / FILES / "staging", home / FILES / "generated-images")
    return {mark.call for place in places for mark in pictures_in(place).values() if mark is not None}
