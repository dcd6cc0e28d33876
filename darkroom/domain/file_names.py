"""What pictures are called where users take them home: a template, and names that every system can keep."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Protocol

from darkroom.domain.errors import ExportRejected
from darkroom.domain.model import Value

DEFAULT_TEMPLATE = "{label}_{n:03}"
"""`red-chair_003.webp`; the extension is that of the picture."""

MANIFEST_JSON, MANIFEST_CSV, MISSING = "manifest.json", "manifest.csv", "missing.txt"
"""What lies beside the pictures."""

LONGEST_TEMPLATE = 200
LONGEST_PART = 80
"""Bytes of a label or a job's name within a file name."""
LONGEST_NAME = 200
"""Bytes of a file's or a folder's name; file systems take 255, and a part that is being written is a little longer."""

_PLACEHOLDERS = ("job", "stage", "label", "n")
_WIDTH = re.compile(r"0?[1-9]?")
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)


class Numbered(Protocol):
    """A picture, as far as its name depends on it."""

    @property
    def stage_index(self) -> int: ...

    @property
    def ordinal(self) -> int: ...

    @property
    def path(self) -> str: ...


class NameTemplate(Value):
    """A file name with placeholders: literal text, each with the placeholder that follows it and its width."""

    parts: tuple[tuple[str, str | None, str], ...]

    @classmethod
    def read(cls, text: str) -> "NameTemplate":
        """A template as users write it.

        Raises:
            ExportRejected: an unknown placeholder, or a name that would leave the folder or that a system cannot keep.
        """
        if len(text) > LONGEST_TEMPLATE:
            raise ExportRejected("name", f"has more than {LONGEST_TEMPLATE} characters")
        try:
            parts = tuple((literal, name, spec or "") for literal, name, spec, _ in Formatter().parse(text))
        except ValueError as error:
            raise ExportRejected("name", f"{error}; write a brace as {{{{ or }}}}") from None
        template = cls(parts=parts)
        for literal, name, spec in parts:
            _check_literal(literal)
            if name is not None:
                _check_placeholder(name, spec)
        if not template.has("n"):
            raise ExportRejected("name", "must contain {n}, the picture's number")
        if text.startswith("/"):
            raise ExportRejected("name", "must not begin with '/': names are relative to the folder")
        template.render({"job": "job", "stage": "0", "label": "label"}, 1)
        return template

    def has(self, placeholder: str) -> bool:
        """Whether it names this."""
        return any(name == placeholder for _, name, _ in self.parts)

    def render(self, values: Mapping[str, str], number: int) -> str:
        """The name, without an extension; folders are separated by `/`.

        Raises:
            ExportRejected: it leads outside the folder, or is too long.
        """
        name = "".join(
            literal + ("" if name is None else format(number, f"{spec}d") if name == "n" else values[name])
            for literal, name, spec in self.parts
        )
        return "/".join(_safe_component(component) for component in name.split("/"))


def file_names(
    template: NameTemplate,
    job: str,
    labels: Mapping[int, str],
    pictures: Sequence[Numbered],
    *,
    ended: bool,
) -> list[str]:
    """The name of each picture of a job, all of which are given, by stage and ordinal. No two differ in case alone.

    In an ended job the numbers have no gaps: pictures are counted by label, or by the rest of the name where the
    template has no label. In a job that is not ended the number is the ordinal's, so that names do not change while
    pictures arrive; stages of one label then say which stage they are.
    """
    readable = {index: readable_part(label) or f"stage-{index + 1}" for index, label in labels.items()}
    if not ended and not template.has("stage"):
        shared = Counter(_key(label) for label in readable.values())
        readable = {index: f"{one}-{index + 1}" if shared[_key(one)] > 1 else one for index, one in readable.items()}
    counts: Counter[str] = Counter()
    taken = {MANIFEST_JSON, MANIFEST_CSV, MISSING}
    names: list[str] = []
    for picture in pictures:
        index = picture.stage_index
        values = {
            "job": readable_part(job) or "job",
            "stage": str(index),
            "label": readable.get(index, f"stage-{index + 1}"),
        }
        counted = _key(values["label"] if template.has("label") else template.render(values, 0))
        counts[counted] += 1
        name = template.render(values, counts[counted] if ended else picture.ordinal + 1)
        suffix = _suffix(picture.path)
        name = name.removesuffix(suffix)
        whole, again = name + suffix, 0
        while _key(whole) in taken:
            again += 1
            whole = f"{name}-{again}{suffix}"
        taken.add(_key(whole))
        names.append(whole)
    return names


def readable_part(text: str) -> str:
    """A label as a part of a file name: letters, digits and hyphens, in any script."""
    kept = "".join(sign if _is_word(sign) else "-" for sign in unicodedata.normalize("NFC", text))
    kept = re.sub(r"-{2,}", "-", kept).strip("-._")
    return kept.encode()[:LONGEST_PART].decode(errors="ignore").rstrip("-._")


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign in "._-" or unicodedata.category(sign).startswith("M")


def _key(name: str) -> str:
    """The same for names that some system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def _suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    _, dot, suffix = name.rpartition(".")
    return f".{suffix}" if dot and suffix.isalnum() and suffix.isascii() else ""


def _check_literal(literal: str) -> None:
    forbidden = _FORBIDDEN.search(literal)
    if forbidden:
        raise ExportRejected("name", f"contains {forbidden[0]!r}, which some systems cannot keep in a file name")
    if not literal.isprintable():
        raise ExportRejected("name", "contains a character that cannot be seen")


def _check_placeholder(name: str, spec: str) -> None:
    if name not in _PLACEHOLDERS:
        known = ", ".join(f"{{{one}}}" for one in _PLACEHOLDERS)
        raise ExportRejected("name", f"unknown placeholder {{{name}}}; known are {known} and, for a width, {{n:03}}")
    if spec and (name != "n" or not _WIDTH.fullmatch(spec)):
        raise ExportRejected("name", f"{{{name}:{spec}}} has a format that is not known; only {{n:03}} has one")


def _safe_component(component: str) -> str:
    if component.strip() in (".", ".."):
        raise ExportRejected("name", f"leads outside the folder: {component.strip()!r} is not allowed in it")
    name = component.strip().rstrip(". ")
    if not name:
        raise ExportRejected("name", "has an empty folder or file name")
    if len(name.encode()) > LONGEST_NAME:
        raise ExportRejected("name", f"makes a name of more than {LONGEST_NAME} bytes: {name[:40]!r} …")
    return f"_{name}" if _RESERVED.fullmatch(name) else name
