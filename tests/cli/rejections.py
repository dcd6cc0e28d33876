"""Orders that are refused, and the home that they leave as it is."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run, contents


def stage(**fields: Any) -> dict[str, Any]:
    return {"prompt": "a lemon", "quantity": 1, **fields}


def order(*stages: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"stages": list(stages) or [stage()], **fields}).encode()


def assert_rejected(run: Run, home: Path, reason: str, *arguments: str | Path) -> None:
    before = contents(home)
    ended = run("submit", *arguments)
    assert ended.status == 2, ended
    assert reason in ended.error
    assert ended.error.count(": ") >= 1
    assert ended.out == ""
    assert contents(home) == before
