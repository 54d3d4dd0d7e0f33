"""How long looking for things takes here, by looking for some: for `unscene plan --probe`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.job import JobSpec
from stages.models.device import pick_device
from stages.models.sam import load_sam
from stages.models.sam_files import FIELD
from stages.models.stopwatch import seconds_of
from stages.segment.sam.proposer import Proposer

WHOLE = 16
"""Grids up to this side are run as they are; of a larger one the time is a line in the number of its prompts."""


class SegmentProbe:
    """The segmenter of a job, or its judges', loaded. Raises SpecError as the stage does."""

    def __init__(self, spec: JobSpec, judges: bool = False) -> None:
        name, field = spec.judges_sam if judges else (spec.models.sam, FIELD)
        self._settings = spec.judging if judges else spec.segment
        self._sam = load_sam(name, str(pick_device()), field)

    def picture_seconds(self, pictures: Sequence[NDArray[np.uint8]]) -> float:
        """Seconds for one of several pictures of one size that go side by side."""
        side = self._settings.points_per_side
        self._look(pictures, 1)  # what is slow once
        if side <= WHOLE:
            return self._look(pictures, side) / len(pictures)
        few, more = side // 8, side // 4
        brief, longer = self._look(pictures, few), self._look(pictures, more)
        prompt = max(0.0, longer - brief) / (more**2 - few**2)
        return (brief + prompt * (side**2 - few**2)) / len(pictures)

    def _look(self, pictures: Sequence[NDArray[np.uint8]], side: int) -> float:
        proposer = Proposer(self._sam, self._settings.model_copy(update={"points_per_side": side}))
        return seconds_of(lambda: list(proposer.propose_all(pictures)))
