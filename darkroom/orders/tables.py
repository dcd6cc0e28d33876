"""Tables as spreadsheets write them, CSV with a row of names, become the rows of a `template` order."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from darkroom.domain.errors import OrderRejected
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType
from darkroom.orders.placeholders import variable_name

SUFFIXES = (".csv", ".tsv")
MEDIA_TYPES = ("text/csv", "text/tab-separated-values")

_DELIMITERS = (",", ";", "\t")
_UNDECODED = re.compile("[\ud800-\udfff]")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_LONGEST_NAME = 100
_OWN_PARTS = {
    "job_type": "cannot be set for a table, which is always a template; remove it, or order with a JSON document",
    "rows": "cannot be set for a table, because its rows are the order's rows; remove it",
    "variables": "cannot be set for a table, whose columns are the variables; set a variable by its own name",
}
"""What `Table.document` writes itself, or what would contradict it."""
_OF_A_ROW = re.compile(r"(?:rows|stages)\[(\d+)\](?:\.([^.\[]+))?")


class Table(Value):
    """The rows of a table that say something."""

    columns: tuple[str, ...]
    """As the first row names them."""
    names: tuple[str, ...]
    """As an order document names them."""
    rows: tuple[dict[str, str], ...]
    """By name, without empty cells."""
    numbers: tuple[int, ...]
    """Where each row stands, as a spreadsheet counts: the names are in row 1."""

    def document(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The order document of the table.

        Args:
            values: what holds for all rows: the prompt, fields of the order, and variables.

        Raises:
            OrderRejected: a value is named like a part of the document that the table itself gives.
        """
        for name in values:
            if reason := _OWN_PARTS.get(variable_name(name)):
                raise OrderRejected(name[:60], reason)
        return {"job_type": str(JobType.TEMPLATE), **values, "rows": [dict(row) for row in self.rows]}

    def by_row(self, error: OrderRejected) -> OrderRejected:
        """The rejection, with row and column of the table in the place of a document's field."""
        place = _OF_A_ROW.match(error.field)
        if place is None or int(place[1]) >= len(self.numbers):
            return error
        name = place[2]
        if name == "references" and name not in self.names and "reference" in self.names:
            name = "reference"
        column = self.columns[self.names.index(name)] if name in self.names else name
        return OrderRejected(_place(self.numbers[int(place[1])], column), error.reason)

    @contextmanager
    def naming_rows(self) -> Iterator[None]:
        """Let every rejection name row and column."""
        try:
            yield
        except OrderRejected as error:
            raise self.by_row(error) from None


def read_table(data: bytes) -> Table:
    """The table of a CSV file: UTF-8, columns separated by commas, semicolons or tabs, quoted where needed.

    Raises:
        OrderRejected: naming row and column.
    """
    text = _decoded(data)
    lines = list(io.StringIO(text, newline=""))
    skipped = 0
    delimiter = _delimiter(lines)
    if lines and (named := re.fullmatch(r"sep=(.)\s*", lines[0])):  # Excel's own way to say it
        delimiter, skipped = named[1], 1
    columns: list[str] = []
    records = _records(lines[skipped:], delimiter, columns, skipped)
    number, head = next(records, (0, []))
    if not head:
        raise OrderRejected("document", "is empty; the first row of a table must name its columns")
    columns += [cell.strip() for cell in head]
    names = _names(columns, number)
    rows, numbers = [], []
    for number, cells in records:
        rows.append(_row(cells, names, columns, number))
        numbers.append(number)
    if not rows:
        raise OrderRejected("document", "has no rows below the names of its columns")
    kept = [(column, name) for column, name in zip(columns, names, strict=True) if name]
    return Table(
        columns=tuple(column for column, _ in kept),
        names=tuple(name for _, name in kept),
        rows=tuple(rows),
        numbers=tuple(numbers),
    )


def _decoded(data: bytes) -> str:
    """The text; bytes that are none become surrogates, so that their cell can be named."""
    if data.startswith(_WORKBOOKS):
        raise OrderRejected("document", "is a spreadsheet's own file; save the sheet as CSV (UTF-8)")
    if data.startswith(_UTF_16):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="surrogateescape")


def _delimiter(lines: Sequence[str]) -> str:
    """What separates the names in the first row into the most columns."""
    found = dict.fromkeys(_DELIMITERS, 0)
    for delimiter in found:
        with suppress(csv.Error):  # whoever reads the records says what is wrong
            first = next((cells for cells in csv.reader(lines[:100], delimiter=delimiter) if any(cells)), [])
            found[delimiter] = len(first)
    return max(found, key=lambda delimiter: found[delimiter])


def _records(
    lines: Sequence[str], delimiter: str, columns: Sequence[str], number: int
) -> Iterator[tuple[int, list[str]]]:
    """The records that say something, with their numbers; a cell may have several lines.

    Args:
        lines: of the table.
        delimiter: between its columns.
        columns: their names, once they are known.
        number: of the row above the first.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number += 1
        begun = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            position, reason = _broken_quote("".join(lines[begun:]), delimiter, str(error))
            raise OrderRejected(_place(number, _column(columns, position)), reason) from None
        for position, cell in enumerate(cells):
            if _UNDECODED.search(cell):
                reason = "is not UTF-8 text; save the table as CSV (UTF-8)"
                raise OrderRejected(_place(number, _column(columns, position)), reason)
            if "\0" in cell:
                raise OrderRejected(_place(number, _column(columns, position)), "contains a NUL character; remove it")
        if any(cell.strip() for cell in cells):
            yield number, cells


def _broken_quote(text: str, delimiter: str, message: str) -> tuple[int, str]:
    """In which column a record cannot be read, and why."""
    column, quoted, at = 0, False, 0
    while at < len(text):
        char = text[at]
        if quoted and char == '"':
            after = text[at + 1 : at + 2]
            if after == '"':
                at += 1
            elif after in ("", delimiter, "\r", "\n"):
                quoted = False
            else:
                return column, 'has text after a closing quote; write a quote within quotes as ""'
        elif not quoted and char in "\r\n":
            break
        elif not quoted and char == delimiter:
            column += 1
        elif not quoted and char == '"' and (at == 0 or text[at - 1] == delimiter):
            quoted = True
        at += 1
    if "field larger" in message:
        return column, f"has more than {csv.field_size_limit():,} characters; is a closing quote missing?"
    return column, "has a quote that is not closed"


def _column(columns: Sequence[str], position: int) -> str:
    """A column's name; without one, its number."""
    return (columns[position] if position < len(columns) else "") or str(position + 1)


def _names(columns: Sequence[str], number: int) -> list[str]:
    """The columns' names as documents have them; empty for a column without a name."""
    names: list[str] = []
    for position, column in enumerate(columns):
        name = variable_name(column)
        where = _place(number, str(position + 1))
        if len(column) > _LONGEST_NAME:
            raise OrderRejected(where, f"has more than {_LONGEST_NAME} characters; the first row must name the columns")
        if "{" in column or "}" in column:
            raise OrderRejected(
                where, f"'{column}' has a brace; name the column without, and write {{name}} in the prompt"
            )
        if name and name in names:
            first = names.index(name)
            raise OrderRejected(
                where, f"'{column}' is named twice, as column {first + 1} '{columns[first]}' is the same; rename one"
            )
        names.append(name)
    if not any(names):
        raise OrderRejected(_place(number), "names no column; the first row of a table must name its columns")
    return names


def _row(cells: Sequence[str], names: Sequence[str], columns: Sequence[str], number: int) -> dict[str, str]:
    row: dict[str, str] = {}
    for position, cell in enumerate(cells):
        if not (text := cell.strip()):
            continue
        if position >= len(names):
            raise OrderRejected(
                _place(number, str(position + 1)),
                f"has a value, but the last column is {len(columns)}; put a value with a separator in quotes",
            )
        if not names[position]:
            raise OrderRejected(_place(number, str(position + 1)), "has a value, but the column has no name in row 1")
        row[names[position]] = text
    return row


def _place(number: int, column: str | None = None) -> str:
    return f"row {number}" if column is None else f"row {number}, column {column}"
