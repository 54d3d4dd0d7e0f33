"""What the pixels of a mask file say, whatever its mode: a brightness each, or the number of a label or colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.ingest.faults import MaskUnreadable

Codes = NDArray[Any]

MAX_COLOURS = 4096
"""More colours than any label map has, and fewer than a photograph."""

HALF_CLEAR = 127

NEARLY_ALL = 0.99
"""Share of the pixels. What leaves less than the rest clear, in few colours, cuts nothing out."""


@dataclass(frozen=True)
class Plane:
    """codes: unsigned integers [height, width], 0 for the ground. white: the code of full brightness where codes are
    brightnesses, 0 where they are numbers or packed colours (red << 16 | green << 8 | blue). void: codes that tools
    write for "ignore". unit: what a code is called: `value` or `colour`. alpha: whether the codes are alpha, which says
    how much of a pixel is inside and is never a label."""

    codes: Codes
    white: int
    void: frozenset[int]
    unit: str = "value"
    alpha: bool = False


def plane_of(image: Image.Image, bits: int) -> Plane:
    """The plane of a loaded PNG; `bits` a pixel of grey ones.

    Where transparency varies, it is the mask (cut-outs), unless a drawing is opaque nearly everywhere. Grey is
    brightness; so are colours that are shades of one. A palette of colours that starts with black numbers labels, other
    colours stand for themselves.
    Raises MaskUnreadable for a photograph, and for a cut-out that may as well be several labels.
    """
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        alpha = rgba[..., 3]
        varies = alpha.min() != alpha.max()
        if varies and _is_drawing(rgba):
            image = _filled(image, rgba)
        elif varies or not alpha.max():
            _refuse_flat_colours(rgba)
            return Plane(np.ascontiguousarray(alpha), 255, frozenset(), alpha=True)
    if image.mode == "LA":
        image = image.convert("L")
    if image.mode == "1":
        return Plane(np.asarray(image).astype(np.uint8), 1, frozenset())
    if image.mode == "L":
        white = 2**bits - 1
        return Plane(np.asarray(image) // np.uint8(255 // white), white, frozenset({255}))
    if image.mode.startswith("I"):
        codes = np.asarray(image).astype(np.uint16)
        white = 255 if codes.max() <= 255 else 65535
        return Plane(codes, white, frozenset({white}))
    return _palette(image) if image.mode == "P" else _colours(image.convert("RGB"))


def _palette(image: Image.Image) -> Plane:
    indices = np.asarray(image)
    table = np.zeros((256, 3), np.uint8)
    stated = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
    table[: len(stated)] = stated
    used = table[np.unique(indices)]
    if (used == used[:, :1]).all() and len(np.unique(used[:, 0])) == len(used):
        return Plane(table[indices, 0], 255, frozenset({255}))
    if not table[0].any():
        return Plane(indices, 0, frozenset({255}))
    return _colours(image.convert("RGB"))


def _colours(image: Image.Image) -> Plane:
    found = image.getcolors(MAX_COLOURS)
    if found is None:
        raise MaskUnreadable(A_PHOTOGRAPH)
    rgb = np.asarray(image)
    used = np.asarray([colour for _, colour in found], dtype=np.int64)
    bright = used.max(axis=1)
    brightest = used[bright.argmax()]
    shades = np.abs(used * brightest.max() - brightest * bright[:, None]) <= brightest.max()
    if shades.all() and len(np.unique(bright)) == len(used):
        return Plane(rgb.max(axis=2), 255, frozenset({255}))
    return Plane(_packed(rgb), 0, frozenset({0xFFFFFF, 0xE0E0C0}), "colour")  # white; the outlines of Pascal VOC


def _packed(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    packed = np.zeros(rgb.shape[:2], np.uint32)
    for channel in range(3):
        packed = packed * np.uint32(256) + rgb[..., channel]
    return packed


def _is_drawing(rgba: NDArray[np.uint8]) -> bool:
    """Whether the colours of a picture with alpha say what is inside: it is opaque nearly everywhere and no photograph.
    Clear corners and an alpha of 254 come from the program that saved it."""
    inside = rgba[..., 3] > HALF_CLEAR
    return bool(inside.mean() >= NEARLY_ALL and len(np.unique(_packed(rgba)[inside])) <= MAX_COLOURS)


def _filled(image: Image.Image, rgba: NDArray[np.uint8]) -> Image.Image:
    """Its clear pixels in its darkest colour, the ground's: their own was not seen by who drew it."""
    clear = rgba[..., 3] <= HALF_CLEAR
    if not clear.any():
        return image
    brightness = np.where(clear, np.uint16(3 * 256), rgba[..., :3].sum(axis=2, dtype=np.uint16))
    y, x = np.unravel_index(int(brightness.argmin()), brightness.shape)
    ground = image.crop((int(x), int(y), int(x) + 1, int(y) + 1)).resize(image.size, Image.Resampling.NEAREST)
    filled = image.copy()
    filled.paste(ground, mask=Image.fromarray(clear))
    return filled


def _refuse_flat_colours(rgba: NDArray[np.uint8]) -> None:
    """A thing cut out has the many colours of a photograph, or one. A few flat ones may be the labels of several."""
    inside = rgba[..., 3] > HALF_CLEAR
    codes, counts = np.unique(_packed(rgba)[inside], return_counts=True)
    large = counts >= 0.01 * inside.sum()
    if len(codes) <= MAX_COLOURS and large.sum() >= 2 and counts[large].sum() >= 0.9 * inside.sum():
        shown = ", ".join(f"#{code:06x}" for code in codes[large][:3])
        raise MaskUnreadable(
            f"its flat colours ({shown} ...) on a transparent ground may be one thing or a label each; save the thing "
            "in one colour, or the labels on black"
        )


A_PHOTOGRAPH = (
    "it is a photograph and not a mask; save the thing as white on black, or the photograph with all else transparent"
)
