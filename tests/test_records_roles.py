"""Records by role: who works with them names what it needs, and can call nothing else."""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

from darkroom.records import Records
from darkroom.records.books import BookRecords
from darkroom.records.deleting import DeleteRecords
from darkroom.records.finding import FindRecords
from darkroom.records.images import ImageRecords, ReferenceRecords
from darkroom.records.jobs import JobRecords
from darkroom.records.keys import KeyRecords
from darkroom.records.money import AccountRecords, MoneyRecords
from darkroom.records.offers import OfferRecords
from darkroom.records.sqlite import SqliteRecords
from darkroom.records.supabase import SupabaseRecords
from darkroom.records.usage import UsageRecords
from darkroom.records.watching import WatchRecords
from darkroom.records.webhooks import WebhookRecords
from tests.test_architecture import module_name, shipped

ROLES = (
    JobRecords,
    ImageRecords,
    ReferenceRecords,
    MoneyRecords,
    AccountRecords,
    WatchRecords,
    FindRecords,
    DeleteRecords,
    BookRecords,
    WebhookRecords,
    KeyRecords,
    OfferRecords,
    UsageRecords,
)
HANDS_OUT_ALL = {"darkroom.bootstrap"}
WHOLE = re.compile(r"\bRecords\b")


def methods(protocol: type) -> set[str]:
    """What may be called on it, in itself and in what it inherits."""
    return {name for name, _ in inspect.getmembers(protocol, inspect.isfunction) if not name.startswith("_")}


def annotations(path: Path) -> list[str]:
    """Every annotation of a file, as it is written."""
    tree = ast.parse(path.read_text("utf-8"))
    found = [node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign)]
    found += [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [ast.unparse(annotation) for annotation in found if annotation is not None]


def test_who_signs_people_in_cannot_name_settle() -> None:
    assert methods(KeyRecords) == {
        "add_api_key",
        "api_key",
        "api_keys",
        "revoke_api_key",
        "add_session",
        "session",
        "end_session",
        "valid_sign_ins",
    }
    assert not hasattr(KeyRecords, "settle")


def test_each_method_belongs_to_one_role_and_all_roles_are_the_records() -> None:
    counted = Counter(name for role in ROLES for name in methods(role))
    assert [name for name, times in counted.items() if times > 1] == []
    assert methods(Records) == {*counted, "close"}


def test_a_role_is_small() -> None:
    assert {role.__name__: len(methods(role)) for role in ROLES if len(methods(role)) > 12} == {}


@pytest.mark.parametrize("adapter", [SqliteRecords, SupabaseRecords])
def test_an_adapter_has_every_method_and_no_other(adapter: type) -> None:
    assert methods(adapter) == methods(Records)


def test_only_the_bootstrap_has_all_roles() -> None:
    whole = {module_name(path) for path in shipped() if any(WHOLE.search(written) for written in annotations(path))}
    assert whole == HANDS_OUT_ALL
