"""The examples run as they stand, beside `up`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from darkroom.domain.names import LOCAL_USER
from darkroom.records.sqlite import SqliteRecords
from tests.cli.test_stack import STARTER, environment, first_document, ports_of_its_own
from tests.support.commands import ROOT

SUBMIT = ROOT / "examples" / "submit.py"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Path]:
    """The home of a running `up`, on the offline provider."""
    home = tmp_path / "home"
    command = [*STARTER, "up", "--json", "--no-api", *ports_of_its_own()[:4]]
    with (
        (tmp_path / "up.log").open("w") as log,
        subprocess.Popen(
            command, env=environment(home), cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            first_document(process)
            yield home
        finally:
            process.terminate()


def run_in(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder, with `up`'s home in the environment."""
    return subprocess.run(
        [sys.executable, str(SUBMIT)],
        env=environment(home),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_script_orders_follows_and_fetches(up: Path, tmp_path: Path) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    done = run_in(folder, up)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "2 of 2 delivered"
    assert {line.partition(" ")[2] for line in lines} == {"of 2 delivered"}
    assert sorted(path.name for path in folder.iterdir()) == ["stage-0-0.webp", "stage-0-1.webp"]
    for path in folder.iterdir():
        with Image.open(path) as picture:
            picture.load()
    records = SqliteRecords(up / "records.db")
    account = await records.account(LOCAL_USER)
    assert account is not None
    assert (account.balance, account.held) == (100_000 - 2 * 20, 0)
    await records.close()


def test_the_script_without_a_server_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    done = run_in(tmp_path, tmp_path / "home")
    assert done.returncode == 1
    assert "ServerNotReachable: no Temporal server" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_script_is_fifteen_lines_of_code() -> None:
    tree = ast.parse(SUBMIT.read_text("utf-8"))
    lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    assert len(lines) - 1 <= 15  # the docstring is a statement too
