"""The command is named as it was started; versions, completion and typos."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from cli import invocation
from darkroom._version import __version__
from tests.cli.conftest import Run
from tests.support.command_line import app


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installed command in a folder of PATH."""
    command = tmp_path / "bin" / "darkroom"
    command.parent.mkdir()
    command.touch(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    return command


def start(monkeypatch: pytest.MonkeyPatch, *words: str, script: int) -> None:
    """Have this process been started by these words; `script` says which of them becomes `sys.argv[0]`."""
    monkeypatch.setattr(sys, "orig_argv", list(words))
    monkeypatch.setattr(sys, "argv", list(words[script:]))


@pytest.mark.parametrize(
    "words",
    [
        ("python", "starter.py"),
        (".venv/bin/python", "starter.py"),
        ("python3.13", "-X", "dev", "../darkroom/starter.py"),
        ("/opt/my venv/bin/python", "starter.py"),
    ],
)
def test_a_script_is_named_with_its_interpreter_as_typed(words: tuple[str, ...]) -> None:
    arguments = ("watch", "3f2a1c")
    named = invocation.program([words[-1], *arguments], [*words, *arguments])
    assert named == " ".join(f"'{word}'" if " " in word else word for word in words)


def test_a_module_is_named_with_its_interpreter() -> None:
    argv = ["/site-packages/darkroom/__main__.py", "list"]
    assert invocation.program(argv, ["python", "-m", "darkroom", "list"]) == "python -m darkroom"


def test_the_installed_command_is_named_by_its_name_if_that_finds_it(on_path: Path) -> None:
    assert invocation.program([str(on_path), "list"], ["python", str(on_path), "list"]) == "darkroom"


def test_another_installed_command_is_named_by_the_path_that_was_typed(on_path: Path) -> None:
    typed = ".venv/bin/darkroom"
    assert invocation.program([typed, "list"], [".venv/bin/python", typed, "list"]) == typed


def test_hints_and_errors_name_the_command_as_it_was_started(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch, ".venv/bin/python", "starter.py", "list", script=1)
    assert "`.venv/bin/python starter.py demo` or `.venv/bin/python starter.py submit FILE`" in run("list").out
    assert "`.venv/bin/python starter.py demo`" in run("status", uuid4()).error
    assert "`.venv/bin/python starter.py demo`" in run("status", uuid4(), "--json").document["error"]


def test_help_names_the_command_as_it_was_started(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(monkeypatch, ".venv/bin/python", "starter.py", "list", script=1)
    assert "Usage: .venv/bin/python starter.py list [OPTIONS]" in run("list", "--help").out


def test_what_earlier_versions_wrote_is_named_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    written = "its workflow was terminated; `starter.py restart 3f2a1c` makes what is missing"
    assert invocation.as_started(written) == written.replace("starter.py", "darkroom")


def test_words_that_are_no_hint_stay() -> None:
    text = "darkroom list, `darkroom`, `darkroom.db`, the darkroom `up`"
    assert invocation.as_started(text) == text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["sumbit", "order.yaml"], "No such command 'sumbit'. Did you mean 'submit'?"),
        (["keys", "creat"], "No such command 'creat'. Did you mean 'create'?"),
        (["list", "--jsn"], "No such option '--jsn'. Did you mean '--json'?"),
        (["--versoin"], "No such option '--versoin'. Did you mean '--version'?"),
    ],
)
def test_a_typo_gets_a_suggestion(run: Run, home: Path, typed: list[str], meant: str) -> None:
    ended = run(*typed)
    assert (ended.status, ended.error) == (2, meant)


def test_what_is_like_nothing_gets_none(run: Run, home: Path) -> None:
    assert run("xyzzy").error == "No such command 'xyzzy'."
    assert run("list", "--xyzzy").error == "No such option: --xyzzy"


def test_the_version_is_the_packages(run: Run, home: Path) -> None:
    ended = run("--version")
    assert (ended.status, ended.out, ended.err) == (0, f"darkroom {__version__}\n", "")


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "darkroom ", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "darkroom "}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "darkroom ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_are_told_every_command(
    run: Run,
    home: Path,
    shell: str,
    words: dict[str, str],
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"_DARKROOM_COMPLETE": f"complete_{shell}", **words}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="0"):
        run()
    told = capsys.readouterr().out
    groups = [group.name for group in app.registered_groups]
    missing = [
        name
        for name in [*(one.name for one in app.registered_commands if not one.hidden), *groups]
        if str(name) not in told
    ]
    assert missing == []


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_completion_is_for_the_installed_command(run: Run, home: Path, option: str) -> None:
    ended = run(option)
    assert ended.status == 2
    assert "`pip install .`" in ended.error
