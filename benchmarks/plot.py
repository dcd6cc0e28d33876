"""A plot of bars as SVG, readable on light and on dark pages; no more than our own figures need."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABELS = 270
NUMBERS = 90
ROW = 26
BAR = 16
TITLE = 34
GAP = 14

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-weight: 600 }
.ours { fill: #bf3989 } .ours2 { fill: #e085bb }
.other { fill: #6e7781 } .other2 { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #db61a2 } .ours2 { fill: #8e3a68 }
  .other { fill: #8b949e } .other2 { fill: #4d555e }
}
"""


@dataclass(frozen=True)
class Bar:
    """A thing that was measured: one value, or two that are added."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """Bars on one scale. The first is ours."""

    title: str
    bars: Sequence[Bar]


def plot(panels: Sequence[Panel]) -> str:
    """The panels below each other."""
    height = sum(TITLE + ROW * len(panel.bars) + GAP for panel in panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape("; ".join(panel.title for panel in panels))}">',
        f"<style>{STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        lines += _panel(panel, top)
        top += TITLE + ROW * len(panel.bars) + GAP
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    longest = max(sum(bar.values) for bar in panel.bars)
    room = WIDTH - LABELS - NUMBERS
    lines = [f'<text class="title" x="0" y="{top + 20}">{escape(panel.title)}</text>']
    for row, bar in enumerate(panel.bars):
        y = top + TITLE + ROW * row
        middle = y + BAR - 3
        lines.append(f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>')
        x = float(LABELS)
        for part, value in enumerate(bar.values):
            kind = ("ours" if row == 0 else "other") + ("2" if part else "")
            width = room * value / longest
            lines.append(f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
            x += width
        lines.append(f'<text x="{x + 8:.1f}" y="{middle}">{" + ".join(_shown(value) for value in bar.values)}</text>')
    return lines


def _shown(value: float) -> str:
    return f"{value:.0f}" if value == 0 or value >= 10 else f"{value:.1f}"
