"""The plot of a study as SVG: how often each method is preferred, with its interval, one panel an aspect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from pipeline.protocol.page.scatter import BOLD, COLOURS, GREY
from pipeline.study.analysis.findings import ASPECT_TITLES, Findings, title
from pipeline.study.analysis.preferences import Level
from pipeline.study.questions import ASPECTS

PANEL, RIGHT, TOP, BOTTOM, ROW = 280.0, 24.0, 34.0, 50.0, 28.0
"""Width of a panel, beside it, above and below it, and height of a method's line, pixels."""
TICKS = (0, 25, 50, 75, 100)
LIGHTER = 0.45
"""How far a method's colour goes to white where the page is dark."""
_STYLE = (
    ".ink{fill:#22262b}.grid{stroke:#d5d8dc}.even{stroke:#22262b;stroke-dasharray:4 3}.paper{fill:#ffffff}",
    ".ink{fill:#e6e6e3}.grid{stroke:#3b4047}.even{stroke:#e6e6e3}.paper{fill:#1d2024}",
)
"""Light, dark."""


def plot(findings: Findings) -> str:
    """A whole SVG document, light or dark as its reader has it; the same findings give the same text."""
    left = 20 + BOLD * max(len(title(name)) for name in findings.methods)
    rows = ROW * len(findings.methods)
    width, height = left + PANEL + RIGHT, len(ASPECTS) * (TOP + rows + BOTTOM)
    parts: list[Markup] = []
    for number, aspect in enumerate(ASPECTS):
        top = number * (TOP + rows + BOTTOM) + TOP
        parts += _frame(left, top, top + rows, ASPECT_TITLES[aspect])
        for row, name in enumerate(findings.methods):
            y = top + ROW * (row + 0.5)
            parts.append(_text(left - 10, y + 4.5, title(name), "end"))
            if (level := findings.level(name, aspect)) is not None:
                parts += _bar(level, f"m{row}", left, y)
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="How often raters prefer each of {n} methods, with 95 % intervals" '
        'font-family="sans-serif" font-size="13"><style>{style}</style>'
    ).format(w=f"{width:.0f}", h=f"{height:.0f}", n=len(findings.methods), style=_style(findings.methods))
    ground = Markup('<rect width="100%" height="100%" class="paper"/>')
    return str(head + ground + Markup("\n").join(parts)) + "</svg>\n"


def _style(methods: Sequence[str]) -> Markup:
    """Ours alone: no name of a method is in it."""
    colours = [COLOURS.get(name, GREY) for name in methods]
    light = "".join(f".m{row}{{fill:{colour};stroke:{colour}}}" for row, colour in enumerate(colours))
    dark = "".join(f".m{row}{{fill:{_lighter(c)};stroke:{_lighter(c)}}}" for row, c in enumerate(colours))
    return Markup(f"{_STYLE[0]}{light}@media (prefers-color-scheme: dark){{{_STYLE[1]}{dark}}}")


def _lighter(colour: str) -> str:
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(part + LIGHTER * (255 - part)):02x}" for part in parts)


def _frame(start: float, top: float, bottom: float, name: str) -> Iterator[Markup]:
    yield _text(start + PANEL / 2, top - 12, name, "middle")
    for tick in TICKS:
        x = _at(start, tick / 100)
        yield _line(x, top, x, bottom, "even" if tick == 50 else "grid")
        yield _text(x, bottom + 17, f"{tick} %" if tick else "0", "middle")
    yield _text(start + PANEL / 2, bottom + 35, "of comparisons preferred", "middle")


def _bar(level: Level, name: str, start: float, y: float) -> Iterator[Markup]:
    at = level.preferred
    if at.low is not None and at.high is not None:
        yield Markup('<g stroke-width="3">{}</g>').format(_line(_at(start, at.low), y, _at(start, at.high), y, name))
    yield Markup('<circle cx="{}" cy="{}" r="6" class="{}"/>').format(f"{_at(start, at.mean):.1f}", f"{y:.1f}", name)


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
