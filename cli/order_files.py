"""What `submit` is given: an order document or a table, and the pictures that it names."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from cli.documents import parse_document, read_bytes, read_file, read_reference
from cli.statuses import InputRejected
from darkroom.domain.errors import OrderRejected
from darkroom.orders import opened
from darkroom.orders.document import snake_key
from darkroom.orders.references import LARGEST_UPLOAD, files_named
from darkroom.orders.tables import SUFFIXES, Table, read_table

MOST_BYTES = 500 * 1024 * 1024
"""Of the pictures that a table names, together: they are in memory until the order is known to be valid."""


class GivenFile(NamedTuple):
    """A reference picture as it was read."""

    name: str
    data: bytes
    stage_index: int | None = None
    in_rows: bool = False
    field: str | None = None
    """Where a row names it."""


class OrderFile(NamedTuple):
    """An order as it was read."""

    document: Any
    table: Table | None = None

    def saying(self, **values: str | None) -> "OrderFile":
        """The same order with those values that are given, for the whole of it; what is no order is rejected later."""
        document = opened(self.document)
        given = {key: value for key, value in values.items() if value is not None}
        if not isinstance(document, dict):
            return self
        others = {key: value for key, value in document.items() if snake_key(str(key)) not in given}
        return self._replace(document=others | given)

    def naming_rows(self) -> AbstractContextManager[None]:
        """Let rejections name row and column where the order is a table."""
        return nullcontext() if self.table is None else self.table.naming_rows()


def read_order_file(name: str, values: Mapping[str, str]) -> OrderFile:
    """The order in a file; `-` is standard input.

    Args:
        name: of the file: `.csv` and `.tsv` are tables, and so is standard input with values.
        values: what holds for all rows of a table.

    Raises:
        OrderRejected: it cannot be read, is too large, or is no order.
        InputRejected: values for what is no table.
    """
    data = read_bytes(name)
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES or (name == "-" and values and data.lstrip()[:1] not in (b"{", b"[")):
        table = read_table(data)
        return OrderFile(table.document(values), table)
    if values:
        option = "--prompt" if "prompt" in values else "--set"
        raise InputRejected(option, f"only tables ({' or '.join(SUFFIXES)}) take it; write it into the document")
    return OrderFile(parse_document(name, data))


def values_of(prompt: str | None, given: Sequence[str]) -> dict[str, str]:
    """The prompt and each `NAME=VALUE`, by name.

    Raises:
        InputRejected: one is written otherwise, or a name is given twice.
    """
    values = {} if prompt is None else {"prompt": prompt}
    for one in given:
        name, equals, value = one.partition("=")
        if not name.strip() or not equals:
            raise InputRejected("--set", f"'{one}' must be NAME=VALUE, such as quantity=2")
        if name.strip() in values:
            raise InputRejected("--set", f"'{name.strip()}' is given twice; keep one of them")
        values[name.strip()] = value
    return values


def read_pictures(order: OrderFile, given: Sequence[str], folder: str | None) -> list[GivenFile]:
    """The pictures that `--reference` gives, and those that rows name, from their folder.

    Raises:
        OrderRejected: one cannot be read, lies outside of the folder, or they are too large.
        InputRejected: no row names a picture.
    """
    pictures = [GivenFile(*read_reference(one)) for one in given]
    if folder is None:
        return pictures
    named = files_named(order.document)
    if not named:
        raise InputRejected("--reference-dir", "no row names a file; name them in a column 'reference'")
    total = 0
    for name, field in named.items():
        data = read_file(field, str(_inside(folder, name, field)), LARGEST_UPLOAD)
        total += len(data)
        if total > MOST_BYTES:
            raise OrderRejected(
                field,
                f"the pictures have more than {MOST_BYTES:,} bytes together; make them smaller, or order in parts",
            )
        pictures.append(GivenFile(name, data, in_rows=True, field=field))
    return pictures


def _inside(folder: str, name: str, field: str) -> Path:
    """Where a named picture lies: a table from elsewhere reads nothing but what is in the folder."""
    try:
        path, root = Path(folder, name).resolve(), Path(folder).resolve()
    except (OSError, ValueError, RuntimeError):
        raise OrderRejected(field, f"'{name[:100]}' is no name of a file") from None
    if not path.is_relative_to(root):
        raise OrderRejected(field, f"'{name[:100]}' lies outside of {folder}; give its name within that folder")
    return Path(folder, name)
