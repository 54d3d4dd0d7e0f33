"""The paper's plot as SVG: prompt similarity against identity similarity, a point a method, intervals as bars.

Labels take the first place around their point that covers no point, no other label and no bar's middle, nearest places
first; one that had to go far gets a line to its point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from pipeline.protocol.page.table import TITLES, is_ablation
from pipeline.protocol.statistics.summary import AXES, Summary

WIDTH, HEIGHT = 720.0, 520.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 20.0, 20.0, 56.0
LETTER, BOLD, LINE = 7.6, 8.8, 15.0
"""Width of a letter, plain and bold, and height of a line of a label, pixels, a little generous."""
DOT = 6.0
COLOURS = {"break_a_scene": "#d1495b", "ti_m": "#00798c", "db_m": "#2e4057", "cd_m": "#66a182"}
GREY = "#8a8f98"
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Dot:
    """A method on the page. x, y: pixels; bars: its intervals' ends, (left, right, top, bottom), pixels."""

    name: str
    x: float
    y: float
    bars: Box | None

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def colour(self) -> str:
        return COLOURS.get(self.name, GREY)

    @property
    def box(self) -> Box:
        return self.x - DOT, self.y - DOT, self.x + DOT, self.y + DOT


@dataclass(frozen=True)
class Axis:
    """low, high: values at the two ends, in pixels `start` and `end`; ticks: values with a number."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    digits: int

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def scatter(summary: Summary) -> str:
    """A whole SVG document; methods without both similarities are not on it."""
    shown = [name for name in summary.methods if all(axis in summary.levels[name] for axis in AXES)]
    spans = {name: [_span(summary, name, axis) for axis in AXES] for name in shown}
    across = make_axis([v for x, _ in spans.values() for v in x], LEFT, WIDTH - RIGHT)
    up = make_axis([v for _, y in spans.values() for v in y], HEIGHT - BOTTOM, TOP)
    dots = []
    for name, (x, y) in spans.items():
        bars = (across.at(x[0]), across.at(x[2]), up.at(y[2]), up.at(y[0]))
        dots.append(Dot(name, across.at(x[1]), up.at(y[1]), bars))
    parts = [*_frame(across, up), *_front_line(summary, dots)]
    parts += [piece for dot in dots for piece in _bars(dot)] + [_dot(dot) for dot in dots]
    parts += [piece for dot, box in zip(dots, place_labels(dots), strict=True) for piece in _label(dot, box)]
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="Prompt similarity against identity similarity of {n} methods" '
        'font-family="sans-serif" font-size="13" fill="#22262b">'
    ).format(w=f"{WIDTH:.0f}", h=f"{HEIGHT:.0f}", n=len(dots))
    return (
        str(head + Markup('<rect width="100%" height="100%" fill="#ffffff"/>') + Markup("\n").join(parts)) + "</svg>\n"
    )


def make_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis that holds all values with some room, and about five round ticks."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.08 * (high - low), 0.005)
    low, high = low - room, high + room
    step = next(
        size * 10.0**power
        for power in range(-4, 3)
        for size in (1.0, 2.0, 5.0)
        if (high - low) / (size * 10.0**power) <= 7
    )
    ticks = tuple(number * step for number in range(int(low // step), int(high // step) + 2))
    digits = max(2, len(f"{step:.4f}".rstrip("0").partition(".")[2]))
    return Axis(low, high, start, end, tuple(tick for tick in ticks if low <= tick <= high), digits)


def place_labels(dots: Sequence[Dot]) -> list[Box]:
    """Boxes of the labels, in the order of the dots, inside the frame. Where no place is free: the least covered."""
    taken = [dot.box for dot in dots]
    boxes: list[Box] = []
    for dot in dots:
        width = (LETTER if is_ablation(dot.name) else BOLD) * len(dot.title)
        best = min(_places(dot, width), key=lambda box: sum(_shared(box, other) for other in [*taken, *boxes]))
        boxes.append(best)
    return boxes


def _places(dot: Dot, width: float) -> list[Box]:
    """Candidate boxes, nearest first: right above, left above, right below, left below, above, below, then farther."""
    found: list[Box] = []
    for far in range(12):
        gap = DOT + 3 + 10.0 * far
        lefts = (dot.x + gap, dot.x - gap - width, dot.x - width / 2)
        tops = (dot.y - gap - LINE, dot.y + gap)
        sides = [(left, top) for top in tops for left in lefts]
        sides += [(lefts[0], dot.y - LINE / 2), (lefts[1], dot.y - LINE / 2)]
        found += [(left, top, left + width, top + LINE) for left, top in sides]
    inside = [b for b in found if b[0] >= LEFT and b[2] <= WIDTH - RIGHT and b[1] >= TOP and b[3] <= HEIGHT - BOTTOM]
    return inside or found


def _shared(one: Box, other: Box) -> float:
    """Area that two boxes share, pixels squared."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _span(summary: Summary, name: str, axis: str) -> tuple[float, float, float]:
    at = summary.levels[name][axis].interval
    return (at.mean if at.low is None else at.low, at.mean, at.mean if at.high is None else at.high)


def _frame(across: Axis, up: Axis) -> list[Markup]:
    floor, side = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        Markup('<g stroke="#e3e6ea">')
        + Markup("").join(_line(across.at(t), TOP, across.at(t), floor) for t in across.ticks)
        + Markup("").join(_line(LEFT, up.at(t), side, up.at(t)) for t in up.ticks)
        + Markup("</g>"),
        Markup('<g stroke="#22262b">')
        + _line(LEFT, floor, side, floor)
        + _line(LEFT, TOP, LEFT, floor)
        + Markup("</g>"),
    ]
    parts += [_text(across.at(t), floor + 18, f"{t + 0.0:.{across.digits}f}", "middle") for t in across.ticks]
    parts += [_text(LEFT - 8, up.at(t) + 4, f"{t + 0.0:.{up.digits}f}", "end") for t in up.ticks]
    parts.append(_text((LEFT + side) / 2, HEIGHT - 12, "prompt similarity →", "middle"))
    middle = (TOP + floor) / 2
    turned = Markup('<g transform="rotate(-90 18 {y})">{t}</g>')
    parts.append(turned.format(y=f"{middle:.1f}", t=_text(18, middle, "identity similarity →", "middle")))
    return parts


def _front_line(summary: Summary, dots: Sequence[Dot]) -> list[Markup]:
    """Steps between the methods of the front: whatever lies below and left of them is dominated."""
    ends = sorted((dot.x, dot.y) for dot in dots if dot.name in summary.front)
    if len(ends) < 2:
        return []
    points = [f"{ends[0][0]:.1f},{ends[0][1]:.1f}"]
    for (left, _), (right, low) in pairwise(ends):
        points += [f"{left:.1f},{low:.1f}", f"{right:.1f},{low:.1f}"]
    drawn = Markup('<polyline points="{}" fill="none" stroke="#c8ccd2" stroke-width="2" stroke-dasharray="5 4"/>')
    return [drawn.format(" ".join(points))]


def _bars(dot: Dot) -> list[Markup]:
    if dot.bars is None:
        return []
    left, right, top, bottom = dot.bars
    group = Markup('<g stroke="{}" stroke-width="1.4" opacity="0.75">{}{}</g>')
    return [group.format(dot.colour, _line(left, dot.y, right, dot.y), _line(dot.x, top, dot.x, bottom))]


def _dot(dot: Dot) -> Markup:
    """Methods are full, ablations hollow."""
    fill = "#ffffff" if is_ablation(dot.name) else dot.colour
    drawn = Markup('<circle cx="{}" cy="{}" r="{}" fill="{}" stroke="{}" stroke-width="2"><title>{}</title></circle>')
    return drawn.format(f"{dot.x:.1f}", f"{dot.y:.1f}", f"{DOT:.0f}", fill, dot.colour, dot.title)


def _label(dot: Dot, box: Box) -> list[Markup]:
    parts = []
    near_x, near_y = min(max(dot.x, box[0]), box[2]), min(max(dot.y, box[1]), box[3])
    if abs(near_x - dot.x) + abs(near_y - dot.y) > 4 * DOT:
        parts.append(
            Markup('<g stroke="{}" stroke-width="0.8">{}</g>').format(GREY, _line(dot.x, dot.y, near_x, near_y))
        )
    middle = (box[0] + box[2]) / 2
    weight = Markup("") if is_ablation(dot.name) else Markup(' font-weight="bold"')
    text = Markup('<text x="{}" y="{}" text-anchor="middle" fill="{}"{}>{}</text>')
    parts.append(text.format(f"{middle:.1f}", f"{box[3] - 3.5:.1f}", _ink(dot), weight, dot.title))
    return parts


def _ink(dot: Dot) -> str:
    return "#5d636b" if is_ablation(dot.name) else dot.colour


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}"/>').format(f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}")


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", anchor, escape(words)
    )
