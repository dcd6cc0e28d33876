"""A proof as one HTML page that needs nothing else."""

from collections.abc import Sequence
from html import escape
from typing import Any

from darkroom._version import __version__
from darkroom.proof.runs import Run
from darkroom.proof.verdict import described, sentence

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 70rem; padding: 0 1rem; color: #1c1b1a; }
h1 { font-size: 1.4rem; } p.verdict { font-size: 1.15rem; border-left: .3rem solid; padding-left: 1rem; }
p.holds { border-color: #2f7d4f; } p.violated { border-color: #e35144; } td.violated { color: #b3261e; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem .3rem 0;
border-bottom: 1px solid #ddd; vertical-align: top; }
td.number, th.number { text-align: right; } code { font-size: .9em; }
"""
_COLUMNS = (("Run", ""), ("Job and faults", ""), ("Pictures", "number"), ("Calls", "number"), ("Least", "number"))
_LAST = (("Kills", "number"), ("Seconds", "number"), ("Verdict", ""))


def page(runs: Sequence[Run], found: dict[str, Any], command: str) -> str:
    """The whole page.

    Args:
        runs: as they were played.
        found: their totals.
        command: what plays the same again.
    """
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in (*_COLUMNS, *_LAST))
    rows = "".join(_row(run) for run in runs)
    verdict = "violated" if found["violated"] else "holds"
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Darkroom proof</title>'
        f"<style>{_STYLE}</style><h1>Darkroom {escape(__version__)}: proof</h1>"
        f'<p class="verdict {verdict}">{escape(sentence(found))}</p>'
        f"<p>Play it again: <code>{escape(command)}</code></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>\n"
    )


def _row(run: Run) -> str:
    figures = run.figures
    numbers = [
        f"{figures.get('delivered', 0)}/{figures.get('ordered', 0)}",
        *(str(figures.get(name, 0)) for name in ("calls", "least", "kills")),
        f"{run.seconds:.0f}",
    ]
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    said = "holds" if run.holds else "<br>".join(map(escape, run.violations))
    if run.folder:
        said += f"<br>kept: <code>{escape(run.folder)}</code>"
    kind = "holds" if run.holds else "violated"
    job = f"{escape(described(run.plan))}<br><code>seed {escape(run.plan.seed)}</code>"
    return f'<tr><td>{run.plan.number}</td><td>{job}</td>{cells}<td class="{kind}">{said}</td></tr>'
