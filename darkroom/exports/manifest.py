"""What was taken home, for programs and for spreadsheets. The same pictures give the same bytes."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from darkroom.domain.file_names import MANIFEST_CSV, MANIFEST_JSON, MISSING
from darkroom.exports.choosing import Chosen, Export

COLUMNS = (
    "file",
    "stage",
    "label",
    "ordinal",
    "prompt",
    "references",
    "provider",
    "model",
    "size",
    "sha256",
    "credits",
    "attach_id",
)
LONGEST_PROMPT = 1_000
"""Characters of a prompt in the table, which has it in every row; `manifest.json` has all of it."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet would compute."""


def manifest_files(export: Export, missing: Iterable[Chosen] = (), lost: Sequence[str] = ()) -> dict[str, bytes]:
    """The files beside the pictures, by name.

    Args:
        export: what is taken home.
        missing: pictures of it whose files are gone.
        lost: the names of files beside pictures that are gone.
    """
    gone = {one.picture.attach_id: one.name for one in missing}
    there = [one for one in export.pictures if one.picture.attach_id not in gone]
    names = [*gone.values(), *lost]
    files = {MANIFEST_JSON: _as_json(export, there, names), MANIFEST_CSV: _as_csv(there)}
    if names:
        listed = "\n".join(names)
        files[MISSING] = f"Their files are missing from the storage:\n{listed}\n".encode()
    return files


def _as_json(export: Export, pictures: list[Chosen], missing: list[str]) -> bytes:
    stages = {one.picture.stage_index: one for one in pictures}
    document = {
        "job_id": str(export.job_id),
        "status": export.status.value,
        "stages": [
            {
                "stage": index,
                "label": one.label,
                "prompt": one.stage.prompt if one.stage else None,
                "references": [] if one.stage is None else [ref.model_dump() for ref in one.stage.references],
            }
            for index, one in sorted(stages.items())
        ],
        "pictures": [
            {
                "file": one.name,
                "stage": one.picture.stage_index,
                "label": one.label,
                "ordinal": one.picture.ordinal,
                "provider": one.picture.provider,
                "model": one.picture.model,
                "size": one.picture.size,
                "sha256": one.picture.sha256,
                "credits": one.credits,
                "attach_id": one.picture.attach_id,
            }
            for one in pictures
        ],
        "missing": missing,
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode(errors="replace")


def _as_csv(pictures: list[Chosen]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for one in pictures:
        references = () if one.stage is None else one.stage.references
        row: tuple[str | int | None, ...] = (
            one.name,
            one.picture.stage_index,
            one.label,
            one.picture.ordinal,
            _cut(one.stage.prompt if one.stage else ""),
            " ".join(str(ref.attach_id) for ref in references),
            one.picture.provider,
            one.picture.model,
            one.picture.size,
            one.picture.sha256,
            one.credits,
            one.picture.attach_id,
        )
        table.writerow(_harmless(cell) for cell in row)
    # With a mark at the beginning, without which spreadsheets take UTF-8 for something else.
    return text.getvalue().encode("utf-8-sig", errors="replace")


def _cut(prompt: str) -> str:
    return prompt if len(prompt) <= LONGEST_PROMPT else prompt[: LONGEST_PROMPT - 1] + "…"


def _harmless(cell: str | int | None) -> str | int | None:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA) else cell
