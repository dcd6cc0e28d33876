"""Which statements of the workflows a replay runs."""

import ast
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Statement:
    """A statement within a function, and the lines that are its own (without those of the blocks under it)."""

    file: Path
    first: int
    last: int
    text: str
    """Its first line."""

    def __str__(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}:{self.first}: {self.text}"


def statements(file: Path) -> list[Statement]:
    """What replays should run: all statements of functions, but docstrings and the bodies of queries."""
    source = file.read_text("utf-8")
    lines = source.splitlines()
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, Function) and not _is_query(function):
            for statement in _within(function.body):
                first, last = statement.lineno, _last_line(statement)
                found.append(Statement(file, first, last, lines[first - 1].strip()))
    return sorted(found, key=lambda statement: statement.first)


def _is_query(function: Function) -> bool:
    return any(ast.unparse(decorator).startswith("workflow.query") for decorator in function.decorator_list)


def _within(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, Function | ast.ClassDef | ast.Pass):
            continue  # a function is walked by itself
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if not isinstance(statement, ast.Try):  # `try` does nothing itself
            yield statement
        for _, value in ast.iter_fields(statement):
            if isinstance(value, list):
                yield from _within(_block(value))


def _block(value: list[Any]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for item in value:
        if isinstance(item, ast.stmt):
            found.append(item)
        elif isinstance(item, ast.ExceptHandler | ast.match_case):
            found.extend(item.body)
    return found


def _last_line(statement: ast.stmt) -> int:
    if isinstance(statement, ast.Match):
        return statement.subject.end_lineno or statement.lineno
    body: list[ast.stmt] = getattr(statement, "body", [])
    if body:
        return max(statement.lineno, body[0].lineno - 1)
    return statement.end_lineno or statement.lineno


@contextmanager
def traced(folder: Path) -> Iterator[dict[str, set[int]]]:
    """Collect the lines that run in files of a folder, by file, in threads that start meanwhile."""
    prefix = f"{folder}/"
    seen: defaultdict[str, set[int]] = defaultdict(set)

    def line(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            seen[frame.f_code.co_filename].add(frame.f_lineno)
        return line

    def call(frame: FrameType, _event: str, _arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(prefix) else None

    before = threading.gettrace()
    threading.settrace(call)
    try:
        yield seen
    finally:
        threading.settrace(before)
