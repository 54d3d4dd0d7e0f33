"""What the arms of `benchmarks.downstream` do to pictures: flips, crops, colour jitter, and Copy-Paste.

Copy-Paste is that of Ghiasi et al. (arXiv 2012.07177): things cut out along their masks, scaled at random, flipped,
laid over another picture; what is covered leaves the masks below, and what is hardly seen any more is no thing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.downstream_scenes import Labelled

SCALES = (0.7, 1.4)
"""Of crops."""
COLOUR = (0.85, 1.15)
"""Of brightness, contrast and saturation: never so far that a colour could be taken for another."""
LEAST_LEFT = 0.4
"""A thing of which less than this is left, by a crop or under others, is not labelled any more."""
PASTED_SCALES = (0.8, 1.25)
"""Of what is pasted; the picture is cropped afterwards, which scales it again."""
MOST_PASTED = 3
GREY = 128
"""Around a picture that was made smaller: mirrored surroundings would show its things again, without a label."""
_SOFT = 0.7
"""Blur of a pasted mask's edge, pixels."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
Dice = np.random.Generator


def jittered(shown: Labelled, dice: Dice) -> Labelled:
    """Flipped in half of the cases, scaled and moved, grey around where it is smaller, its colours changed."""
    side, scale = shown.image.shape[0], dice.uniform(*SCALES)
    cut = round(side / scale)
    margin = max(0, cut - side)
    image = np.pad(shown.image, ((margin, margin), (margin, margin), (0, 0)), constant_values=GREY)
    masks = np.pad(shown.masks, ((0, 0), (margin, margin), (margin, margin)))
    top, left = dice.integers(0, len(image) - cut + 1, 2)
    image = _resized(image[top : top + cut, left : left + cut], side, Image.Resampling.BILINEAR)
    parts = [
        _resized(mask[top : top + cut, left : left + cut].astype(np.uint8), side, Image.Resampling.NEAREST) > 0
        for mask in masks
    ]
    if dice.random() < 0.5:
        image, parts = image[:, ::-1], [part[:, ::-1] for part in parts]
    before = [mask.sum() * scale**2 for mask in shown.masks]
    return _left_of(recoloured(image, dice), parts, shown, before)


def recoloured(image: NDArray[np.uint8], dice: Dice) -> NDArray[np.uint8]:
    """Brightness, contrast and saturation each within `COLOUR`."""
    brightness, contrast, saturation = dice.uniform(*COLOUR, 3).astype(np.float32)
    pixels = image.astype(np.float32) * brightness
    grey = (pixels @ _LUMINANCE)[..., None]
    pixels = grey + (pixels - grey) * saturation
    middle = pixels.mean()
    return np.clip(middle + (pixels - middle) * contrast, 0, 255).astype(np.uint8)


def pasted(onto: Labelled, sources: Sequence[Labelled], dice: Dice) -> Labelled:
    """One to three things of `sources` on a picture, each scaled, flipped in half of the cases, recoloured, anywhere
    inside the frame."""
    image, side = onto.image.astype(np.float32), onto.image.shape[0]
    masks = [mask.copy() for mask in onto.masks]
    classes, whole = list(onto.classes), [float(mask.sum()) for mask in onto.masks]
    for _ in range(int(dice.integers(1, MOST_PASTED + 1))):
        source = sources[dice.integers(len(sources))]
        which = int(dice.integers(len(source.classes)))
        pixels, mask = _cut_out(source, which, dice)
        fit = min(1.0, side / max(mask.shape))
        height, width = (max(4, int(length * fit)) for length in mask.shape)
        soft = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize((width, height), Image.Resampling.BILINEAR)
        solid = np.asarray(soft) > 127
        alpha = np.asarray(soft.filter(ImageFilter.GaussianBlur(_SOFT)), np.float32)[..., None] / 255
        colours = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR), np.float32)
        top, left = int(dice.integers(side - height + 1)), int(dice.integers(side - width + 1))
        rows, columns = slice(top, top + height), slice(left, left + width)
        image[rows, columns] = image[rows, columns] * (1 - alpha) + colours * alpha
        for below in masks:
            below[rows, columns] &= ~solid
        laid = np.zeros((side, side), bool)
        laid[rows, columns] = solid
        masks.append(laid)
        classes.append(source.classes[which])
        whole.append(float(solid.sum()))
    shown = Labelled(onto.image, onto.masks, tuple(classes), onto.scene, onto.place)
    return _left_of(np.clip(image, 0, 255).astype(np.uint8), masks, shown, whole)


def _cut_out(source: Labelled, which: int, dice: Dice) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A thing's box of pixels [h, w, 3] and its mask in it, scaled, perhaps flipped, recoloured."""
    mask = source.masks[which]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    pixels, cut = recoloured(source.image[box], dice), mask[box]
    scale = dice.uniform(*PASTED_SCALES)
    size = max(4, round(cut.shape[1] * scale)), max(4, round(cut.shape[0] * scale))
    pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    cut = np.asarray(Image.fromarray(cut.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
    return (pixels[:, ::-1], cut[:, ::-1]) if dice.random() < 0.5 else (pixels, cut)


def _left_of(
    image: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]], shown: Labelled, whole: Sequence[float]
) -> Labelled:
    """With the things of which enough is left of `whole` pixels."""
    kept = [i for i, mask in enumerate(masks) if mask.sum() >= max(1.0, LEAST_LEFT * whole[i])]
    parts = np.stack([masks[i] for i in kept]) if kept else np.zeros((0, *image.shape[:2]), bool)
    classes = tuple(shown.classes[i] for i in kept)
    return Labelled(np.ascontiguousarray(image), parts, classes, shown.scene, shown.place)


def _resized(pixels: NDArray[np.uint8], side: int, how: Image.Resampling) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((side, side), how))
