"""The training pictures of the paper's baselines: a step's concepts pasted on a random solid colour (section 4.1).

Composed and encoded anew every step, for the colour is new every time; all scenes of the batch in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stages.extract.method.draws import Draw
from stages.extract.method.latents import SceneLatents
from stages.extract.method.union_sampling import union_mask
from stages.models.base.base_model import BaseModel
from stages.models.base.pictures import encode_pictures


def paste(picture: Tensor, mask: Tensor, colour: Tensor) -> Tensor:
    """picture: [3, H, W]; mask: [H, W] in [0, 1]; colour: [3] -> [3, H, W]; a soft edge blends."""
    return picture * mask + colour[:, None, None] * (1.0 - mask)


def pasted_moments(base: BaseModel, scenes: Sequence[SceneLatents], draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
    """Mean and std [S, C, h, w] of this step's pictures, mirrored where the draw says so."""
    pictures = []
    for scene, draw in zip(scenes, draws, strict=True):
        if draw.colour is None or scene.picture is None or scene.picture_masks is None:
            raise ValueError("pasted pictures need the scene's picture and masks, and draws with a colour")
        mask = union_mask(scene.picture_masks, draw.subset)
        picture = paste(scene.picture, mask, torch.tensor(draw.colour))
        pictures.append(picture.flip(-1) if draw.flip else picture)
    return encode_pictures(base, torch.stack(pictures))
