"""The page about performance can be filled from reports again and again, and its plot is valid on its own."""

import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.figures import Asked, Figure, Machine, NotMeasured, Peer, Report, Side
from benchmarks.page import PAGE, PLOT, filled, panels
from benchmarks.plot import plot

SVG = "{http://www.w3.org/2000/svg}"


def report() -> Report:
    def figure(name: str, unit: str, value: float, bare: float, dbos: float) -> Figure:
        celery = Peer(name="Celery", note="not measured: no broker | here")
        other = Peer(name="DBOS <on> SQLite", value=dbos, note="a file")
        asked = Asked(side=Side.AT_LEAST, bound=1.3, of_ratio=True)
        ratio = value / bare
        return Figure(
            name=name, what=f"what {name} is", unit=unit, value=value, bare=bare, peers=(celery, other),
            ratio=ratio, ratio_to="bare", asked=asked,
        )  # fmt: skip

    machine = Machine(
        system="Linux", python="3.13.1", cores=2, processor=r"A \1 processor", memory_gb=24,
        load_before=(0.1, 0, 0), load_after=(2, 0, 0),
    )  # fmt: skip
    return Report(
        machine=machine,
        quick=False,
        seconds=1,
        measured_on=date(2026, 11, 27),
        figures=(
            figure("peers-throughput", "/s", 66, 38, 25),
            figure("cpu-worker-peers", "ms", 13, 23, 20),
            figure("cpu-server-peers", "ms", 15, 25, 0),
            figure("cpu-both-peers", "ms", 28, 48, 20),
            figure("peers-work-throughput", "/s", 66, 1, 33),
            figure("peers-work-cpu", "ms", 28, 1, 31),
        ),
        not_measured=(NotMeasured(name="supabase", reason="PostgREST is missing"),),
    )


def test_the_page_takes_the_figures_and_keeps_its_words() -> None:
    page = PAGE.read_text("utf-8")
    once = filled(page, report(), report())
    assert filled(once, report(), report()) == once
    assert filled(once, report(), None) == once
    for words in (
        "| **Darkroom** | – | – | 66 /s | 28 ms |",
        "| DBOS <on> SQLite | 25 /s | 20 ms | 33 /s | 31 ms |",
        "- DBOS <on> SQLite: a file",
        r"- Celery: not measured: no broker \| here",
        "| what peers-throughput is | 66 /s | 38 /s | 1.74 × bare | at least 1.3 × | yes |",
        "- supabase: not measured, PostgREST is missing",
        r"27 November 2026: A \1 processor, 2 cores, 24 GB, Python 3.13.1",
        "13 ms of CPU per picture without encoding, so one core handles 77 pictures per second.",
    ):
        assert words in once, words
    written = re.compile(r"<!-- (\w+) -->.*?<!-- end of \1 -->", re.DOTALL)
    assert written.sub("", once) == written.sub("", page)


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="one place for “machine”"):
        filled("# A page", report(), None)


def test_the_plot_has_a_bar_for_each_engine_that_was_measured() -> None:
    picture = ElementTree.fromstring(plot(panels(report())))
    texts = [element.text for element in picture.iter(f"{SVG}text")]
    assert {"Darkroom", "bare workflow", "DBOS <on> SQLite", "66", "13 + 15"} <= set(texts)
    assert "Celery" not in texts
    bars = list(picture.iter(f"{SVG}rect"))
    assert len(bars) == 3 + 3 + 2 * 3
    widths = [float(bar.attrib["width"]) for bar in bars[3:6]]
    assert widths[0] / widths[1] == pytest.approx(66 / 38, rel=0.01)
    right = float(picture.attrib["viewBox"].split()[2])
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) <= right for bar in bars)
    assert "prefers-color-scheme: dark" in "".join(picture.itertext())


def test_the_plot_on_the_page_is_valid() -> None:
    assert ElementTree.parse(PLOT).getroot().tag == f"{SVG}svg"
    assert f"images/{Path(PLOT).name}" in PAGE.read_text("utf-8")
