"""Prompts to train the mask model with, drawn from label maps in batches, on the device that they are on.

A label map says of each pixel which object is visible there: 0 for the ground, i for object i - 1 of the scene. It is
exact, because the visible masks of a scene are disjoint, and takes one byte a pixel whatever the number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.training.world.pool import MAX_OBJECTS
from models.training.world.scene import Scene

MIN_PIXELS = 12
"""An object with fewer visible pixels is not asked for."""
RIM = 2
"""A point at an edge is at most so many pixels from it."""
BOX_NOISE = 0.08
"""A box's corners are off by up to this share of its sides."""


@dataclass(frozen=True)
class Mix:
    """Shares of what is asked for. What is left over of 1 are points anywhere on the ground, shadows included."""

    inside: float = 0.45
    """A point anywhere on an object."""
    edge: float = 0.15
    """A point of an object within `RIM` pixels of its edge."""
    box: float = 0.12
    """An object's box."""
    beside: float = 0.08
    """A point of the ground within `RIM` pixels of an object."""


OBJECT_POINTS = Mix(1.0, 0.0, 0.0, 0.0)
"""One point anywhere on an object: the mix to measure with."""
EDGE_POINTS = Mix(0.0, 1.0, 0.0, 0.0)
"""One point of an object at its edge."""


@dataclass(frozen=True)
class LabelledScenes:
    """images: uint8 [n, 3, h, w]; labels: uint8 [n, h, w], their label maps; on one device."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, pictures: NDArray[np.uint8], labels: NDArray[np.uint8], device: str | torch.device) -> LabelledScenes:
        """pictures: uint8 [n, h, w, 3]; labels: uint8 [n, h, w]; on the host. On the CPU what is mapped into memory
        stays there, so that several processes hold a pool once."""
        images = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)
        return cls(images, torch.from_numpy(labels).to(device))

    def picked(self, count: int, generator: torch.Generator) -> LabelledScenes:
        """`count` scenes at random, with repetition."""
        rows = torch.randint(len(self.labels), (count,), generator=generator, device=self.labels.device)
        return LabelledScenes(self.images[rows], self.labels[rows])


def label_scenes(scenes: list[Scene], device: str | torch.device) -> LabelledScenes:
    """Scenes of at most `MAX_OBJECTS` objects."""
    labels = np.zeros((len(scenes), *scenes[0].image.shape[:2]), np.uint8)
    for labelled, scene in zip(labels, scenes, strict=True):
        for number, mask in enumerate(scene.masks, 1):
            labelled[mask] = number
    return LabelledScenes.of(np.stack([scene.image for scene in scenes]), labels, device)


def recoloured(scenes: LabelledScenes, generator: torch.Generator) -> LabelledScenes:
    """The same scenes in more variety: half of them mirrored; each channel up to 20 % brighter or darker; one in eight
    with its channels in reverse order."""
    images, labels = scenes.images, scenes.labels
    count, device = len(images), images.device
    mirrored, reversed_ = torch.rand((2, count), generator=generator, device=device) < torch.tensor(
        [[0.5], [0.125]], device=device
    )
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    labels = torch.where(mirrored[:, None, None], labels.flip(2), labels)
    images = torch.where(reversed_[:, None, None, None], images.flip(1), images)
    gain = 0.8 + 0.4 * torch.rand((count, 3, 1, 1), generator=generator, device=device)
    return LabelledScenes((images * gain).clamp(max=255).byte(), labels)


@dataclass(frozen=True)
class Prompts:
    """P prompts over a batch of scenes. scene: int64 [P], the scene each asks about; points: float [P, 2, 2], x and y
    in pixels; labels: int64 [P, 2] in segment-anything's code (1 point, -1 padding, 2 and 3 box corners);
    masks: bool [P, h, w], the right answers: the whole visible object, or the whole ground."""

    scene: Tensor
    points: Tensor
    labels: Tensor
    masks: Tensor


def draw_prompts(label_maps: Tensor, per_scene: int, generator: torch.Generator, mix: Mix | None = None) -> Prompts:
    """`per_scene` prompts of each label map (uint8 [B, h, w]), scene by scene, of the kinds that `mix` says.

    A scene without an object of `MIN_PIXELS` is asked for its ground, one without ground for its objects. Points lie
    anywhere in their pixel, because a grid of points does. `generator` is on the maps' device.
    """
    mix, device = mix or Mix(), label_maps.device
    count, height, width = label_maps.shape
    total = count * per_scene

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    limits = torch.tensor([mix.inside, mix.edge, mix.box, mix.beside], device=device).cumsum(0)
    kind = torch.bucketize(uniform(total), limits, right=True)  # 0 inside, 1 edge, 2 box, 3 beside, 4 ground
    scene = torch.arange(count, device=device).repeat_interleave(per_scene)
    names = torch.arange(MAX_OBJECTS + 1, device=device, dtype=torch.uint8)
    areas = (label_maps.flatten(1)[:, None] == names[:, None]).sum(2)  # [B, objects + 1], the ground first
    askable = (areas >= MIN_PIXELS).float()
    askable[:, 0] = (askable[:, 1:].sum(1) == 0).float()
    target = torch.multinomial(askable, per_scene, replacement=True, generator=generator).flatten()
    target = torch.where((kind >= 3) & (areas[scene, 0] > 0), 0, target)
    masks = label_maps[scene] == target[:, None, None]
    room = masks & (near(~masks, RIM) | ~((kind == 1) | (kind == 3))[:, None, None])
    room = torch.where(room.flatten(1).any(1)[:, None, None], room, masks)  # ground without objects has no edge
    place = (uniform(total, height * width) + room.flatten(1)).argmax(1)
    point = torch.stack([place % width, place // width], 1) + uniform(total, 2) - 0.5
    points = torch.stack([point, torch.zeros_like(point)], 1)
    boxes = box_corners(masks)
    boxes = boxes + (uniform(total, 2, 2) * 2 - 1) * BOX_NOISE * (boxes[:, 1:] - boxes[:, :1])
    is_box = (kind == 2) & (target > 0)
    points = torch.where(is_box[:, None, None], boxes, points)
    points = points.clamp(min=0).minimum(torch.tensor([width - 1.0, height - 1.0], device=device))
    labels = torch.where(is_box[:, None], torch.tensor([2, 3], device=device), torch.tensor([1, -1], device=device))
    return Prompts(scene, points, labels, masks)


def near(masks: Tensor, radius: int) -> Tensor:
    """Pixels within `radius` rows and columns of the masks; bool [P, h, w]."""
    return functional.max_pool2d(masks[:, None].float(), 2 * radius + 1, 1, radius)[:, 0] > 0


def box_corners(masks: Tensor) -> Tensor:
    """First and last column and row of each mask, [P, 2, 2]: x and y of its upper left and lower right pixel; float.
    masks: bool [P, h, w], none of them empty."""
    corners = []
    for any_ in (masks.any(1), masks.any(2)):
        last = any_.shape[1] - 1
        corners.append((any_.byte().argmax(1), last - any_.flip(1).byte().argmax(1)))
    return torch.stack([torch.stack(corner, 1) for corner in zip(*corners, strict=True)], 1).float()
