"""A wrong picture book is refused in one line with exit status 2, and leaves no row and no file."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from cli.working import run as run_work
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.storybook import Book
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run, contents

STRANGERS_BOOK = UUID("22222222-2222-4333-8444-555555555555")
NOBODYS_BOOK = UUID("33333333-2222-4333-8444-555555555555")
PAGE = {"dialogues": ["“Who is there?”"]}


def book(*pages: Any, **fields: Any) -> dict[str, Any]:
    return {"pages": list(pages) or [PAGE], **fields}


RULES: list[tuple[str, dict[str, Any], str]] = [
    (
        "unknown style",
        book(style="cubist"),
        "style: 'cubist' is unknown; use one of watercolor, van_gogh, fantasy, cartoon",
    ),
    ("style as a number", book(style=3), "style: "),
    ("no pages", {"job_type": "storybook", "pages": []}, "stages: is empty"),
    ("no pages key", {"job_type": "storybook"}, "pages: is missing"),
    ("too many pages", book(*[PAGE] * 1001), "1001 exceed the maximum of 1000"),
    ("a page without words", book(PAGE, {"dialogues": []}), "pages[1].dialogues: is empty"),
    ("a page of blanks", book({"dialogues": [" ", "\n"]}), "pages[0].dialogues: is empty"),
    ("a page without dialogues", book({}), "pages[0].dialogues: is missing"),
    ("dialogues as a text", book({"dialogues": "Hello"}), "pages[0].dialogues: "),
    ("a number among them", book({"dialogues": ["Hello", 3]}), "pages[0].dialogues[1]: "),
    ("a page as a text", book("Hello"), "pages[0]: "),
    ("a long page", book({"dialogues": ["x" * 20_001]}), "pages[0].dialogues[0]: "),
    ("many lines that are long together", book({"dialogues": ["x" * 10_000] * 3}), "exceed the maximum of 20000"),
    ("attachId 0", book({**PAGE, "attachId": 0}), "pages[0].attach_id: "),
    ("a picture that does not exist", book({**PAGE, "attachId": 4711}), "attachment 4711 does not exist"),
    ("a book that is no UUID", book(book_id="mine"), "book_id: "),
    ("a book that does not exist", book(book_id=str(uuid4())), "does not exist; leave it out to order the pages alone"),
    ("somebody else's book", book(book_id=str(STRANGERS_BOOK)), f"book_id: {STRANGERS_BOOK} belongs to another user"),
    ("an unknown aspect ratio", book(**{"aspect-ratio": "5:7"}), "aspect_ratio: '5:7'"),
    (
        "a provider that is not there",
        book(providers=["offline", "dall-e"]),
        "'dall-e' is not available; use one of offline",
    ),
    (
        "a provider without its key",
        book(providers=["runware"]),
        "'runware' is not available; use one of offline (others need",
    ),
    ("providers that name nobody", book(providers=[]), "providers: is empty"),
    ("providers as a text", book(providers="offline"), "providers: "),
    (
        "a provider that is not among them",
        book(provider="gemini", providers=["offline"]),
        "provider: 'gemini' is not among the providers offline",
    ),
]


@pytest.fixture
def library(connected: Path) -> Path:
    """A home with the local user, a stranger's book and one that is nobody's."""

    async def settle() -> None:
        records = SqliteRecords(connected / "records.db")
        await records.ensure_member(LOCAL_USER, 1_000)
        for book_id, owner in ((STRANGERS_BOOK, uuid4()), (NOBODYS_BOOK, None)):
            await records.ensure_book(Book(book_id=book_id, user_id=owner, base_path="books/one"))
        await records.close()

    run_work(settle())
    return connected


@pytest.mark.parametrize(("document", "reason"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_a_wrong_book_is_one_line_and_leaves_nothing(
    run: Run, library: Path, tmp_path: Path, document: dict[str, Any], reason: str
) -> None:
    (tmp_path / "book.json").write_text(json.dumps(document), "utf-8")
    before = contents(library)
    ended = run("submit", tmp_path / "book.json")
    assert ended.status == 2, ended
    assert reason in ended.error
    assert ended.out == ""
    assert contents(library) == before


def test_a_right_book_is_taken(run: Run, library: Path, tmp_path: Path) -> None:
    document = book(PAGE, book_id=str(NOBODYS_BOOK), style="Van Gogh", providers=["offline", "offline"])
    (tmp_path / "book.json").write_text(json.dumps(document), "utf-8")
    ended = run("submit", tmp_path / "book.json", "--json")
    assert ended.status == 0, ended
    assert ended.document["total_images"] == 1
