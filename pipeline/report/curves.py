"""Loss curves of a scene as inline SVG, drawn here so that the report needs no script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

NAMES = ("diffusion", "attention", "prior")
WIDTH, HEIGHT, MARGIN = 240.0, 84.0, 4.0


@dataclass(frozen=True)
class Curve:
    """One loss. points: (step, value), finite, by step."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def highest(self) -> float:
        return max(value for _, value in self.points)


def curves_of(info: Mapping[str, Any]) -> list[Curve]:
    """The curves in a scene's JSON that have anything to show; absent or odd entries are left out.

    Read as `{"step": [...], "diffusion": [...], ...}` and as `{"diffusion": [[step, value], ...], ...}`.
    """
    found = info.get("curves")
    if not isinstance(found, Mapping):
        return []
    steps = found.get("step")
    curves = []
    for name in NAMES:
        values = found.get(name)
        if not isinstance(values, list):
            continue
        pairs = zip(steps, values, strict=False) if isinstance(steps, list) else values
        points = tuple(sorted(point for pair in pairs if (point := _point(pair)) is not None))
        if points and any(value for _, value in points):
            curves.append(Curve(name, points))
    return curves


def draw(curve: Curve, boundary: float | None = None) -> Markup:
    """The curve over its steps, from 0 up to its highest value; `boundary`: the step at which phase 2 begins."""
    first, last = curve.points[0], curve.points[-1]
    start, span = first[0], max(last[0] - first[0], 1.0)
    top = max(curve.highest, 1e-12)

    def x(step: float) -> float:
        return MARGIN + (step - start) / span * (WIDTH - 2 * MARGIN)

    def y(value: float) -> float:
        return HEIGHT - MARGIN - max(value, 0.0) / top * (HEIGHT - 2 * MARGIN)

    line = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve.points)
    floor = f"{HEIGHT - MARGIN:.1f}"
    parts = [f'<line class="axis" x1="{MARGIN}" y1="{floor}" x2="{WIDTH - MARGIN}" y2="{floor}"/>']
    if boundary is not None and start < boundary < last[0]:
        parts.append(f'<line class="phase" x1="{x(boundary):.1f}" y1="{MARGIN}" x2="{x(boundary):.1f}" y2="{floor}"/>')
    parts.append(f'<polygon class="area" points="{x(first[0]):.1f},{floor} {line} {x(last[0]):.1f},{floor}"/>')
    if len(curve.points) == 1:
        parts.append(f'<circle class="dot" cx="{x(first[0]):.1f}" cy="{y(first[1]):.1f}" r="2.5"/>')
    parts.append(f'<polyline class="curve" points="{line}"/>')
    label = (
        f"{curve.name} loss: {first[1]:.3g} at step {first[0]:.0f}, {last[1]:.3g} at step {last[0]:.0f}, "
        f"highest {top:.3g}"
    )
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        f"{WIDTH:.0f}", f"{HEIGHT:.0f}", label, Markup("".join(parts))
    )


def _point(pair: Any) -> tuple[float, float] | None:
    try:
        step, value = float(pair[0]), float(pair[1])
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    return (step, value) if math.isfinite(step) and math.isfinite(value) else None
