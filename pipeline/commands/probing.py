"""The process of `unscene plan --probe`: it loads the models of a job, works with each for a few seconds, and says on
stdout, a JSON a line, what it found. A process of its own, so that it can be ended, and its memory is free again.

What would not fit into the time is not begun: it is counted from the FLOP/s of the first pass of the UNet.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from schemas.job import JobSpec
from stages.extract.training.probe import STEPS, batch_size, scene_seconds
from stages.generate.probe import FEW, MORE, pass_seconds, picture_seconds
from stages.handles.cost import THROUGH_FROZEN, TO_CONTEXT
from stages.handles.scene_model import SceneModel
from stages.ingest.census import take_census
from stages.ingest.probe import reading_seconds, some_pictures
from stages.models.base.loading import load_base
from stages.models.device import pick_device, pick_dtype
from stages.models.place import bundled
from stages.models.stopwatch import device_count, device_name, use_threads

UNIT = 4
"""Scenes of one unit of segment and of generate (`pipeline/stage_kinds.py`)."""
AUTO_SCENES = 3
"""Scenes that `extract.batch: auto` trains for a step to find its size."""


class Probe:
    """asked: `spec`; `threads` of a worker; `scenes` a worker can have side by side at most; `concepts` of a scene;
    `forward`, `look`, `seen`, `picture`: TFLOP of a pass of the UNet, of looking for things in a picture, of the
    judges' looking, of drawing one;
    `budget_s`."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.spec = JobSpec.model_validate(asked["spec"])
        self.left = float(asked["budget_s"])
        self.rate = 0.0

    def run(self) -> None:
        """Everything, in the order in which a plan is most helped by it."""
        use_threads(self.asked["threads"])
        tell(device=device_name(), gpus=device_count())
        uris = [picked.uri for picked in take_census(self.spec).pictures] if self.spec.source.uri else []
        if uris:
            self._timed("ingest", lambda: reading_seconds(self.spec, uris, UNIT))
        self._base()
        if not self.spec.source.handles:
            self._segmenter("segment", False, uris)
        if self.spec.evaluate.enabled and self._segmenter("seen", True, uris):
            from stages.evaluate.probe import JudgeProbe

            tell(doing="loading the judges")
            judge, pictures = JudgeProbe(self.spec), some_pictures(self.spec, uris, UNIT)
            self._timed("judges", lambda: judge.picture_seconds(pictures, self.asked["concepts"]))
        tell(done=True)

    def _base(self) -> None:
        spec, device = self.spec, pick_device()
        dtype = pick_dtype(spec.models.dtype, device)
        tell(doing="loading the base")
        base = load_base(bundled(spec.models.base, "models.base"), spec.models.revision, dtype, device)
        model = SceneModel(base, spec.extract.placeholder, spec.extract.attention_maps)
        forward = self.asked["forward"]
        self.rate = forward / self._timed("pass", lambda: pass_seconds(model))
        rows = spec.generate.batch * (2 if spec.generate.guidance > 1 else 1)
        if self.asked["picture"] and self._fits(forward * rows * (FEW + MORE + 2)):  # and the VAE's part
            picture = self._timed("generate", lambda: picture_seconds(model, spec, UNIT, self.asked["concepts"]))
            self.rate = max(self.rate, self.asked["picture"] / picture)
        if spec.source.handles:
            return
        settings = spec.extract
        samples = 2 if settings.prior.weight > 0 else 1
        step = forward * max(TO_CONTEXT, THROUGH_FROZEN * samples if settings.phase2.steps else 0.0)
        size = 0
        if settings.batch != "auto" or self._fits(AUTO_SCENES * step):
            size = int(self._timed("batch", lambda: float(batch_size(model, settings, self.asked["scenes"]))))
        while size and not self._fits(size * step * 2 * (STEPS + 3)):
            size //= 2
        if size:
            tell(found="scenes", value=size)
            self._timed("extract", lambda: scene_seconds(model, settings, size))

    def _segmenter(self, what: str, judges: bool, uris: list[str]) -> bool:
        """Of the job or of its judges; whether there was time for it."""
        from stages.segment.probe import SegmentProbe

        tell(doing="loading the segmenter")
        segmenter = SegmentProbe(self.spec, judges)
        pictures = some_pictures(self.spec, uris, UNIT)
        while pictures and not self._fits(self.asked["seen" if judges else "look"] * len(pictures)):
            pictures.pop()
        if pictures:
            self._timed(what, lambda: segmenter.picture_seconds(pictures))
        return bool(pictures)

    def _fits(self, tflop: float) -> bool:
        """Whether so much is likely to be done in the time that is left."""
        return tflop / self.rate < self.left

    def _timed(self, what: str, work: Callable[[], float]) -> float:
        tell(begin=what)
        began = time.monotonic()
        found = work()
        self.left -= time.monotonic() - began
        tell(found=what, value=found)
        return found


def tell(**word: Any) -> None:
    """A line for the process that waits."""
    print(json.dumps(word), flush=True)


if __name__ == "__main__":
    Probe(json.load(sys.stdin)).run()
