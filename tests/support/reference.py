"""The reference of the command line, as Typer writes it: `make reference` puts it into docs/cli.md."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "cli.md"


def reference() -> str:
    """Every command with its arguments, options, an example and its exit statuses, as Markdown."""
    program = [sys.executable, "-m", "typer", "tests.support.command_line"]
    docs = ["utils", "docs", "--name", "darkroom", "--title", "Command line"]
    text = subprocess.run([*program, *docs], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", text)
    # Quotes need no entities in Markdown; angle brackets do.
    text = re.sub(r"&#x27;|&quot;", lambda entity: unescape(entity[0]), text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
