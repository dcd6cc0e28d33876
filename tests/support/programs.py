"""Programs that tests start: found, or the test is skipped with the reason (and fails in CI)."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def required(found: str | None, what: str, remedy: str) -> str:
    """A path that a test cannot do without."""
    if found is None:
        message = f"{what} is missing: {remedy}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def temporal_binary() -> str:
    """The Temporal command line and server, which the lock file installs."""
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.is_file() else shutil.which("temporal")
    return required(found, "the `temporal` program", "install the packages of requirements.lock")
