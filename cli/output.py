"""What commands print: results on standard output, everything else beside them."""

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TextIO

from pydantic import BaseModel, JsonValue
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from cli.invocation import as_started
from cli.statuses import Status
from darkroom.domain.clean_text import clean_lines, escaped_in_json, one_clean_line
from darkroom.domain.errors import DarkroomError

ACCENT = "#e35144"
"""The safelight's red: marks what is active or wrong, and nothing else."""

THEME = Theme({"accent": ACCENT, "quiet": "bright_black", "strong": "bold"})
_WIDTH_OF_A_PIPE = 10_000
"""Columns: nothing that is piped is cut or wrapped."""


class CleanConsole(Console):
    """Shows text of whomever: what would move the cursor, colour the rest or turn it around is left out.

    Everything that is printed, live or in a table, comes out of `render`; what moves the cursor by our will is marked
    as that.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text.isprintable() else Segment(clean_lines(text), style)


class Output:
    """The output of one command.

    With `--json` standard output carries exactly one JSON document; everything else goes to standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.notes = console(sys.stderr if as_json else sys.stdout)
        """Where progress and messages go."""

    @property
    def live(self) -> bool:
        """Whether the notes go to a terminal that can be redrawn."""
        return self.notes.is_terminal and not self.notes.is_dumb_terminal

    def say(self, text: str = "", style: str | None = None) -> None:
        """One line for people, never wrapped, so that ids and paths can be copied."""
        self.notes.print(Text(one_clean_line(as_started(text)), style=style or ""), soft_wrap=True)

    def sentence(self, text: str, style: str | None = None) -> None:
        """A sentence for people, which a terminal wraps between words."""
        self.notes.print(
            Text(one_clean_line(as_started(text)), style=style or ""), soft_wrap=not self.notes.is_terminal
        )

    def result(self, value: BaseModel | JsonValue, shown: RenderableType | None = None) -> None:
        """The command's result: as JSON, or as it is shown to people."""
        if self.as_json:
            write_json(value)
        elif shown is not None:
            self.notes.print(shown)


def console(stream: TextIO) -> Console:
    """A console on a stream; one that is no terminal is wide enough for every line, unless COLUMNS says how wide."""
    wide = None if stream.isatty() or os.environ.get("COLUMNS") else _WIDTH_OF_A_PIPE
    return CleanConsole(file=stream, theme=THEME, highlight=False, markup=False, emoji=False, width=wide)


def as_value(value: BaseModel) -> dict[str, JsonValue]:
    """A model as JSON has it."""
    content: dict[str, JsonValue] = value.model_dump(mode="json")
    return content


def write_json(value: BaseModel | JsonValue) -> None:
    """The one document of a command run with `--json`."""
    content = as_value(value) if isinstance(value, BaseModel) else value
    sys.stdout.write(escaped_in_json(json.dumps(content, indent=2, ensure_ascii=False)) + "\n")
    sys.stdout.flush()  # `up` runs for days, and whoever reads the pipe waits for its document


def complain(message: str, status: int, *, as_json: bool) -> int:
    """Print the one line of a command that failed; returns its status.

    With `--json` standard output gets the same as a document, so that it always carries one.
    """
    line = one_line(as_started(message))
    sys.stderr.write(f"{line}\n" if status == Status.INTERRUPTED else f"error: {line}\n")
    if as_json:
        write_json({"error": line, "exit_status": status})
    return int(status)


def one_line(message: str | DarkroomError) -> str:
    """The message without line breaks and terminal control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(message).split()))


def local_time(moment: datetime) -> str:
    """A moment as a person at this computer reads it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock_time(moment: datetime) -> str:
    """The time of day of a moment, as a person at this computer reads it."""
    return moment.astimezone().strftime("%H:%M")


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def seconds_left(seconds: float) -> str:
    """A duration in the words of its size."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def tolerate_any_character(streams: Sequence[TextIO]) -> None:
    """Show a character that the terminal's encoding lacks as an escape rather than fail on it."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
