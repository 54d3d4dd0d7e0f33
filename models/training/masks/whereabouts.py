"""What a label map says of each place, taught to the mask model's picture encoder: is a toy here, and where is its
middle?

A mask for one point among several toys asks the encoder to tell toys apart, of which the loss of masks says little
while every answer is "all of them". A place that knows the way to the middle of its own toy knows which toy it belongs
to (Kendall et al. 2018, section 3.3). The head is thrown away when training ends.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.world.pool import MAX_OBJECTS

SIDE = 32
"""Places a side."""
_FAR = 4.0
"""Weight of the error of the way, in shares of the picture's side, beside that of the logit."""


class WayHead(nn.Module):
    """Embeddings [b, channels, grid, grid] to [b, 3, 32, 32]: the logit of a toy's being there, and the way to its
    middle, x and y in shares of the picture's side."""

    def __init__(self, channels: int, grid: int = 16, width: int = 128) -> None:
        super().__init__()
        finer = SIDE // grid
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.SiLU(), nn.Conv2d(width, 3 * finer**2, 1), nn.PixelShuffle(finer)
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """See the class."""
        return self.layers(embeddings)


def way_loss(told: Tensor, labels: Tensor) -> Tensor:
    """Of what `WayHead` told of scenes, a scalar. labels: their label maps, uint8 [b, h, w]."""
    step = labels.shape[-1] // SIDE
    here = labels[:, step // 2 :: step, step // 2 :: step]
    at = (torch.arange(SIDE, device=labels.device) + 0.5) / SIDE
    place = torch.stack(torch.meshgrid(at, at, indexing="xy"))  # [2, 32, 32]: x, then y
    wanted = torch.zeros(len(labels), 2, SIDE, SIDE, device=labels.device)
    for toy in range(1, MAX_OBJECTS + 1):
        of_it = (here == toy)[:, None].float()
        middle = (of_it * place).sum((2, 3)) / of_it.sum((2, 3)).clamp(min=1)
        wanted += of_it * (middle[..., None, None] - place)
    there = (here > 0).float()
    logit = functional.binary_cross_entropy_with_logits(told[:, 0], there)
    missed = (told[:, 1:] - wanted).abs().sum(1)
    return logit + _FAR * (missed * there).sum() / there.sum().clamp(min=1)
