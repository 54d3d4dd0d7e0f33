"""The comparison as Markdown: levels, differences beside what the paper says, and who is on the front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.protocol.statistics.bootstrap import Interval
from pipeline.protocol.statistics.claims import REFERENCE
from pipeline.protocol.statistics.measures import MEASURES, Measure
from pipeline.protocol.statistics.summary import Judged, Summary
from schemas.methods import METHODS

TITLES = {
    "break_a_scene": "Break-A-Scene",
    "ti_m": "TI-m",
    "db_m": "DB-m",
    "cd_m": "CD-m",
    "no_phase1": "no phase 1",
    "no_masked_loss": "no masked loss",
    "no_attention_loss": "no attention loss",
    "no_union_sampling": "no union sampling",
}


def table(summary: Summary) -> str:
    """The whole of `table.md`; the same summary gives the same text."""
    return "\n".join([*_levels(summary), "", *_front(summary), "", *_differences(summary), "", *_claims(summary), ""])


def _levels(summary: Summary) -> Iterator[str]:
    shown = [measure for measure in MEASURES if any(measure.name in found for found in summary.levels.values())]
    yield (
        f"Mean over {len(summary.scenes)} scenes [95 % interval, bootstrap over scenes]. Similarities are cosines; "
        "the others are shares of pictures. ↑ more is better, ↓ less is better."
    )
    yield ""
    heads = [f"{measure.title} {'↑' if measure.better == 'higher' else '↓'}" for measure in shown]
    yield from head(["method", *heads, "scenes", "pictures", "failed"])
    for name in summary.methods:
        found = summary.levels[name]
        cells = [cell(found[m.name].interval, m) if m.name in found else "–" for m in shown]
        scenes = max(level.interval.scenes for level in found.values()) if found else 0
        pictures = max(level.pictures for level in found.values()) if found else 0
        yield line([TITLES[name], *cells, str(scenes), str(pictures), str(summary.failures[name])])


def _front(summary: Summary) -> Iterator[str]:
    if not summary.front:
        yield "No method has both similarities, so there is no front."
        return
    names = [TITLES[name] for name in summary.methods if name in summary.front]
    shares = [f"{TITLES[name]} {100 * share:.0f} %" for name, share in summary.on_front.items()]
    yield (
        f"On the Pareto front of prompt and identity similarity: {', '.join(names)}. Share of resamples in which each "
        f"is on it: {', '.join(shares)}. (Ablations are not on the paper's plot and do not compete.)"
    )


def _differences(summary: Summary) -> Iterator[str]:
    if not summary.differences:
        return
    shown = [m for m in MEASURES if any(m.name in found for found in summary.differences.values())]
    if REFERENCE not in summary.methods or not shown:
        return
    yield f"Difference from {TITLES[REFERENCE]}, scene by scene [95 % interval on the same resamples]. Bold: without 0."
    yield ""
    yield from head(["method", *(measure.title for measure in shown), "scenes"])
    for name in summary.methods:
        found = summary.differences[name]
        if found:
            cells = [difference_cell(found.get(m.name), m) for m in shown]
            yield line([TITLES[name], *cells, str(max(at.scenes for at in found.values()))])


def _claims(summary: Summary) -> Iterator[str]:
    if not summary.judged:
        return
    yield "What the paper says, beside what was found here. The verdict is the interval's: one with 0 in it is noise."
    yield ""
    yield from head(["claim", "of", "measure", "difference here", "verdict"])
    titles = {measure.name: measure for measure in MEASURES}
    for found in summary.judged:
        yield claim_line(found, titles[found.claim.measure])


def claim_line(found: Judged, measure: Measure) -> str:
    of = "the paper" if found.claim.source == "paper" else "ours"
    return line([found.claim.words, of, measure.title, difference_cell(found.difference, measure), found.verdict])


def cell(at: Interval, measure: Measure, sign: bool = False) -> str:
    """`0.412 [0.398, 0.427]`, or in percent for a share."""
    scale, digits, unit = (100.0, 0, " %") if measure.share else (1.0, 3, "")
    form = f"{'+' if sign else ''}.{digits}f"
    mean = f"{at.mean * scale + 0.0:{form}}{unit}"
    if at.low is None or at.high is None:
        return mean
    return f"{mean} [{at.low * scale + 0.0:{form}}, {at.high * scale + 0.0:{form}}]"


def difference_cell(at: Interval | None, measure: Measure) -> str:
    """`**-0.033 [-0.062, -0.008]**`, not bold where the interval holds 0; a dash for what cannot be had."""
    if at is None:
        return "–"
    text = cell(at, measure, sign=True)
    clear = at.low is not None and at.high is not None and not at.low <= 0 <= at.high
    return f"**{text}**" if clear else text


def head(cells: Sequence[str]) -> Iterator[str]:
    """The two lines that begin a table: the first column to the left, the others to the right."""
    yield line(cells)
    yield "|" + "|".join("---" if number == 0 else "---:" for number in range(len(cells))) + "|"


def line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def is_ablation(name: str) -> bool:
    return name not in METHODS
