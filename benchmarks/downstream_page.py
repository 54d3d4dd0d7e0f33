"""What `benchmarks.downstream` came to: Markdown tables of levels and paired differences, and what was drawn and spent.

A seed has toys, scenes, pictures and a test of its own, so intervals are a bootstrap over seeds, and a difference
between two arms is taken within each seed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.downstream_arms import ARMS, PASTE, REFERENCES
from benchmarks.downstream_plot import Line, Panel, plot
from pipeline.protocol.page.table import head, line
from pipeline.protocol.statistics.bootstrap import Interval, interval, resample_counts

RESAMPLES, RESAMPLE_SEED = 10_000, 0
_WHERE = {
    "scenes": "places of the real scenes",
    "shown": "other shown places",
    "unshown": "places that nothing shows",
}
_OF_WHAT = {"combinations": "new combinations", "silhouettes": "new silhouettes"}
Row = Mapping[str, Any]
Pick = Callable[[Row], float]


def mask_ap(row: Row) -> float:
    """Mask AP over all test pictures."""
    return float(row["ap"]["all"])


def told_apart(row: Row) -> float:
    """Average precision of the classifier, mean over the two toys."""
    return float(row["told_apart"]["all"])


class Results:
    """rows: what each training came to. Only seeds that have all of `arms` at all of `counts` are counted, so that
    every number is over the same ones."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.arms = [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]
        self.counts = sorted({int(row["scenes"]) for row in rows})
        self._at = {(row["arm"], int(row["scenes"]), int(row["seed"])): row for row in rows}
        begun = sorted({int(row["seed"]) for row in rows})
        self.seeds = [s for s in begun if all((a, c, s) in self._at for a in self.arms for c in self.counts)]
        self._resamples = resample_counts(len(self.seeds), RESAMPLES, RESAMPLE_SEED)

    def values(self, arm: str, count: int, pick: Pick) -> np.ndarray:
        """[seeds]."""
        return np.array([pick(self._at[arm, count, seed]) for seed in self.seeds], float)

    def level(self, arm: str, count: int, pick: Pick) -> Interval | None:
        """The mean over the seeds."""
        return interval(self.values(arm, count, pick), self._resamples)

    def within(self, arm: str, count: int, pick: Pick) -> Interval | None:
        """The same mean, its interval without what makes a seed hard for all arms (Cousineau 2005)."""
        all_arms = np.stack([self.values(other, count, pick) for other in self.arms])
        return interval(self.values(arm, count, pick) - all_arms.mean(0) + all_arms.mean(), self._resamples)

    def difference(self, arm: str, other: str, count: int | None, pick: Pick) -> Interval | None:
        """Of two arms, within each seed; count None: the mean over all numbers of scenes."""
        counts = self.counts if count is None else [count]
        each = [self.values(arm, one, pick) - self.values(other, one, pick) for one in counts]
        return interval(np.mean(each, axis=0), self._resamples)


def read_results(work: Path) -> Results:
    """All that is there."""
    files = sorted((work / "results").glob("*.json"))
    return Results([json.loads(file.read_text(encoding="utf-8")) for file in files])


def tables(found: Results) -> Iterator[str]:
    """Markdown: levels by number of scenes for both models, then differences, then groups of the test."""
    for title, pick in (("Mask AP of the segmenter", mask_ap), ("Average precision of the classifier", told_apart)):
        yield from (f"**{title}**, by number of real scenes:", "")
        yield from head(["arm", *(f"{count}" for count in found.counts), *(f"less {_short(r)}" for r in REFERENCES)])
        for arm in found.arms:
            levels = [_cell(found.level(arm, count, pick)) for count in found.counts]
            gains = [
                "" if arm == other or other not in found.arms else _cell(found.difference(arm, other, None, pick), True)
                for other in REFERENCES
            ]
            yield line([ARMS[arm].words, *levels, *gains])
        yield ""
    yield from (f"**Less {_short(PASTE)}, at each number of scenes**, mask AP, then average precision:", "")
    yield from head(["arm", *(f"{count}" for count in found.counts), *(f"{count}" for count in found.counts)])
    for arm in found.arms:
        if arm != PASTE and PASTE in found.arms:
            cells = [
                _cell(found.difference(arm, PASTE, c, p), True) for p in (mask_ap, told_apart) for c in found.counts
            ]
            yield line([ARMS[arm].words, *cells])
    for title, key, names in (
        ("**Where and of what**, mask AP", "ap", _WHERE | _OF_WHAT),
        ("**The same**, average precision", "told_apart", _WHERE | _OF_WHAT),
    ):
        yield from ("", f"{title}, mean over the numbers of scenes:", "")
        yield from head(["arm", *names.values()])
        for arm in found.arms:
            yield line([ARMS[arm].words, *(f"{_mean(found, arm, key, name):.3f}" for name in names)])


def drawn(work: Path) -> Iterator[str]:
    """Markdown: what was drawn, what a data set keeps of it, and how much of that a reader finds right."""
    yield from head(["pictures", "drawn", "kept", "of them right", "left out"])
    totals: dict[str, Counter[str]] = {}
    rights: Counter[str] = Counter()
    for file in sorted((work / "pictures").glob("*.json")):
        for kind, told in json.loads(file.read_text(encoding="utf-8")).items():
            if isinstance(told, dict):
                totals.setdefault(kind, Counter()).update(told["left_out"])
                rights[kind] += told["right"]
    for kind, counts in totals.items():
        kept = counts.pop("kept", 0)
        reasons = "; ".join(f"{count} {reason}" for reason, count in counts.most_common())
        share = f"{rights[kind] / kept:.3f}" if kept else ""
        yield line([kind, str(kept + counts.total()), str(kept), share, reasons])


def spent(work: Path) -> str:
    """Wall and processor seconds of all that was done, in words."""
    told = {
        "drawing": list((work / "pictures").glob("*.json")),
        "the start": [work / "start.json"],
        "training and testing": list((work / "results").glob("*.json")),
    }
    parts = []
    for name, files in told.items():
        read = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
        wall, cpu = (sum(float(one[key]) for one in read) for key in ("wall_s", "cpu_s"))
        parts.append(f"{name} {cpu / 60:.0f} ({wall / 60:.0f} by the clock)")
    return "Minutes of one processor: " + ", ".join(parts) + "."


def write_page(work: Path) -> str:
    """Writes `table.md` and `downstream.svg` under `work`; returns the table."""
    found = read_results(work)
    if not found.seeds:
        return "no seed is whole yet"
    text = "\n".join(
        [f"{len(found.seeds)} seeds; mean and 95 % interval over seeds.", "", *tables(found), "", *drawn(work), "",
         spent(work), ""]
    )  # fmt: skip
    (work / "table.md").write_text(text, encoding="utf-8")
    panels = [_panel(found, "mask AP", mask_ap), _panel(found, "average precision", told_apart)]
    (work / "downstream.svg").write_text(plot(panels, found.counts), encoding="utf-8")
    return text


def _panel(found: Results, title: str, pick: Pick) -> Panel:
    lines = []
    for arm in found.arms:
        levels = [found.within(arm, count, pick) for count in found.counts]
        lines.append(Line(ARMS[arm].words, ARMS[arm].colour, [at for at in levels if at is not None]))
    return Panel(title, lines)


def _mean(found: Results, arm: str, key: str, name: str) -> float:
    """Over seeds and numbers of scenes; a group that is empty at one of them is left out there."""
    values = [found.values(arm, count, lambda row: row[key].get(name, np.nan)) for count in found.counts]
    return float(np.nanmean(values))


def _short(arm: str) -> str:
    return {"real": "real only", "jitter": "flips ...", PASTE: "Copy-Paste"}[arm]


def _cell(at: Interval | None, signed: bool = False) -> str:
    """`0.412 (0.380 to 0.441)`; a difference whose interval leaves out 0 is bold."""
    if at is None:
        return ""
    sign = "+" if signed else ""
    if at.low is None or at.high is None:
        return f"{at.mean:{sign}.3f}"
    told = f"{at.mean:{sign}.3f} ({at.low:{sign}.3f} to {at.high:{sign}.3f})"
    return f"**{told}**" if signed and (at.low > 0 or at.high < 0) else told
