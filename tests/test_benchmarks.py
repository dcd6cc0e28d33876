"""The benchmarks run, and bench.json has the shape that its readers rely on; what they measure is not tested."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Asked, Figure, Report, Side
from tests.support.programs import temporal_binary

pytestmark = pytest.mark.timeout(120)

HAS_NO_PLAIN_LOOP = {"history-events", "history-bytes"}


async def bench(tmp_path: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """What the program wrote and printed."""
    target = tmp_path / "bench.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--quick", "--json", str(target), *arguments),
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
    assert {"system", "python", "cores", "load_before", "load_after"} == content["machine"].keys()
    figures = {figure["name"]: figure for figure in content["figures"]}
    assert set(figures) == {
        *(
            "throughput-12",
            "first-call",
            "history-events",
            "history-bytes",
            "throughput-24",
            "webp-1",
            "webp-2",
            "webp-children",
        )
    }
    for name in set(figures) - {"webp-1", "webp-2", "webp-children"}:
        assert figures[name]["value"] > 0
        assert figures[name]["bare"] > 0
        assert name in HAS_NO_PLAIN_LOOP or figures[name]["plain"] > 0
        assert figures[name]["ratio"] == pytest.approx(figures[name]["value"] / figures[name]["bare"])
    assert figures["throughput-12"]["asked"] == {"side": "at least", "bound": 0.5, "of_ratio": True}
    assert figures["throughput-12"]["met"] is (figures["throughput-12"]["ratio"] >= 0.5)
    assert figures["first-call"]["asked"] is figures["first-call"]["met"] is None
    assert "zero latency, 12 of 64×64" in printed


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
