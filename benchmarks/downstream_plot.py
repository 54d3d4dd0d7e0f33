"""Learning curves as SVG: a panel a measure, a line an arm over the number of real scenes, intervals as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.protocol.page.scatter import Axis, make_axis
from pipeline.protocol.statistics.bootstrap import Interval

PANEL, HEIGHT = 330.0, 380.0
LEFT, TOP, BOTTOM, GAP, LEGEND = 56.0, 30.0, 52.0, 62.0, 310.0
APART = 3.2
"""Between the bars of arms at one number of scenes, pixels."""


@dataclass(frozen=True)
class Line:
    """levels: one a number of scenes."""

    words: str
    colour: str
    levels: list[Interval]


@dataclass(frozen=True)
class Panel:
    """A measure of all arms."""

    title: str
    lines: list[Line]


def plot(panels: Sequence[Panel], counts: Sequence[int]) -> str:
    """A whole SVG document. counts: the numbers of scenes, in the order of every line's levels."""
    width = LEFT + len(panels) * (PANEL + GAP) - GAP + 24 + LEGEND
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{what} of {n} arms over the number of real scenes" font-family="sans-serif" font-size="13" '
        'fill="#22262b"><rect width="100%" height="100%" fill="#ffffff"/>'
    ).format(w=f"{width:.0f}", h=f"{HEIGHT:.0f}", what=" and ".join(p.title for p in panels), n=len(panels[0].lines))
    parts = [piece for n, panel in enumerate(panels) for piece in _panel(panel, counts, LEFT + n * (PANEL + GAP))]
    return str(head + Markup("\n").join([*parts, *_legend(panels[0].lines, width - LEGEND)])) + "</svg>\n"


def _panel(panel: Panel, counts: Sequence[int], left: float) -> list[Markup]:
    floor, right = HEIGHT - BOTTOM, left + PANEL
    ends = [end for line in panel.lines for at in line.levels for end in (at.low, at.mean, at.high) if end is not None]
    up = make_axis(ends, floor, TOP)
    across = [left + PANEL * (place + 0.5) / len(counts) for place in range(len(counts))]
    parts = [_line(left, up.at(tick), right, up.at(tick), "#e3e6ea") for tick in up.ticks]
    parts += [_line(left, floor, right, floor, "#22262b"), _line(left, TOP, left, floor, "#22262b")]
    parts += [_text(left - 7, up.at(tick) + 4, f"{tick + 0.0:.{up.digits}f}", "end") for tick in up.ticks]
    parts += [_text(x, floor + 18, str(count), "middle") for x, count in zip(across, counts, strict=True)]
    parts.append(_text(left + PANEL / 2, HEIGHT - 12, "real scenes", "middle"))
    parts.append(_text(left + PANEL / 2, TOP - 11, panel.title, "middle"))
    for number, line in enumerate(panel.lines):
        shift = APART * (number - (len(panel.lines) - 1) / 2)
        parts.append(_curve(line, [x + shift for x in across], up))
    return parts


def _curve(line: Line, across: Sequence[float], up: Axis) -> Markup:
    places = [(x, up.at(at.mean), at) for x, at in zip(across, line.levels, strict=True)]
    drawn = Markup('<polyline points="{}" fill="none" stroke-width="1.8"/>').format(
        " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    )
    for x, y, at in places:
        if at.low is not None and at.high is not None:
            drawn += _line(x, up.at(at.low), x, up.at(at.high), line.colour)
        drawn += Markup('<circle cx="{}" cy="{}" r="3.4" fill="{}"/>').format(f"{x:.1f}", f"{y:.1f}", line.colour)
    return Markup('<g stroke="{}"><title>{}</title>{}</g>').format(line.colour, line.words, drawn)


def _legend(lines: Sequence[Line], left: float) -> list[Markup]:
    """The arms from the best to the worst at the last number of scenes, as the eye meets them in the panel."""
    parts = []
    for place, line in enumerate(sorted(lines, key=lambda one: -one.levels[-1].mean)):
        y = TOP + 14 + 22 * place
        parts.append(Markup('<circle cx="{}" cy="{}" r="5" fill="{}"/>').format(left + 6, y - 4, line.colour))
        parts.append(_text(left + 18, y, line.words, "start"))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> Markup:
    drawn = Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}"/>')
    return drawn.format(f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}", colour)


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", anchor, escape(words)
    )
