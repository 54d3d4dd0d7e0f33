"""Concept selection: from the ~100 overlapping masks of Segment Anything to the 1-4 that a person would name.

Pure numpy; the order of the proposals does not matter. The steps, each a function below:

1. `plausible`: masks that are too small, too large, or run along the picture's border are no concepts.
2. `without_duplicates`: of masks that are nearly the same, the best one stays.
3. `whole_objects`: a head inside a dog goes, the dog stays; but a mask of two dogs goes, and the dogs stay.
4. `disjoint_best`: the best `max_concepts`, each pixel given to one of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from schemas.job import Segment
from stages.masks.pairs import contacts, overlaps, slack
from stages.masks.shapes import Mask, border_share, bounding_box, grow, without_specks
from stages.segment.proposal import Proposal

ISLAND = 0.05
"""Regions of a mask under this share of its largest one are specks."""
HOLE = 0.02
"""Holes of a mask under this share of it are specks."""
FULL_AREA = 0.10
"""From this share of the picture on, a concept does not gain by being larger."""
GROUP_COVER = 0.7
"""A mask is a group only if separate objects explain at least this share of it."""
CLEAR_CONTACT = 0.1
"""Objects are clearly separate if less than this share of each one's outline runs along the others."""
MOST_CONTACT = 0.25
"""From this share on they are parts of one thing. Between the two, SAM's own estimates of quality decide."""
QUALITY_MARGIN = 0.01
"""So much better than the whole must separate objects be, on average, to count as better."""
WITHIN = 0.98
"""Two masks are the same if each lies within a narrow rim of the other with this share of itself."""
KEPT_SHARE = 0.5
"""A concept that loses more of itself to those above it is not worth keeping."""


@dataclass(frozen=True)
class Candidate:
    """A proposal on its way to being a concept; `mask` is cleaned of specks, and disjoint at the end."""

    proposal: Proposal
    mask: Mask

    @cached_property
    def area(self) -> int:
        return int(self.mask.sum())

    @cached_property
    def share(self) -> float:
        return self.area / self.mask.size

    @cached_property
    def border(self) -> float:
        return border_share(self.mask)

    @property
    def quality(self) -> float:
        """SAM's own opinion, 0 to 1."""
        return min(self.proposal.predicted_iou, 1.0) * min(self.proposal.stability_score, 1.0)

    @cached_property
    def score(self) -> float:
        """quality x size x freedom, 0 to 1.

        quality: predicted IoU x stability. size: square root of the area's share, full from `FULL_AREA` on, since
        the eye goes to large things first. freedom: less by the share of the border that it covers, since what runs
        out of the picture is more often ground than thing.
        """
        return self.quality * min(1.0, math.sqrt(self.share / FULL_AREA)) * (1.0 - self.border)

    @cached_property
    def rank(self) -> tuple[float, int, int, int, bytes]:
        """Sort key: best first; ties by position (top, then left), then by the pixels themselves, so that the order
        of the proposals never decides."""
        x, y, _, _ = bounding_box(self.mask)
        return -round(self.score, 6), y, x, -self.area, np.packbits(self.mask).tobytes()


@dataclass(frozen=True)
class Selection:
    """concepts: best first, disjoint. dropped: how many proposals went, by reason."""

    concepts: list[Candidate]
    dropped: Counter[str] = field(default_factory=Counter)


def select_concepts(proposals: Sequence[Proposal], settings: Segment) -> Selection:
    """All four steps. No proposals, or none that is a concept: an empty list, and the reasons in `dropped`."""
    candidates, dropped = plausible(proposals, settings)
    single = without_duplicates(candidates, settings.duplicate_iou)
    whole = whole_objects(single, settings.part_containment)
    dropped["near-duplicates"] = len(candidates) - len(single)
    dropped["parts or groups of other masks"] = len(single) - len(whole)
    concepts = disjoint_best(whole, settings.min_area, settings.max_concepts)
    return Selection(concepts, +dropped)


def plausible(proposals: Sequence[Proposal], settings: Segment) -> tuple[list[Candidate], Counter[str]]:
    """Cleaned masks within the area window and off the border, best first, and why the others went."""
    kept: list[Candidate] = []
    dropped: Counter[str] = Counter()
    for proposal in proposals:
        share = proposal.mask.mean()
        if share < settings.min_area / 2 or share > min(1.0, 2 * settings.max_area):  # cleaning will not save it
            dropped["too small" if share < settings.min_area else "too large"] += 1
            continue
        candidate = Candidate(proposal, without_specks(proposal.mask, ISLAND, HOLE))
        if candidate.share < settings.min_area:
            dropped["too small"] += 1
        elif candidate.share > settings.max_area:
            dropped["too large"] += 1
        elif candidate.border > settings.max_border:
            dropped["along the border"] += 1
        else:
            kept.append(candidate)
    return sorted(kept, key=lambda candidate: candidate.rank), dropped


def without_duplicates(candidates: Sequence[Candidate], most_iou: float) -> list[Candidate]:
    """Candidates, best first, without near-duplicates: of each such pair SAM's favourite stays.

    Near-duplicates are masks with an IoU over `most_iou`, and masks whose outlines never part by more than twice the
    slack: for small and thin things a pixel more all around costs much IoU and means nothing.
    """
    if not candidates:
        return []
    order = sorted(candidates, key=lambda candidate: (-round(candidate.quality, 6), candidate.rank))
    masks = [candidate.mask for candidate in order]
    shared = overlaps(masks, masks)
    areas = np.diag(shared)
    iou = shared / np.maximum(areas[:, None] + areas[None, :] - shared, 1)
    within = overlaps(masks, [grow(mask, 2 * slack(mask)) for mask in masks]) / areas[:, None]
    same = (iou > most_iou) | (np.minimum(within, within.T) > WITHIN)
    kept: list[int] = []
    for i in range(len(order)):
        if not same[i, kept].any():
            kept.append(i)
    return sorted((order[i] for i in kept), key=lambda candidate: candidate.rank)


def whole_objects(candidates: Sequence[Candidate], containment: float) -> list[Candidate]:
    """Candidates, best first, without parts of objects and without groups of objects.

    From the smallest mask to the largest: what lies inside a mask (at least `containment` of itself, give or take the
    slack) is either its parts, and goes, or the objects that it groups, and then the mask itself goes. Because the
    small ones were settled first, what is left inside a mask are whole things, never a part of one of them.
    """
    if not candidates:
        return []
    order = sorted(candidates, key=lambda candidate: (candidate.area, candidate.rank))
    masks = [candidate.mask for candidate in order]
    within = overlaps(masks, [grow(mask, slack(mask)) for mask in masks])
    alive: list[int] = []
    for i, whole in enumerate(order):
        inside = [j for j in alive if within[j, i] >= containment * order[j].area]
        if not is_group(whole, [order[j] for j in inside]):
            alive = [j for j in alive if j not in inside] + [i]
    return sorted((order[i] for i in alive), key=lambda candidate: candidate.rank)


def is_group(whole: Candidate, inside: Sequence[Candidate]) -> bool:
    """Whether a mask is just several separate objects seen as one.

    It is when two or more objects inside it explain most of it and hardly touch: two toys on a shelf. Where they touch
    along more of their outlines (`contacts`), geometry alone cannot tell two leaning toys from a bear's head and body;
    then it is a group only if SAM finds the objects better masks than the whole.
    """
    touching = contacts([candidate.mask for candidate in inside])
    objects = [
        (candidate, contact) for candidate, contact in zip(inside, touching, strict=True) if contact < MOST_CONTACT
    ]
    if len(objects) < 2:
        return False
    explained = np.logical_or.reduce([candidate.mask for candidate, _ in objects]) & whole.mask
    if explained.sum() < GROUP_COVER * whole.area:
        return False
    quality = sum(c.quality * c.area for c, _ in objects) / sum(c.area for c, _ in objects)
    return max(contact for _, contact in objects) < CLEAR_CONTACT or quality > whole.quality + QUALITY_MARGIN


def disjoint_best(candidates: Sequence[Candidate], min_area: float, most: int) -> list[Candidate]:
    """The best `most` candidates with disjoint masks, best first.

    A contested pixel goes to the smaller mask: things lie on top of what is larger than they are. A candidate that
    loses more than half of itself that way, or falls under `min_area`, is dropped and the next best one tried.
    """
    pool = sorted(candidates, key=lambda candidate: candidate.rank)
    while True:
        carved = carve(pool[:most])
        lost = {
            i
            for i, (before, after) in enumerate(zip(pool, carved, strict=False))
            if after.share < min_area or after.area < KEPT_SHARE * before.area
        }
        if not lost:
            return sorted(carved, key=lambda candidate: candidate.rank)
        pool = [candidate for i, candidate in enumerate(pool) if i not in lost]


def carve(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates in the same order, each without the pixels that smaller ones hold."""
    carved = list(candidates)
    taken: Mask | None = None
    for i in sorted(range(len(candidates)), key=lambda i: (candidates[i].area, candidates[i].rank)):
        mask = candidates[i].mask
        carved[i] = replace(candidates[i], mask=mask if taken is None else mask & ~taken)
        taken = mask.copy() if taken is None else taken | mask
    return carved
