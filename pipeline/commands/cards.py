"""How long FLOPs take on named graphics cards: an estimate from what a card can do at most and the share of it that
such models have been seen to reach (docs/engine.md says where each number is from)."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.commands.bill import STAGES

MEMORY_SHARE = 0.9
"""Of a card's memory: the rest is the driver's, and lost between blocks (`stages/extract/training/batch_size.py`)."""
MOST_SCENES = 32
"""The largest batch that `extract.batch: auto` picks on a card."""
FLOAT32_SHARE = 0.5
"""Share of the float32 peak that the segmenter and the judges are taken to reach. Nobody's measurement."""


LOW = ("extract", "generate")
"""Stages that compute in `models.dtype`; the segmenter and the judges compute in float32."""


@dataclass(frozen=True)
class Card:
    """memory: GB. low, float32: dense peak in bfloat16 and in float32 without TF32, as the maker states them, in
    TFLOP/s; share: of `low`, that drawing and training reach. seen: whether it was measured on this card."""

    name: str
    memory: int
    low: float
    float32: float
    share: float
    seen: bool

    def seconds(self, tflop: float, low: bool) -> float:
        """Of so many TFLOP in bfloat16 (`low`) or in float32."""
        return tflop / (self.low * self.share if low else self.float32 * FLOAT32_SHARE)

    def shares(self, low: bool) -> dict[str, float]:
        """Stage -> the share of the peak of its arithmetic that it is taken to reach."""
        return {stage: self.share if low and stage in LOW else FLOAT32_SHARE for stage in STAGES}

    def scenes_that_fit(self, weights: float, scene: float) -> int:
        """Scenes that train side by side, 0 where not even one fits. Unit of both: bytes."""
        return max(0, min(MOST_SCENES, int((MEMORY_SHARE * self.memory * 1e9 - weights) // scene)))


CARDS = (
    Card("RTX 4090", 24, 165.2, 82.6, 0.50, True),
    Card("L40S", 48, 362.0, 91.6, 0.30, False),
    Card("A100", 80, 312.0, 19.5, 0.30, True),
    Card("H100", 80, 989.4, 66.9, 0.30, False),
)
"""Shares: of drawing with Stable Diffusion 1.5, 16 pictures a batch, float16, not compiled, in diffusers' own table
(3.2 and 3.6 steps a second, each of 32 UNet passes of 0.803 TFLOP). The other two are taken to reach the lower one."""
