"""Every column that the first migration looks at is named when it cannot be adopted: its type, its absence, its key."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from cli.adoption import shape_query
from darkroom.domain.model import Value
from tests.support.supabase.catalogs import database
from tests.support.supabase.project import Project

ROW = re.compile(r"\(\d+, '(\w+)', '(\w+)', '\{([^}]+)\}'(?:::text\[\])?, (true|false), (true|false)\)")


class Needed(Value):
    """A column that is looked at."""

    table: str
    column: str
    kinds: tuple[str, ...]
    key: bool
    required: bool

    @property
    def kind(self) -> str:
        """A type that can be adopted."""
        return self.kinds[0]

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def wanted(self) -> str:
        return " or ".join(self.kinds)


NEEDED = [
    Needed(table=table, column=column, kinds=tuple(kinds.split(",")), key=key == "true", required=required == "true")
    for table, column, kinds, key, required in ROW.findall(shape_query())
]
DEFAULTS = {"uuid": "gen_random_uuid()", "integer": "0"}
WORDS = {"job_status": ("pending", "processing", "completed", "failed"), "transaction_type": ("DEDUCT",)}


@pytest.fixture(scope="module")
def opened(migrated: Project) -> Iterator[psycopg.Connection]:
    with database(migrated) as db:
        yield db


@pytest.fixture
def db(opened: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A database without tables, whatever a test made."""
    with opened.transaction(force_rollback=True):
        yield opened


def make(db: psycopg.Connection, table: str, **other: str | None) -> None:
    """Make a table that can be adopted but for some columns: another definition, or None for none."""
    columns = []
    for needed in NEEDED:
        if needed.table == table:
            key = f" primary key default {DEFAULTS[needed.kind]}" if needed.key else ""
            definition = other.get(needed.column, f"{needed.kind}{key}")
            if definition is not None:
                columns.append(f"{needed.column} {definition}")
    db.execute(f"create table {table} ({', '.join(columns)})".encode())


def faults(db: psycopg.Connection) -> list[str]:
    return [
        f"{table}.{column}: found {found}, needed {needed}"
        for _, table, column, found, needed in db.execute(shape_query().encode()).fetchall()
    ]


def test_all_columns_are_read_from_the_query() -> None:
    assert len(NEEDED) == shape_query().count("', '{")
    assert len({needed.table for needed in NEEDED}) == 7


@pytest.mark.parametrize("table", sorted({needed.table for needed in NEEDED}))
def test_a_table_with_what_is_needed_is_adopted(db: psycopg.Connection, table: str) -> None:
    make(db, table)
    assert faults(db) == []


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_a_column_of_another_type_is_named(db: psycopg.Connection, needed: Needed) -> None:
    key = " primary key default '{}'" if needed.key else ""
    make(db, needed.table, **{needed.column: f"real[]{key}"})
    assert faults(db) == [f"{needed.name}: found real[], needed {needed.wanted}"]


@pytest.mark.parametrize("needed", [one for one in NEEDED if one.required], ids=lambda needed: needed.name)
def test_a_column_that_is_required_is_named(db: psycopg.Connection, needed: Needed) -> None:
    make(db, needed.table, **{needed.column: None})
    assert faults(db) == [f"{needed.name}: found no such column, needed {needed.wanted}"]


@pytest.mark.parametrize("needed", [one for one in NEEDED if not one.required], ids=lambda needed: needed.name)
def test_a_column_that_may_be_added_need_not_be_there(db: psycopg.Connection, needed: Needed) -> None:
    make(db, needed.table, **{needed.column: None})
    assert faults(db) == []


@pytest.mark.parametrize("needed", [one for one in NEEDED if one.key], ids=lambda needed: needed.name)
@pytest.mark.parametrize("key", ["", "partial", "wider"])
def test_a_key_that_is_none_is_named(db: psycopg.Connection, needed: Needed, key: str) -> None:
    make(db, needed.table, **{needed.column: f"{needed.kind} not null default {DEFAULTS[needed.kind]}"})
    if key == "partial":
        db.execute(
            f"create unique index on {needed.table} ({needed.column}) where {needed.column} is not null".encode()
        )
    elif key == "wider":
        db.execute(f"alter table {needed.table} add other integer, add unique ({needed.column}, other)".encode())
    assert faults(db) == [f"{needed.name}: found no primary key and no unique constraint on it, needed a primary key"]


@pytest.mark.parametrize("needed", [one for one in NEEDED if one.key], ids=lambda needed: needed.name)
def test_a_view_is_named(db: psycopg.Connection, needed: Needed) -> None:
    make(db, needed.table)
    db.execute(f"alter table {needed.table} rename to hidden; create view {needed.table} as table hidden".encode())
    assert f"{needed.name}: found a view or another kind of relation, needed a table" in faults(db)


@pytest.mark.parametrize(("column", "word"), [(column, word) for column, words in WORDS.items() for word in words])
@pytest.mark.parametrize("kind", ["enum", "check"])
def test_a_word_that_is_lacking_is_named(db: psycopg.Connection, column: str, word: str, kind: str) -> None:
    table = "quel_production_jobs" if column == "job_status" else "quel_credits"
    others = ", ".join(f"'{other}'" for other in (*WORDS[column], "refund") if other != word)
    needed = "DEDUCT" if word == "DEDUCT" else "pending, processing, completed and failed"
    if kind == "check":
        make(db, table, **{column: f"text check ({column} in ({others}))"})
    else:
        db.execute(f"create type words as enum ({others})".encode())
        make(db, table, **{column: "words"})
    if kind == "enum" and word == "DEDUCT":
        assert faults(db) == [f"{table}.{column}: found words, needed text or character varying"]
    else:
        article = "an enum" if kind == "enum" else "a check"
        assert faults(db) == [f"{table}.{column}: found {article} without the word {word}, needed {needed}"]


@pytest.mark.parametrize("table", ["quel_attach", "quel_credits"])
def test_a_required_column_that_we_do_not_know_is_named(db: psycopg.Connection, table: str) -> None:
    make(db, table)
    db.execute(f"alter table {table} add tenant uuid not null".encode())
    assert faults(db) == [f"{table}.tenant: found a required column without a default, needed a default"]
