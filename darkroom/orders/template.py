"""`template`: one prompt with placeholders; a stage per row of a table, or per combination of variables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from math import prod
from typing import Annotated, Any

from pydantic import BeforeValidator

from darkroom.domain.clean_text import CleanLine, one_clean_line
from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Order, Stage
from darkroom.domain.stage_labels import number_of_stage
from darkroom.orders.document import MEANINGLESS, AttachRef, Envelope, Look, Reader, WholeNumber, with_negative
from darkroom.orders.placeholders import fill, names_in, variable_name
from darkroom.orders.reference_lists import attachments_in, files_in

_LONGEST_LABEL = 80
_NAME = "name"
"""A field of every order, and all the same a variable: what a prompt asks for was asked for before jobs had names."""

_Attachments = Annotated[tuple[AttachRef, ...], BeforeValidator(attachments_in)]
_Files = Annotated[tuple[str, ...], BeforeValidator(files_in)]


class RowPart(Look):
    """One row of a table; every other key is a variable."""

    prompt: str | None = None
    quantity: WholeNumber | None = None
    aspect_ratio: str | None = None
    negative_prompt: str | None = None
    references: _Attachments | None = None
    reference: _Files | None = None
    """Files that are given along; they become `references` before the order is read."""
    label: CleanLine | None = None

    def unknown_keys(self) -> Iterable[str]:
        """None here: every other key is a variable."""
        return ()


class TemplateDocument(Envelope):
    """The whole document; every other text or number in it is a variable."""

    prompt: str | None = None
    quantity: WholeNumber = 1
    references: _Attachments = ()
    reference: _Files = ()
    rows: tuple[RowPart, ...] | None = None
    variables: Any = None

    def unknown_keys(self) -> Iterable[str]:
        """None here: which texts are variables shows when the prompts are read."""
        return ()


COLUMNS = frozenset(RowPart.model_fields)
"""What a column of a table may be called beside variables."""


class _Values:
    """The values of a stage's placeholders, and those of the document that were used by any."""

    def __init__(self, shared: Document) -> None:
        self.shared = shared
        self.used: set[str] = set()

    def of(self, own: Mapping[str, Any], where: str, name: str, written: str) -> str:
        value = own.get(name, self.shared.get(name))
        self.used.add(name)
        if value is None:
            written = " ".join(written.split())[:60]
            raise OrderRejected(
                f"{where}.{name[:60]}" if where else name[:60],
                f"has no value, and the prompt needs {{{written}}}; give one, or write {{{{{written}}} for a brace",
            )
        return _text(value, f"{where}.{name}" if where and name in own else name)


def parse(reader: Reader, content: Document) -> Order:
    """A stage per row, or per combination of variables, the first of them slowest; without either, one.

    Raises:
        OrderRejected: a placeholder has no value, or a field is wrong.
    """
    document = reader.read(TemplateDocument, content)
    shared = {variable_name(key): value for key, value in (document.model_extra or {}).items()}
    if document.name is not None:
        shared.setdefault(_NAME, document.name)
    values = _Values(shared)
    rows = _rows(document, reader.limits.stages)
    stages = [_stage(document, reader, values, row, index) for index, row in enumerate(rows)]
    reader.ignore(
        key for key in document.model_extra or {} if key not in MEANINGLESS and variable_name(key) not in values.used
    )
    return document.order(JobType.TEMPLATE, stages)


def _rows(document: TemplateDocument, most: int) -> Iterable[tuple[str, RowPart]]:
    """Where each stage's values stand, and they."""
    if document.rows is not None and document.variables is not None:
        raise OrderRejected("variables", "are given beside rows; give one of the two")
    if document.rows is not None:
        return ((f"rows[{position}]", row) for position, row in enumerate(document.rows))
    if document.variables is None:
        return [("", RowPart())]
    variables = list(_variables(document.variables))
    count = prod(len(choices) for _, choices in variables)
    if count > most:
        raise OrderRejected("variables", f"make {count:,} combinations, which exceed the maximum of {most:,} stages")
    names = [name for name, _ in variables]
    combined = product(*(choices for _, choices in variables))
    return (("variables", RowPart.model_validate(dict(zip(names, chosen, strict=True)))) for chosen in combined)


def _variables(given: Any) -> Iterator[tuple[str, Sequence[str]]]:
    """Names and values, from an object or from a list of `{name, values}`, whose order no database changes."""
    if isinstance(given, dict):
        given = [{"name": name, "values": values} for name, values in given.items()]
    if not isinstance(given, list):
        raise OrderRejected("variables", "must be an object of lists, such as {colour: [red, green]}")
    names: set[str] = set()
    for position, one in enumerate(given):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or "values" not in one:
            raise OrderRejected(f"variables[{position}]", "must be an object with name and values")
        name, values = variable_name(one["name"]), one["values"]
        where = f"variables.{one['name'][:60]}"
        if name in names:
            raise OrderRejected(where, "is given twice; keep one of them")
        if (name in TemplateDocument.model_fields and name != _NAME) or name in COLUMNS:
            raise OrderRejected(where, "is a field of the order and cannot be a variable; use another name")
        names.add(name)
        values = values if isinstance(values, list) else [values]
        if not values:
            raise OrderRejected(where, "is empty; give at least one value")
        yield name, [_text(value, f"{where}[{number}]") for number, value in enumerate(values)]


def _stage(
    document: TemplateDocument, reader: Reader, values: _Values, given: tuple[str, RowPart], index: int
) -> Stage:
    where, row = given
    own = {variable_name(key): value for key, value in (row.model_extra or {}).items() if key not in COLUMNS}
    at = f"{where}." if where.startswith("rows") else ""
    prompt = row.prompt if row.prompt is not None else document.prompt
    if prompt is None:
        raise OrderRejected(f"{at}prompt", "is missing; give one prompt for all rows, or one in each")
    for name in row.reference or document.reference:
        raise OrderRejected(
            f"{at}reference",
            f"'{name[:100]}' is not among the files given with the order; name its folder with "
            "`darkroom submit --reference-dir DIR`, or upload it and give its attachment's id in references",
        )
    filled = fill(
        prompt,
        lambda name, written: values.of(own, where, name, written),
        f"{at}prompt",
        reader.limits.prompt_characters,
    )
    references = document.references if row.references is None else row.references
    named = label_of(row.label, (_text(value, f"{at}{name}") for name, value in own.items()))
    return Stage(
        stage_index=index,
        label=named or number_of_stage(index),
        prompt=with_negative(filled, row.negative_prompt or document.negative_prompt),
        quantity=document.quantity if row.quantity is None else row.quantity,
        aspect_ratio=row.aspect_ratio or document.aspect_ratio,
        references=tuple(ref.reference() for ref in references),
        image_size=document.size_of(row),
        format=document.format_of(row),
    )


def label_of(label: str | None, values: Iterable[str]) -> str:
    """A stage's label: the row's own, else its values; at most 80 characters."""
    text = " ".join((label or "").split()) or ", ".join(filter(None, (" ".join(value.split()) for value in values)))
    text = one_clean_line(text)
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def as_stored(content: Document) -> Document:
    """The document with variables as a list and a label in each row: databases do not keep the order of keys."""
    variables, rows = content.get("variables"), content.get("rows")
    kept = dict(content)
    if isinstance(variables, dict):
        kept["variables"] = [{"name": name, "values": values} for name, values in variables.items()]
    if isinstance(rows, list):
        kept["rows"] = [_labelled(row) if isinstance(row, dict) else row for row in rows]
    return kept


def _labelled(row: Document) -> Document:
    own = [value for key, value in row.items() if key not in COLUMNS]
    if any(isinstance(value, (bool, dict, list)) for value in own):
        return row
    label = label_of(row.get("label"), (_text(value, "") for value in own)) if _is_text(row.get("label")) else ""
    return {**row, "label": label} if label else row


def _is_text(label: Any) -> bool:
    return label is None or isinstance(label, str)


def _text(value: Any, where: str) -> str:
    """A value as it stands in a prompt; numbers as databases give them back, too.

    Raises:
        OrderRejected: it is neither a text nor a number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = {bool: "a boolean; write it in quotes", dict: "an object", list: "a list"}.get(
            type(value), "of another kind"
        )
        raise OrderRejected(where, f"must be a text or a number, not {kind}")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def placeholders(content: Document) -> list[str]:
    """The variables that a document's prompts name, each once, in their order."""
    rows = content.get("rows")
    prompts = [content.get("prompt"), *(row.get("prompt") for row in rows or () if isinstance(row, dict))]
    return list(dict.fromkeys(chain.from_iterable(names_in(one) for one in prompts if isinstance(one, str))))
