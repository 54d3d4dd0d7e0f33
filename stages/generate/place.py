"""Drawing inside a region of a real picture: Blended Latent Diffusion (Avrahami et al., arXiv 2206.02779), as
Break-A-Scene edits a part of a picture.

Before every pass of the UNet the latents outside the region are the real picture's, noised to that step with the noise
that the drawing began with, and after the last one the real picture's own. So what is drawn inside sees its
surroundings at every step, a sampler's memory of earlier steps is of nothing else inside, and nothing random is drawn
beside the initial noise. A decoder does not give a picture's pixels back, so outside the region they are put back.
What is seen may lack what the region is to show, and lie elsewhere (`stages/generate/unseen.py`); what is put back is
the real picture.

A thin region is wider at first, and shrinks to itself by the middle (the paper's progressive shrinking): in the few
cells of its own nothing would take shape while the coarse outlines do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from schemas.errors import SceneError
from stages.generate.unseen import moved
from stages.masks.shapes import Mask, grow
from stages.models.base.base_model import BaseModel
from stages.models.base.pictures import DECODE_AT_ONCE, encode_pictures

THIN = 1 / 16
"""A region in which no circle of this radius fits is thin. Unit: share of the picture's side."""
SHRUNK_BY = 0.5
"""Share of the steps after which a thin region is no wider than itself."""
FEATHER = 1 / 64
"""Rim inside the region across which the drawing comes in. Unit: share of the picture's side."""


@dataclass(frozen=True, eq=False)
class Spot:
    """Where one picture is drawn into a real one.

    picture: the real one, uint8 [side, side, 3]; region: bool [side, side] of it. around: what the drawing has around
    it, uint8 [side, side, 3]; shift: how far it is moved for that (pixels down, pixels right). into: where the real one
    lies, if it is not the scene's own.
    """

    picture: NDArray[np.uint8]
    region: Mask
    around: NDArray[np.uint8]
    shift: tuple[int, int] = (0, 0)
    into: str | None = None

    @property
    def seen(self) -> NDArray[np.uint8]:
        """What the drawing sees, uint8 [side, side, 3]."""
        return moved(self.around, self.shift)

    @property
    def drawn(self) -> Mask:
        """The region as it lies there, where there is room for all of it."""
        return np.roll(self.region, self.shift, axis=(0, 1))


class Blend:
    """The real pictures of one batch, around what is drawn into them: see `stages.models.base.sampler.denoise`."""

    def __init__(self, base: BaseModel, spots: Sequence[Spot], noise: Tensor) -> None:
        """noise: [R, C, h, w], which the drawing begins with. Raises SceneError for a picture of another size than the
        base's."""
        self._source, self._noise = encoded(base, [spot.seen for spot in spots]), noise
        cells = [cells_of(spot.drawn, noise.shape[-1]) for spot in spots]
        self._widths = [_missing_width(cell) for cell in cells]
        # [width + 1, R, 1, h, w]
        self._wide = torch.from_numpy(
            np.stack([[grow(cell, width) for cell in cells] for width in range(max(self._widths) + 1)])
        )[:, :, None].to(noise.device)

    def __call__(self, latents: Tensor, scheduler: Any, step: int) -> Tensor:
        """The latents before a step, or after the last one, with the real pictures' outside the regions."""
        times = scheduler.timesteps
        real = self._source
        if step < len(times):
            real = scheduler.add_noise(real, self._noise, times[step : step + 1])
        return torch.where(self._inside(step / len(times)), latents, real)

    def _inside(self, share: float) -> Tensor:
        """bool [R, 1, h, w]: the regions after this share of the steps."""
        left = max(0.0, 1 - share / SHRUNK_BY)
        widths = [math.ceil(left * width) for width in self._widths]
        return self._wide[widths, range(len(widths))]


def encoded(base: BaseModel, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Latents [R, C, h, w] of R pictures [side, side, 3], the mean of what the VAE says; float32, on the device. Raises
    SceneError for a picture of another size than the base's."""
    for picture in pictures:
        if picture.shape != (base.side, base.side, 3):
            height, width = picture.shape[:2]
            raise SceneError(
                f"the scene's picture is {width} x {height} pixels and models.base draws {base.side} x {base.side}; "
                "name the base that the scene was prepared for"
            )
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
    return torch.cat([encode_pictures(base, part)[0] for part in pixels.split(DECODE_AT_ONCE)])


def cells_of(region: Mask, cells: int) -> Mask:
    """Cells of the latents [cells, cells] of which the region has a pixel: it is drawn whole, to its last pixel."""
    each = len(region) // cells
    return np.asarray(region.reshape(cells, each, cells, each).any(axis=(1, 3)), dtype=bool)


def _missing_width(cells: Mask) -> int:
    """By how many cells a thin region is wider at first; 0 for any other."""
    inner = 0.0 if cells.all() else float(ndimage.distance_transform_edt(cells).max())
    return 0 if cells.all() else max(0, math.ceil(THIN * len(cells) - inner))


def restored(drawn: NDArray[np.uint8], spot: Spot) -> NDArray[np.uint8]:
    """The real picture [side, side, 3] with what was drawn inside the region: outside it every pixel is its own, and
    across a rim inside it the one goes over into the other."""
    real, region = spot.picture, spot.region
    back = np.roll(drawn, (-spot.shift[0], -spot.shift[1]), axis=(0, 1))
    if region.all():
        return back
    rim = max(1, round(FEATHER * len(region)))
    weight = np.minimum(1.0, ndimage.distance_transform_edt(region) / (rim + 1))[..., None]
    mixed = np.rint(weight * back + (1 - weight) * real).astype(np.uint8)
    return np.where(region[..., None], mixed, real)
