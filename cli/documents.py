"""Order documents and reference pictures as files: read within limits, and rejected in one line."""

import json
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from darkroom.domain.errors import OrderRejected
from darkroom.orders import opened
from darkroom.orders.json_text import DEEPEST, read_json
from darkroom.orders.references import LARGEST_UPLOAD

LARGEST_DOCUMENT = 10 * 1024 * 1024
"""Bytes: room for 1,000 prompts of 10,000 characters, or 100 of the longest in any script."""

_STAGE = re.compile(r"^(\d{1,4})=(.*)$", re.DOTALL)
_NOT_DECIMAL = re.compile(r"[-+]?0[0-9_]|.*:")
_YAML = (".yaml", ".yml")


def read_bytes(name: str) -> bytes:
    """The bytes of a file that holds an order; `-` is standard input.

    Raises:
        OrderRejected: it cannot be read, or is too large.
    """
    data = sys.stdin.buffer.read(LARGEST_DOCUMENT + 1) if name == "-" else read_file("document", name, LARGEST_DOCUMENT)
    if len(data) > LARGEST_DOCUMENT:
        raise _rejected(f"is larger than the maximum of {LARGEST_DOCUMENT:,} bytes")
    return data


def parse_document(name: str, data: bytes) -> Any:
    """What the bytes of a JSON or YAML file hold.

    Raises:
        OrderRejected: they are neither.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _rejected(f"is not UTF-8 text: invalid byte at position {error.start:,}") from None
    if not text.strip():
        raise _rejected("is empty; it must contain an order as JSON or YAML")
    return _plain(opened(_parser(name, text)(text)))


def read_file(field: str, name: str, largest: int) -> bytes:
    """The bytes of a file, never more than one above `largest` of them.

    Raises:
        OrderRejected: it is missing, no file, unreadable, or too large.
    """
    path = Path(name)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise OrderRejected(field, f"{name} is a folder, not a file")
        if found.st_size > largest:
            raise OrderRejected(field, f"{name} has {found.st_size:,} bytes, which exceeds the maximum of {largest:,}")
        with path.open("rb") as file:
            return file.read(largest + 1)
    except FileNotFoundError:
        raise OrderRejected(field, f"{name} does not exist") from None
    except (OSError, ValueError) as error:  # a name with a NUL character is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise OrderRejected(field, f"{name} cannot be read: {reason}") from None


def read_reference(given: str) -> tuple[str, bytes, int | None]:
    """The name, the bytes and the stage of `[INDEX=]FILE`.

    Raises:
        OrderRejected: the file cannot be read or is too large.
    """
    match = _STAGE.match(given)
    name = match[2] if match else given
    if not name.strip():
        raise OrderRejected("reference", f"'{given}' names no file; write [INDEX=]FILE, such as 0=photo.jpg")
    return Path(name).name, read_file("reference", name, LARGEST_UPLOAD), int(match[1]) if match else None


def _parser(name: str, text: str) -> Callable[[str], Any]:
    suffix = Path(name).suffix.lower()
    if suffix in _YAML:
        return _from_yaml
    return read_json if suffix == ".json" or text.lstrip()[0] in "{[" else _from_yaml


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]  # either will do
    """YAML as JSON would have it: dates stay the texts they were written as."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - how PyYAML is configured
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, unless a key is given twice: YAML forbids it, PyYAML keeps the last."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise OrderRejected(
                        key.value[:60] or "document", f"is given twice, the second time in line {line}; keep one"
                    )
                seen.add(key.value)
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content

    def decimal(self, node: yaml.ScalarNode) -> int | float:
        """The number as it reads: to YAML, 010 is eight and 16:9 is 969."""
        if _NOT_DECIMAL.match(node.value):
            raise _rejected(
                f"contains {node.value[:40]} in line {node.start_mark.line + 1}, which YAML reads as another number; "
                f'write it in quotes, "{node.value[:40]}", or as a decimal number'
            )
        integer = node.tag == "tag:yaml.org,2002:int"
        number: int | float = self.construct_yaml_int(node) if integer else self.construct_yaml_float(node)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.decimal)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.decimal)


def _from_yaml(text: str) -> Any:
    try:
        _reject_tricks(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader with fewer types
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _rejected(f"is not valid YAML: {error.problem or error.context}{where}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _rejected(f"is not valid YAML: {error}") from None


def _reject_tricks(text: str) -> None:
    """A few aliases of aliases make gigabytes out of a small file; an order has no use for them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise _rejected(f"uses the alias *{event.anchor} in line {line}; aliases are not supported, write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise _rejected(f"is nested deeper than {DEEPEST} levels")


def _plain(document: Any) -> Any:
    """The document, if it holds nothing but what JSON can and databases store."""
    try:
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise _rejected("contains an unpaired surrogate; write the character out in UTF-8") from None
    except RecursionError:
        raise _rejected(f"is nested deeper than {DEEPEST} levels") from None
    except (TypeError, ValueError) as error:
        raise _rejected(f"contains a value that JSON cannot represent: {error}") from None
    return document


def _rejected(reason: str) -> OrderRejected:
    return OrderRejected("document", reason)
