"""How long the judges take here, by asking them: for `unscene plan --probe`. The segmenter has a probe of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.job import JobSpec
from stages.evaluate.cost import MORE_VIEWS
from stages.models.clip import load_clip
from stages.models.device import pick_device
from stages.models.identity import load_identity
from stages.models.stopwatch import seconds_of


class JudgeProbe:
    """The judges of a job, loaded. Raises SpecError as the stage does."""

    def __init__(self, spec: JobSpec) -> None:
        device = str(pick_device())
        self._clip = load_clip(spec.models.clip, device, torch.float32)
        self._identity = load_identity(spec.models.identity, device, torch.float32)

    def picture_seconds(self, pictures: Sequence[NDArray[np.uint8]], things: int) -> float:
        """Seconds for one of several pictures in each of which so many things are found."""
        seen = np.stack(pictures)
        views = np.concatenate([seen] * (things + MORE_VIEWS))
        self._clip.image_features(seen[:1])  # what is slow once
        self._identity.features(seen[:1])
        clip = seconds_of(lambda: self._clip.image_features(seen))
        return (clip + seconds_of(lambda: self._identity.features(views))) / len(seen)
