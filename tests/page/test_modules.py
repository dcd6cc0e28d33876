"""The page's pure modules, in Node.js: words, places of frames, drafts, charts."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.support.programs import required

FOLDER = Path(__file__).parent
OLDEST = (20, 19)
"""Of Node.js: from here on it sees by itself that a file is a module."""


def node() -> str:
    found = shutil.which("node")
    if found is not None:
        told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        version = re.match(r"v(\d+)\.(\d+)", told)
        found = found if version is not None and (int(version[1]), int(version[2])) >= OLDEST else None
    return required(found, "Node.js 20.19", "install it, or a newer one")


def test_the_modules_do_what_their_own_tests_say() -> None:
    files = [str(file) for file in sorted(FOLDER.glob("*.test.mjs"))]
    assert files
    ended = subprocess.run([node(), "--test", *files], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^# pass [1-9]", ended.stdout, re.MULTILINE), ended.stdout
