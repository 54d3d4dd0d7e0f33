"""How long FLOPs take on named graphics cards: an estimate from what a card can do at most and the share of it that
such models have been seen to reach (docs/engine.md says where each number is from)."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.commands.bill import MOST_SCENES, STAGES

MEMORY_SHARE = 0.9
"""Of a card's memory: the rest is the driver's, and lost between blocks (`stages/extract/training/batch_size.py`)."""
FLOAT32_SHARE = 0.5
"""Share of the float32 peak that the judges, and a base in float32, are taken to reach: ViT-H's encoder has 0.55 on an
H200."""
TF32_SHARE, PROMPTS_SHARE = 0.25, 0.02
"""Of the TF32 peak, that SAM's encoder reaches, and that its prompts do: ViT-H on an H200."""
STEP_S = (0.118, 0.207)
"""A step of phase 1 and of phase 2 takes a card no less, however few scenes are in it: so long does Python need to
start its kernels. The least seen with Stable Diffusion 2.1 on an H200, of one scene and of eight. Unit: seconds."""
LOW = ("extract", "generate")
"""Stages that compute in `models.dtype`; the judges compute in float32, and so does the segmenter, on cards by TF32."""


@dataclass(frozen=True)
class Card:
    """memory: GB. low, tf32, float32: dense peak in bfloat16, in TF32 and in float32 without, as the maker states them,
    in TFLOP/s; share: of `low`, that drawing and training reach. seen: whether it was measured on this card."""

    name: str
    memory: int
    low: float
    tf32: float
    float32: float
    share: float
    seen: bool

    def seconds(self, tflop: float, at: str) -> float:
        """Of so many TFLOP in bfloat16 (`low`), `float32`, `tf32` or as SAM's `prompts`."""
        reached = {
            "low": self.low * self.share,
            "float32": self.float32 * FLOAT32_SHARE,
            "tf32": max(self.tf32 * TF32_SHARE, self.float32 * FLOAT32_SHARE),
            "prompts": self.tf32 * PROMPTS_SHARE,
        }
        return tflop / reached[at]

    def shares(self, low: bool) -> dict[str, float]:
        """Stage -> the share of the peak of its arithmetic that it is taken to reach; SAM's prompts reach less."""
        base = self.share if low else FLOAT32_SHARE
        return {stage: base if stage in LOW else TF32_SHARE for stage in STAGES}

    def scenes_that_fit(self, weights: float, scene: float, most: int = MOST_SCENES) -> int:
        """Scenes that train side by side, 0 where not even one fits. Unit of weights and scene: bytes."""
        return max(0, min(most, int((MEMORY_SHARE * self.memory * 1e9 - weights) // scene)))


CARDS = (
    Card("RTX 4090", 24, 165.2, 82.6, 82.6, 0.50, True),
    Card("L40S", 48, 362.0, 183.2, 91.6, 0.30, False),
    Card("A100", 80, 312.0, 156.0, 19.5, 0.30, True),
    Card("H100", 80, 989.4, 494.7, 66.9, 0.20, True),
)
"""Shares: of drawing with Stable Diffusion 1.5, 16 pictures a batch, float16, not compiled, in diffusers' own table
(3.2 and 3.6 steps a second, each of 32 UNet passes of 0.803 TFLOP); of learning and of drawing here with Stable
Diffusion 2.1, measured on an H200, which computes as an H100 does (`benchmarks/README.md`). The L40S is taken to reach
what the A100 does."""
