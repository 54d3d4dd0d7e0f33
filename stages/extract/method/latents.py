"""A scene as the trainer sees it: the VAE's moments of the picture and of its mirror image, and masks at two
sizes.

Encoded once, one scene at a time, so that company in the batch cannot change it; sampled anew every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.errors import SceneError
from stages.models.base.base_model import BaseModel
from stages.models.base.pictures import encode_pictures
from stages.pictures import read_picture


@dataclass(frozen=True)
class SceneLatents:
    """Index 0 of the first dimension is the picture, 1 its mirror image.

    mean, std: [2, C, h, w], already times the VAE's scaling factor, on the device.
    masks: [2, N, h, w]; attention_masks: [2, N, a, a]; float32 in [0, 1], on the CPU. picture: [3, H, W] in
    [-1, 1] and picture_masks: [N, H, W], on the CPU, where pictures are composed anew every step.
    """

    mean: Tensor
    std: Tensor
    masks: Tensor
    attention_masks: Tensor
    picture: Tensor | None = None
    picture_masks: Tensor | None = None


def decode_picture(data: bytes, side: int) -> Tensor:
    """A prepared picture's bytes -> [3, side, side] in [-1, 1]."""
    pixels = read_picture(data)
    height, width = pixels.shape[:2]
    if (width, height) != (side, side):
        raise SceneError(
            f"the prepared picture is {width}x{height} pixels, the base model's are {side}x{side}; it was prepared for "
            "another model"
        )
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1).contiguous()


def resize_masks(masks: Tensor, side: int) -> Tensor:
    """masks: [N, H, W] -> [N, side, side] by nearest neighbour."""
    return functional.interpolate(masks[None].float(), size=(side, side), mode="nearest")[0]


def encode_scene(base: BaseModel, picture: Tensor, masks: Tensor, attention_side: int) -> SceneLatents:
    """picture: [3, H, W] in [-1, 1]; masks: bool or float [N, H, W]; attention_side: a. Raises a SceneError
    if a mask has no element left at latent resolution: nothing could be learned from it; or if the latents are not
    finite."""
    mean, std = encode_pictures(base, torch.stack([picture, picture.flip(-1)]))
    if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
        raise SceneError(
            "the picture's latents are not finite: the VAE of models.base encodes it to no numbers, in float32 too; "
            "name a base model with a sound VAE"
        )
    latent_side = base.latent_shape[1]
    mirrored = (masks, masks.flip(-1))
    small = torch.stack([resize_masks(m, latent_side) for m in mirrored])
    empty = (small.flatten(2).amax(2) <= 0).any(0).nonzero().flatten().tolist()
    if empty:
        raise SceneError(
            f"concept {empty[0]} covers no element of the {latent_side}x{latent_side} latents; "
            f"raise segment.min_area or give a larger mask"
        )
    return SceneLatents(
        mean=mean,
        std=std,
        masks=small,
        attention_masks=torch.stack([resize_masks(m, attention_side) for m in mirrored]),
        picture=picture,
        picture_masks=masks.float(),
    )
