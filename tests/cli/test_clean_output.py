"""What the command line shows of others' text moves no cursor, and forges no line."""

import io
import json

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli import output
from cli.display import Watched
from cli.output import CleanConsole, Output, complain, write_json
from cli.statuses import Status
from tests.cli.test_display import progress, stage
from tests.support.hostile_text import HOSTILE, obeyed


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Output(as_json=False)
    printed.say(f"paused: {text}", "accent")
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 2
    assert obeyed(lines[0]) == set()
    complain(f"job x: {text}", Status.NOT_NOW, as_json=False)
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 2
    assert obeyed(lines[0]) == set()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_tables_and_live_displays_are_clean(text: str) -> None:
    stream = io.StringIO()
    console = CleanConsole(file=stream, width=90, highlight=False, markup=False, theme=output.THEME)
    table = Table("name", "status")
    table.add_row(text, Text(text, style="accent"))
    console.print(table)
    console.print(text, [text], {text: 1})
    watched = Watched()
    watched.update(progress(stage(0, 3, status="short", reason=text), pause_reason=text, paused=True), "workflow")
    console.print(watched.shown(console))
    with Live(table, console=console, auto_refresh=False) as live:
        live.refresh()
    assert obeyed(stream.getvalue(), apart_from="\n") == set()
    assert len({len(line) for line in stream.getvalue().splitlines()[:1]}) == 1


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_colours_on_a_terminal_are_ours_alone(text: str) -> None:
    stream = io.StringIO()
    console = CleanConsole(file=stream, width=90, force_terminal=True, color_system="truecolor", theme=output.THEME)
    console.print(Text(f"a{text}", style="accent"))
    ours = stream.getvalue()
    assert "\x1b[" in ours
    parts = ours.replace("\x1b[38;2;227;81;68m", "").replace("\x1b[0m", "")
    assert obeyed(parts, apart_from="\n") == set()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_on_a_terminal_says_the_same_and_moves_nothing(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"reason": text})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"reason": text}
    assert obeyed(shown, apart_from="\n") == set()
