"""The plot of a study as SVG: how often each method is preferred, with its interval, one panel an aspect."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from pipeline.protocol.page.scatter import BOLD, COLOURS, GREY
from pipeline.study.analysis.findings import ASPECT_TITLES, Findings, title
from pipeline.study.analysis.preferences import Level
from pipeline.study.questions import ASPECTS

PANEL, GAP, RIGHT, TOP, BOTTOM, ROW = 260.0, 34.0, 24.0, 34.0, 44.0, 30.0
"""Width of a panel, between panels, beside and above and below them, and height of a method's line, pixels."""
TICKS = (0, 25, 50, 75, 100)
_STYLE = Markup(
    ".ink{fill:#22262b}.grid{stroke:#d5d8dc}.even{stroke:#22262b;stroke-dasharray:4 3}.paper{fill:#ffffff}"
    "@media (prefers-color-scheme: dark){.ink{fill:#e6e6e3}.grid{stroke:#3b4047}.even{stroke:#e6e6e3}"
    ".paper{fill:#1d2024}}"
)


def plot(findings: Findings) -> str:
    """A whole SVG document, light or dark as its reader has it; the same findings give the same text."""
    left = 20 + BOLD * max(len(title(name)) for name in findings.methods)
    width = left + len(ASPECTS) * PANEL + (len(ASPECTS) - 1) * GAP + RIGHT
    height = TOP + ROW * len(findings.methods) + BOTTOM
    parts = [
        _text(left - 10, TOP + ROW * (row + 0.5) + 4.5, title(name), "end") for row, name in enumerate(findings.methods)
    ]
    for number, aspect in enumerate(ASPECTS):
        start = left + number * (PANEL + GAP)
        parts += _frame(start, TOP + ROW * len(findings.methods), ASPECT_TITLES[aspect])
        for row, name in enumerate(findings.methods):
            if (level := findings.level(name, aspect)) is not None:
                parts += _bar(level, start, TOP + ROW * (row + 0.5))
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="How often raters prefer each of {n} methods, with 95 % intervals" '
        'font-family="sans-serif" font-size="13"><style>{style}</style>'
    ).format(w=f"{width:.0f}", h=f"{height:.0f}", n=len(findings.methods), style=_STYLE)
    ground = Markup('<rect width="100%" height="100%" class="paper"/>')
    return str(head + ground + Markup("\n").join(parts)) + "</svg>\n"


def _frame(start: float, bottom: float, name: str) -> Iterator[Markup]:
    yield _text(start + PANEL / 2, TOP - 14, name, "middle")
    for tick in TICKS:
        x = _at(start, tick / 100)
        yield _line(x, TOP, x, bottom, "even" if tick == 50 else "grid")
        yield _text(x, bottom + 18, f"{tick} %", "middle")
    yield _text(start + PANEL / 2, bottom + 36, "of comparisons preferred", "middle")


def _bar(level: Level, start: float, y: float) -> Iterator[Markup]:
    colour, at = COLOURS.get(level.method, GREY), level.preferred
    if at.low is not None and at.high is not None:
        yield Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" stroke-width="3"/>').format(
            f"{_at(start, at.low):.1f}", f"{y:.1f}", f"{_at(start, at.high):.1f}", f"{y:.1f}", colour
        )
    yield Markup('<circle cx="{}" cy="{}" r="6" fill="{}"/>').format(f"{_at(start, at.mean):.1f}", f"{y:.1f}", colour)


def _at(start: float, share: float) -> float:
    return start + share * PANEL


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
        f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}", name
    )


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}" class="ink">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", anchor, words
    )
