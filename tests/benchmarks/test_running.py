"""The benchmarks run, and bench.json has the shape that its readers rely on; what they measure is not tested."""

import asyncio
import io
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.__main__ import MEASUREMENTS
from benchmarks.figures import Asked, Figure, Report, Side, show
from benchmarks.measurements import Bench
from benchmarks.running import NotComparable, Recorder, measure
from benchmarks.scale.__main__ import SCENARIOS
from tests.support.programs import temporal_binary

pytestmark = pytest.mark.timeout(120)

HAS_NO_PLAIN_LOOP = {"history-events", "history-bytes"}


async def bench(tmp_path: Path, *arguments: str, program: str = "benchmarks") -> tuple[dict[str, Any], str]:
    """What the program wrote and printed."""
    target = tmp_path / "bench.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", program, "--quick", "--json", str(target), *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(target.read_text("utf-8")), printed.decode()


@pytest.mark.slow
async def test_throughput_is_measured_beside_the_plain_loop_and_the_bare_workflow(tmp_path: Path) -> None:
    temporal_binary()
    content, printed = await bench(tmp_path, "--only", "throughput", "--only", "webp")

    assert content["quick"] is True
    machine = {"system", "python", "cores", "processor", "memory_gb", "load_before", "load_after"}
    assert machine == content["machine"].keys()
    figures = {figure["name"]: figure for figure in content["figures"]}
    cpu = {f"cpu-{part}-{total}" for part in ("worker", "server", "both") for total in (12, 24)}
    webp = {"webp-1", "webp-2", "webp-children"}
    assert set(figures) == {
        *("throughput-12", "first-call", "history-events", "history-bytes", "throughput-24", *cpu, *webp)
    }
    for name in set(figures) - webp:
        assert figures[name]["value"] > 0
        assert figures[name]["bare"] > 0
        assert name in HAS_NO_PLAIN_LOOP | cpu or figures[name]["plain"] > 0
        assert figures[name]["ratio"] == pytest.approx(figures[name]["value"] / figures[name]["bare"])
    assert figures["throughput-12"]["asked"] == {"side": "at least", "bound": 0.5, "of_ratio": True}
    assert figures["throughput-12"]["met"] is (figures["throughput-12"]["ratio"] >= 0.5)
    assert figures["history-events"]["asked"] is figures["history-events"]["met"] is None
    assert "zero latency, 12 of 64×64" in printed


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_large_job_a_cancel_and_lists_are_measured(tmp_path: Path) -> None:
    temporal_binary()
    only = ("--only", "large", "--only", "cancel", "--only", "lists")
    content, printed = await bench(tmp_path, *only, program="benchmarks.scale")
    figures = {figure["name"]: figure["value"] for figure in content["figures"]}
    assert figures["large-exact"] == figures["cancel-large-exact"] == figures["cancel-stages-exact"] == 1
    assert figures["large-events"] > 0
    assert {f"large-{kind}-{part}" for kind in ("progress", "list") for part in ("p50", "p99")} <= figures.keys()
    assert {f"list{kind}-p99" for kind in ("", "-status", "-deep")} <= figures.keys()
    assert {each["name"] for each in content["not_measured"]} <= {"search"}
    assert "Darkroom at scale" in printed


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_many_stages_are_measured_with_calls_that_miss(tmp_path: Path) -> None:
    temporal_binary()
    content, printed = await bench(tmp_path, "--only", "thousand", "--only", "pairs", program="benchmarks.scale")
    figures = {figure["name"]: figure for figure in content["figures"]}
    assert figures["thousand-exact"]["value"] == figures["pairs-exact"]["value"] == 1
    assert figures["thousand-events"]["asked"]["bound"] == 14_999
    assert figures["pairs-cpu"]["ratio_to"] == "a job of 10"
    assert "8% misses" in printed


async def test_a_quick_measurement_is_printed_and_written(tmp_path: Path) -> None:
    content, printed = await bench(tmp_path, "--only", "webp")
    assert {figure["name"] for figure in content["figures"]} == {"webp-1", "webp-2", "webp-children"}
    assert content["quick"] is True
    assert "quick: small counts" in printed


@pytest.mark.parametrize(
    ("side", "of_ratio", "met"),
    [
        (Side.AT_LEAST, False, True),
        (Side.AT_MOST, False, False),
        (Side.AT_LEAST, True, False),
        (Side.AT_MOST, True, True),
    ],
)
def test_a_figure_is_held_to_its_value_or_its_ratio(side: Side, of_ratio: bool, met: bool) -> None:
    asked = Asked(side=side, bound=1.5, of_ratio=of_ratio)
    figure = Figure(name="name", what="what", unit="s", value=2.0, plain=2.0, ratio=1.0, ratio_to="plain", asked=asked)
    assert figure.met is met


def test_a_miss_is_named_and_a_ratio_that_could_not_be_measured_is_one() -> None:
    asked = Asked(side=Side.AT_MOST, bound=1.5, of_ratio=True)
    figure = Figure(name="name", what="what", unit="s", value=1.0, asked=asked)
    machine = {"system": "x", "python": "3", "cores": 2, "load_before": (0, 0, 0), "load_after": (0, 0, 0)}
    report = Report.model_validate({"machine": machine, "quick": True, "seconds": 1, "figures": (figure,)})
    assert report.missed == (figure,)


def a_figure(name: str) -> Figure:
    return Figure(name=name, what=f"what {name} is", unit="s", value=1.0)


async def first(_: Bench) -> list[Figure]:
    return [a_figure("first")]


async def without_its_program(_: Bench) -> list[Figure]:
    pytest.skip("PostgREST is missing: install Node.js")


async def broken(_: Bench) -> list[Figure]:
    raise RuntimeError("the server did not start\nand more lines")


async def endless(_: Bench) -> list[Figure]:
    await asyncio.Event().wait()
    return []


async def last(bench: Bench) -> list[Figure]:
    assert bench.folder.is_dir()
    return [a_figure("last")]


async def test_a_measurement_that_fails_is_named_and_takes_no_figure_from_the_others(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    names = ["first", "without_its_program", "broken", "endless", "not_installed", "last"]
    places = {name: f"{__name__}:{name}" for name in names} | {"not_installed": "no_such_package.at_all:measure"}
    recorder = Recorder(target, quick=True)
    await measure(places, names, recorder, quick=True, repeats=None, patience=0.2)

    report = Report.model_validate_json(target.read_text("utf-8"))
    assert [figure.name for figure in report.figures] == ["first", "last"]
    assert {each.name: each.reason for each in report.not_measured} == {
        "without_its_program": "PostgREST is missing: install Node.js",
        "broken": "RuntimeError: the server did not start",
        "endless": "TimeoutError",
        "not_installed": "No module named 'no_such_package'",
    }
    assert recorder.broken
    console = Console(record=True, width=180, file=io.StringIO())
    show(report, console)
    printed = console.export_text()
    for word in ("what first is", "what last is", "not measured: broken: RuntimeError: the server did not start"):
        assert word in printed


async def test_a_missing_program_is_no_error_and_figures_are_written_as_they_come(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    recorder = Recorder(target, quick=True)
    recorder.add("first", [a_figure("first")])
    written = Report.model_validate_json(target.read_text("utf-8"))
    assert [figure.name for figure in written.figures] == ["first"]
    recorder.miss("other", ModuleNotFoundError("No module named 'dbos'"))
    assert not recorder.broken
    assert Report.model_validate_json(target.read_text("utf-8")).not_measured[0].name == "other"


async def test_what_broke_off_is_measured_again_beside_the_figures_that_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    recorder = Recorder(target, quick=True)
    recorder.add("first", [a_figure("first"), a_figure("second")])
    recorder.miss("last", RuntimeError("no port"))
    changed = a_figure("first").model_copy(update={"value": 2.0})

    again = Recorder(target, quick=True, keep=True)
    again.add("last", [a_figure("last"), changed])
    report = Report.model_validate_json(target.read_text("utf-8"))
    assert [(figure.name, figure.value) for figure in report.figures] == [("first", 2), ("second", 1), ("last", 1)]
    assert not report.not_measured

    with pytest.raises(NotComparable, match="--keep"):
        Recorder(target, quick=False, keep=True)
    with pytest.raises(NotComparable, match="holds no figures"):
        Recorder(Path(__file__), quick=True, keep=True)
    Recorder(target, quick=False).add("first", [a_figure("first")])
    assert len(Report.model_validate_json(target.read_text("utf-8")).figures) == 1


def test_every_measurement_that_can_be_named_exists() -> None:
    for place in (*MEASUREMENTS.values(), *SCENARIOS.values()):
        module, _, function = place.partition(":")
        assert callable(getattr(import_module(module), function)), place
