"""What the paper says of each method beside its own, and whether the intervals here say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.protocol.statistics.bootstrap import Floats, Interval

REFERENCE = "break_a_scene"
Direction = Literal["rises", "falls"]
Verdict = Literal["agrees", "opposite", "within noise"]


@dataclass(frozen=True)
class Claim:
    """`measure` of `method` stands above (`rises`) or below (`falls`) that of break_a_scene.

    source: `paper` (section 4 of arXiv 2305.16311: its scatter plot and its ablations), or `ours` where it has no such
    number.
    """

    method: str
    measure: str
    direction: Direction
    words: str
    source: Literal["paper", "ours"] = "paper"


CLAIMS = (
    Claim("ti_m", "prompt", "rises", "textual inversion follows the prompt better"),
    Claim("ti_m", "identity", "falls", "textual inversion keeps less identity"),
    Claim("db_m", "prompt", "falls", "DreamBooth follows the prompt less"),
    Claim("db_m", "identity", "rises", "DreamBooth keeps more identity"),
    Claim("cd_m", "prompt", "rises", "Custom Diffusion follows the prompt better"),
    Claim("cd_m", "identity", "falls", "Custom Diffusion keeps less identity"),
    Claim("no_phase1", "prompt", "falls", "without phase 1 prompt similarity falls"),
    Claim("no_masked_loss", "prompt", "falls", "without the masked loss prompt similarity falls a lot"),
    Claim("no_attention_loss", "identity", "falls", "without the attention loss identity falls"),
    Claim("no_union_sampling", "identity_combined", "falls", "without union sampling identity of combinations falls"),
    Claim("no_union_sampling", "complete", "falls", "without union sampling fewer combinations are complete", "ours"),
)


def verdict(claim: Claim, difference: Interval | None) -> Verdict:
    """By the interval of `method - break_a_scene` alone: one that holds 0, or that cannot be had, is noise."""
    if difference is None or difference.low is None or difference.high is None:
        return "within noise"
    if difference.low <= 0 <= difference.high:
        return "within noise"
    return "agrees" if (difference.low > 0) == (claim.direction == "rises") else "opposite"


def front(points: dict[str, tuple[float, float]]) -> set[str]:
    """Names of the points that no other dominates: none is at least as good in both and better in one."""
    return {
        name
        for name, (x, y) in points.items()
        if not any(a >= x and b >= y and (a > x or b > y) for a, b in points.values())
    }


def front_shares(resampled: dict[str, tuple[Floats, Floats]]) -> dict[str, float]:
    """Share of the resamples in which each method is on the front. resampled: method -> its two means, [resamples].

    A resample without a value of some method counts for nobody.
    """
    if not resampled:
        return {}
    xs = np.stack([pair[0] for pair in resampled.values()])
    ys = np.stack([pair[1] for pair in resampled.values()])
    whole = np.isfinite(xs).all(0) & np.isfinite(ys).all(0)
    xs, ys = xs[:, whole], ys[:, whole]
    shares: dict[str, float] = {}
    for row, name in enumerate(resampled):
        as_good = (xs >= xs[row]) & (ys >= ys[row])
        better = as_good & ((xs > xs[row]) | (ys > ys[row]))
        free: NDArray[np.bool_] = ~better.any(0)
        shares[name] = float(free.mean()) if len(free) else 0.0
    return shares
