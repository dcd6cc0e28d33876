"""`python -m benchmarks.page`: write what bench.json and bench-scale.json say into docs/performance.md and its plot.

Only what stands between `<!-- NAME -->` and `<!-- end of NAME -->` is written.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, Report, ratio_of, with_unit
from benchmarks.plot import Bar, Panel, plot

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
IN_TEMPORAL = "steps in Temporal's embedded server; files and records as in the steps of the other engines"
PLOT = ROOT / "docs" / "images" / "performance.svg"
VERDICTS = {True: "yes", False: "**no**", None: ""}


def filled(page: str, bench: Report, scale: Report | None) -> str:
    """The page with the figures of the reports."""
    parts = {"machine": machine(bench), "figures": table(bench), "engines": engines(bench), "sizing": sizing(bench)}
    if scale is not None:
        parts["scale"] = f"{machine(scale)}\n\n{table(scale)}"
    for name, text in parts.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=\n<!-- end of {name} -->)", re.DOTALL)
        if len(place.findall(page)) != 1:
            raise ValueError(f"the page needs one place for “{name}”")
        page = place.sub(f"\n{text}\n".replace("\\", r"\\"), page)
    return page


def machine(report: Report) -> str:
    """Where and when it was measured."""
    of = report.machine
    when = "" if report.measured_on is None else f"Measured on {report.measured_on:%d %B %Y}: "
    quick = " Small counts, for trying out only: the figures mean nothing." if report.quick else ""
    return (
        f"{when}{of.processor or of.system}, {of.cores} cores, {of.memory_gb} GB, Python {of.python}; "
        f"load average {of.load_before[0]:.1f} before the first measurement.{quick}"
    )


def table(report: Report) -> str:
    """All figures, and what was not measured."""
    columns = ("Darkroom", "plain loop", "bare workflow", "ratio", "target", "met")
    with_loop = any(figure.plain is not None for figure in report.figures)
    with_bare = any(figure.bare is not None for figure in report.figures)
    left_out = {name for name, kept in (("plain loop", with_loop), ("bare workflow", with_bare)) if not kept}
    shown = ["figure", *(name for name in columns if name not in left_out)]
    lines = [f"| {' | '.join(shown)} |", f"|{'|'.join(['---'] + ['---:'] * (len(shown) - 1))}|"]
    for figure in report.figures:
        cells = {
            "figure": figure.what,
            "Darkroom": with_unit(figure.value, figure.unit),
            "plain loop": with_unit(figure.plain, figure.unit),
            "bare workflow": with_unit(figure.bare, figure.unit),
            "ratio": ratio_of(figure),
            "target": "" if figure.asked is None else str(figure.asked),
            "met": VERDICTS[figure.met],
        }
        lines.append(f"| {' | '.join(cells[name] for name in shown)} |")
    missing = [f"- {each.name}: not measured, {_one_line(each.reason)}" for each in report.not_measured]
    return "\n".join([*lines, *([""] if missing else []), *missing])


def engines(report: Report) -> str:
    """Every engine's speed and processor time, with empty steps and with the work in them; then its durability."""
    found = {figure.name: figure for figure in report.figures}
    speed = found.get("peers-throughput")
    if speed is None:
        return "Not measured."
    cpu, working, working_cpu = (found[name] for name in ("cpu-both-peers", "peers-work-throughput", "peers-work-cpu"))
    columns = [{peer.name: peer.value for peer in figure.peers} for figure in (speed, cpu, working, working_cpu)]
    rows: list[tuple[str, list[float | None], str]] = [
        ("**Darkroom**", [None, None, speed.value, cpu.value], (speed.note or "").removeprefix("Darkroom: ")),
        ("bare Temporal workflow", [speed.bare, cpu.bare, working.bare, working_cpu.bare], IN_TEMPORAL),
        *((peer.name, [column.get(peer.name) for column in columns], peer.note) for peer in speed.peers),
    ]
    lines = ["| engine | empty steps | CPU per picture | same work | CPU per picture |", "|---|---:|---:|---:|---:|"]
    for name, numbers, _ in rows:
        cells = [with_unit(number, unit) for number, unit in zip(numbers, ("/s", "ms", "/s", "ms"), strict=True)]
        lines.append(f"| {' | '.join([name, *cells])} |")
    notes = {note: [name for name, _, other in rows if other == note] for _, _, note in rows}
    return "\n".join([*lines, "", *(f"- {'; '.join(names)}: {_one_line(note)}" for note, names in notes.items())])


def sizing(report: Report) -> str:
    """What a core does, from the figures."""
    found = {figure.name: figure for figure in report.figures}
    lines = []
    if worker := found.get("cpu-worker-peers") or _first(report.figures, "cpu-worker-"):
        lines.append(
            f"- **Worker**: {worker.value:.0f} ms of CPU per picture without encoding, so one core handles "
            f"{1000 / worker.value:.0f} pictures per second."
        )
    if server := found.get("cpu-server-peers") or _first(report.figures, "cpu-server-"):
        lines.append(
            f"- **Temporal server** (embedded): {server.value:.0f} ms of CPU per picture; one core handles "
            f"{1000 / server.value:.0f} per second."
        )
    if encoding := found.get("webp-1"):
        lines.append(
            f"- **Encoding**: one core encodes {encoding.value:.0f} pictures of 1376×768 per second as WebP "
            f"({1000 / encoding.value:.0f} ms each), in child processes, one per core."
        )
    if memory := found.get("memory-together"):
        lines.append(f"- **Memory**: {memory.value:.0f} MB at the peak ({memory.what.removeprefix('peak memory, ')}).")
    if small := found.get("small-cpu"):
        lines.append(f"- **Small orders**: {small.value:.0f} ms of CPU for a whole job of three, worker and server.")
    return "\n".join(lines) or "Not measured."


def panels(report: Report) -> list[Panel]:
    """What is plotted."""
    found = {figure.name: figure for figure in report.figures}
    drawn = []
    if working := found.get("peers-work-throughput"):
        drawn.append(Panel("Pictures per second, the same work in every engine (longer is better)", _bars([working])))
    if speed := found.get("peers-throughput"):
        drawn.append(Panel("Pictures per second, empty steps in the other engines (longer is better)", _bars([speed])))
    if "cpu-worker-peers" in found:
        cpu = [found["cpu-worker-peers"], found["cpu-server-peers"]]
        title = "CPU per picture in ms, empty steps in the others: worker + server (shorter is better)"
        drawn.append(Panel(title, _bars(cpu)))
    return drawn


def _bars(figures: Sequence[Figure]) -> list[Bar]:
    """A bar for each engine that was measured, with a part for each figure."""
    names = ["Darkroom", "bare workflow", *(peer.name for peer in figures[0].peers)]
    parts = [
        {"Darkroom": each.value, "bare workflow": each.bare, **{peer.name: peer.value for peer in each.peers}}
        for each in figures
    ]
    bars = []
    for name in names:
        values = [part[name] for part in parts]
        if all(value is not None for value in values):
            bars.append(Bar(name, tuple(value for value in values if value is not None)))
    return bars


def _first(figures: Sequence[Figure], beginning: str) -> Figure | None:
    return next((figure for figure in figures if figure.name.startswith(beginning)), None)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH", help="default: %(default)s")
    parser.add_argument("--scale", type=Path, default=Path("bench-scale.json"), metavar="PATH", help="may be missing")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="PATH")
    parser.add_argument("--plot", type=Path, default=PLOT, metavar="PATH")
    arguments = parser.parse_args()
    bench = Report.model_validate_json(arguments.json.read_text("utf-8"))
    scale = Report.model_validate_json(arguments.scale.read_text("utf-8")) if arguments.scale.exists() else None
    arguments.page.write_text(filled(arguments.page.read_text("utf-8"), bench, scale), "utf-8")
    if drawn := panels(bench):
        arguments.plot.write_text(plot(drawn), "utf-8")
    print(f"{arguments.page} written")


if __name__ == "__main__":
    main()
