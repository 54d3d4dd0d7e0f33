"""How the judge sees a pool's scenes: whole, or one object of them on black or cut out, each a little spoiled.

What generated pictures are like decides the spoiling: moved, turned and scaled objects, the soft edges of an
autoencoder, masks that are a pixel off, hidden parts. All of it runs on the device, on batches.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Scenes(Protocol):
    """Scenes as tensors on one device, and where each of their objects is seen."""

    @property
    def images(self) -> Tensor:
        """uint8 [n, h, w, 3], h and w alike."""

    def mask(self, rows: Tensor, slots: Tensor) -> Tensor:
        """float [b, 1, h, w], 1 where object `slots` of scene `rows` is seen; both int64 [b]."""

    def covered(self, rows: Tensor) -> Tensor:
        """float [b, 1, h, w], 1 where any object of scene `rows` is seen."""


def uniform(count: int, low: float, high: float, like: Tensor) -> Tensor:
    """float [count] on the device of `like`."""
    return torch.rand(count, device=like.device) * (high - low) + low


def chance(count: int, probability: float, like: Tensor) -> Tensor:
    """bool [count]."""
    return torch.rand(count, device=like.device) < probability


def pick(choice: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Row by row `yes` or `no`. choice: bool [b]."""
    return torch.where(choice.view(-1, *[1] * (yes.dim() - 1)), yes, no)


def warp(pictures: Tensor, source: Tensor, target: Tensor, zoom: Tensor, turn: float) -> Tensor:
    """Each picture with its point `source` moved to `target` and, about it, scaled by `zoom`, turned by up to `turn`
    degrees and mirrored half of the time; zeros outside. source, target: [b, 2] x and y in -1..1; zoom: [b]."""
    count = len(pictures)
    angle = uniform(count, -math.radians(turn), math.radians(turn), pictures)
    mirror = 1 - 2 * chance(count, 0.5, pictures).float()
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    matrix = torch.stack([torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1)
    shift = source - (matrix @ target[..., None])[..., 0]
    grid = functional.affine_grid(torch.cat([matrix, shift[..., None]], 2), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False)


def soften(pictures: Tensor) -> Tensor:
    """Half of them blurred as by a small autoencoder: mixed with themselves at a half or a third of the size."""
    size, count = pictures.shape[-2:], len(pictures)
    half = functional.interpolate(functional.avg_pool2d(pictures, 2), size=size, mode="bilinear")
    coarse = functional.interpolate(functional.avg_pool2d(pictures, 3), size=size, mode="bilinear")
    blurred = pick(chance(count, 0.25, pictures), coarse, half)
    weight = uniform(count, 0.2, 1.0, pictures) * chance(count, 0.5, pictures)
    return torch.lerp(pictures, blurred, weight.view(-1, 1, 1, 1))


def spoil(pictures: Tensor) -> Tensor:
    """Softened, with other light, and noisy. pictures: [b, 3, h, w] in 0..1."""
    count = len(pictures)
    light = uniform(count, 0.8, 1.2, pictures)[:, None] * uniform(3 * count, 0.93, 1.07, pictures).view(-1, 3)
    noise = torch.randn_like(pictures) * uniform(count, 0.0, 0.05, pictures).view(-1, 1, 1, 1)
    return (soften(pictures) * light[..., None, None] + noise).clamp(0, 1)


def pixels(pool: Scenes, rows: Tensor) -> Tensor:
    """float [b, 3, h, w] in 0..1."""
    return pool.images[rows].permute(0, 3, 1, 2).float() / 255


def scene_views(pool: Scenes, rows: Tensor) -> Tensor:
    """Whole scenes, mirrored or not, hardly moved: [b, 3, h, w] in 0..1."""
    pictures = pixels(pool, rows)
    count = len(pictures)
    side = pictures.shape[-1]
    edge = side // 8
    edged = functional.pad(pictures, (edge,) * 4, mode="replicate")
    target = uniform(2 * count, -0.05, 0.05, pictures).view(-1, 2)
    moved = warp(edged, torch.zeros_like(target), target, uniform(count, 0.97, 1.08, pictures), turn=3)
    return spoil(moved[..., edge : edge + side, edge : edge + side])


def still_views(pool: Scenes, rows: Tensor) -> Tensor:
    """Whole scenes, not moved, so that it is known where their objects lie: [b, 3, h, w] in 0..1."""
    return spoil(pixels(pool, rows))


def boxes(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Centres [b, 2] and longer sides [b] of masks [b, 1, h, w], in -1..1 coordinates; an empty one fills the frame."""
    side = masks.shape[-1]
    ends = []
    for axis in (2, 3):  # columns, then rows
        line = masks[:, 0].amax(axis - 1) > 0
        line = torch.where(line.any(1, keepdim=True), line, torch.ones_like(line)).float()
        first, last = line.argmax(1), side - line.flip(1).argmax(1)
        ends.append(torch.stack([first, last], 1).float() / side * 2 - 1)
    edges = torch.stack(ends, 1)
    return edges.mean(2), (edges[..., 1] - edges[..., 0]).amax(1)


def jitter_masks(masks: Tensor) -> Tensor:
    """One in six larger by a pixel of 64 a side, one in six smaller by as much, as segmenters err."""
    dice = torch.rand(len(masks), device=masks.device)
    off = max(1, masks.shape[-1] // 64)
    larger = functional.max_pool2d(masks, 2 * off + 1, 1, off)
    smaller = -functional.max_pool2d(-masks, 2 * off + 1, 1, off)
    return pick(dice < 1 / 6, larger, pick(dice > 5 / 6, smaller, masks))


def hide_part(masks: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """One in five cut off along a random line beside its centre. centre: [b, 2]; size: [b], both in -1..1 units."""
    count, _, height, width = masks.shape
    angle = uniform(count, 0, 2 * math.pi, masks)
    y = torch.linspace(-1, 1, height, device=masks.device).view(1, -1, 1) - centre[:, 1].view(-1, 1, 1)
    x = torch.linspace(-1, 1, width, device=masks.device).view(1, 1, -1) - centre[:, 0].view(-1, 1, 1)
    along = angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y
    kept = along < (size * uniform(count, 0.05, 0.45, masks)).view(-1, 1, 1)
    return masks * pick(chance(count, 0.2, masks), kept.float(), torch.ones_like(kept).float())[:, None]


def object_views(pool: Scenes, rows: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """One object a picture: [b, 3, h, w] in 0..1, and bool [b], whether its ground is seen.

    Six in ten stand about where they stood, on black; three in ten fill the square, on black; one in ten is cut out
    with its ground, filling the square."""
    pictures, masks = pixels(pool, rows), pool.mask(rows, slots)
    count = len(rows)
    centre, size = boxes(masks)
    dice = torch.rand(count, device=pictures.device)
    fills, grounded = dice > 0.6, dice > 0.9
    aside = uniform(2 * count, -0.25, 0.25, pictures).view(-1, 2)
    zoom = torch.where(fills, 2 / size * uniform(count, 0.7, 1.0, pictures), uniform(count, 0.75, 1.35, pictures))
    reach = (1 - size * zoom / 2).clamp(min=0)[:, None]
    target = torch.where(fills[:, None], 0.3 * aside, centre + aside).clamp(-reach, reach)
    stacked = torch.cat([pictures, pick(grounded, torch.ones_like(masks), jitter_masks(masks))], 1)
    stacked = warp(stacked, centre, target, zoom, turn=20)
    mask = pick(grounded, stacked[:, 3:], hide_part(stacked[:, 3:], target, size * zoom))
    return spoil(stacked[:, :3]) * (mask > 0.5), grounded


def junk_views(pool: Scenes, rows: Tensor, slots: Tensor) -> Tensor:
    """Pictures of nothing: the ground of other scenes, or noise, in the shape of an object; or noise all over.
    [b, 3, h, w] in 0..1."""
    masks = pool.mask(rows, slots)
    other = rows.roll(1)
    ground = spoil(pixels(pool, other))
    count, side = len(rows), ground.shape[-1]
    fine, coarse = torch.rand_like(ground), torch.rand(count, 3, side // 8, side // 8, device=ground.device)
    noise = pick(chance(count, 0.5, ground), fine, functional.interpolate(coarse, size=ground.shape[-2:]))
    dice = torch.rand(count, device=ground.device)
    return pick(dice < 0.5, ground * masks * (1 - pool.covered(other)), pick(dice < 0.75, noise * masks, noise))
