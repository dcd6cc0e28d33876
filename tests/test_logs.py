"""Log lines: one line an event, whatever tenants and libraries wrote, and no secret in them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from darkroom import logs
from darkroom.settings import Settings
from tests.support.hostile_text import HOSTILE, obeyed
from tests.support.log_setup import own_log_setup

KEY = "AIzaSyA-1234567890abcdefghijklmnopqrstu"


class Terminal(io.StringIO):
    """A stream that draws colours."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["console", "json"])
def stream(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    target = io.StringIO()
    with own_log_setup():
        logs.configure(Settings(_env_file=None, log_format=request.param), target)
        yield target


# Half a character would end pytest's own reports.
ENCODABLE = {name: text for name, text in HOSTILE.items() if name != "half a character"}


@pytest.mark.parametrize("text", ENCODABLE.values(), ids=ENCODABLE)
def test_what_a_tenant_writes_is_one_clean_line(stream: io.StringIO, text: str) -> None:
    structlog.get_logger("tenant").info("job paused", reason=text, names=[text, {text: text}])
    logging.getLogger("a.library").warning("it said: %s", text)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert obeyed("".join(lines)) == set()


def test_a_traceback_has_its_lines_and_neither_controls_nor_variables_nor_keys(stream: io.StringIO) -> None:
    kept_in_a_variable = "the-password-of-the-database"
    try:
        raise ValueError(f"\x1b]52;c;cm0=\x07 https://api.example?key={KEY}")  # noqa: TRY301
    except ValueError:
        structlog.get_logger("ours").exception("request failed", path="/api")
        logging.getLogger("a.library").exception("it failed")
    said = stream.getvalue()
    assert said.count("Traceback (most recent call last)") == 2
    assert obeyed(said, apart_from="\n") == set()
    assert KEY not in said
    if not said.startswith("{"):
        assert said.count('raise ValueError(f"') == 2
    assert kept_in_a_variable not in said.replace(f'kept_in_a_variable = "{kept_in_a_variable}"', "")


def test_ids_and_numbers_are_logged_as_they_are(stream: io.StringIO) -> None:
    structlog.get_logger("ours").info("image delivered", job_id="2babfb87", ordinal=12, seconds=1.5, ok=True, none=None)
    line = stream.getvalue()
    if line.startswith("{"):
        found = json.loads(line)
        assert (found["ordinal"], found["seconds"], found["ok"], found["none"]) == (12, 1.5, True, None)
    else:
        assert all(part in line for part in ("ordinal=12", "seconds=1.5", "ok=True", "none=None", "job_id=2babfb87"))


def test_colours_on_a_terminal_are_ours_alone() -> None:
    target = Terminal()
    with own_log_setup():
        logs.configure(Settings(_env_file=None, log_format="console"), target)
        structlog.get_logger("ours").warning("job paused", reason="\x1b[5mblink")
    assert "\x1b[" in target.getvalue()
    assert "\x1b[5m" not in target.getvalue()
