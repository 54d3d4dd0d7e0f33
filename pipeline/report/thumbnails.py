"""Pictures of the report: masks drawn over a scene, and thumbnails small enough to stand in the page itself."""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages import pictures

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (0, 0, 0),
)
"""Okabe and Ito's, which the colour-blind tell apart."""
OPACITY = 0.45
SIZES = ((256, 82, 0.25), (256, 70, 0.18), (192, 70, 0.20), (160, 62, 0.19), (128, 55, 0.19), (96, 40, 0.17))
"""(longest side in pixels, WebP quality, usual bytes per pixel of a photograph) of a thumbnail, best first."""


def colour_of(index: int) -> Colour:
    """The colour of a concept: the palette's, then hues as far apart as they get."""
    if index < len(PALETTE):
        return PALETTE[index]
    red, green, blue = colorsys.hsv_to_rgb(index * 0.61803398875 % 1.0, 0.65, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def css_colour(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def ink_on(colour: Colour) -> str:
    """Black or white, whichever is read better on the colour: a contrast of 4.58 at least."""
    return "#000000" if luminance(colour) > 0.179 else "#ffffff"


def luminance(colour: Colour) -> float:
    """Relative luminance as WCAG defines it, 0 to 1."""
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def overlay(picture: NDArray[np.uint8], masks: Sequence[tuple[NDArray[np.bool_], Colour]]) -> NDArray[np.uint8]:
    """Each mask tints the picture and gets an outline in its pure colour, later ones over earlier ones.

    picture: [h, w, 3]; masks: bool [h, w]. The picture given is left as it is.
    """
    tinted = picture.astype(np.float32)
    for mask, colour in masks:
        tinted[mask] = tinted[mask] * (1 - OPACITY) + np.asarray(colour, np.float32) * OPACITY
    drawn = tinted.round().astype(np.uint8)
    for mask, colour in masks:
        drawn[outline(mask)] = colour
    return drawn


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch a pixel outside it; the picture's own border does not count. bool [h, w]."""
    framed = np.pad(mask, 1, mode="edge")
    inside = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return mask & ~inside


def middle(mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Where a mask's number stands: (x, y) of its pixel nearest to its centre of mass, as shares of the picture, so
    that it lies on the mask whatever the shape. None: the mask is empty."""
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return None
    nearest = int(np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2))
    return (float(xs[nearest]) + 0.5) / mask.shape[1], (float(ys[nearest]) + 0.5) / mask.shape[0]


def masked_picture(picture: Image.Image, masks: Sequence[tuple[NDArray[np.bool_], Colour]]) -> Image.Image:
    """The overlay at thumbnail size, so that outlines keep their width. Masks of another size are scaled to fit."""
    small = shrink(picture.convert("RGB"), SIZES[0][0])
    scaled = [
        (np.asarray(Image.fromarray(mask).resize(small.size, Image.Resampling.NEAREST), dtype=bool), colour)
        for mask, colour in masks
    ]
    return Image.fromarray(overlay(np.asarray(small), scaled))


def open_picture(data: bytes) -> Image.Image:
    """RGB. Raises ValueError when the bytes are no picture that a stage could have written."""
    try:
        return pictures.open_picture(data)
    except Exception as error:  # damaged files raise whatever their decoder came upon
        raise ValueError(f"not a picture ({type(error).__name__}: {error})") from error


def shrink(image: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side at most `side` pixels; small ones are not enlarged."""
    size = _fitted(image, side)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def data_uri(image: Image.Image, most_bytes: int) -> str:
    """The picture as a WebP data URI of at most `most_bytes` before base64, or else the smallest that `SIZES` has.

    Sizes at which a photograph would usually not fit are not tried: a report encodes a thousand thumbnails.
    """
    data = b""
    for step, (side, quality, usual) in enumerate(SIZES, 1):
        width, height = _fitted(image, side)
        if usual * width * height > most_bytes and step < len(SIZES):
            continue
        buffer = io.BytesIO()
        shrink(image, side).save(buffer, "WEBP", quality=quality, method=2)
        data = buffer.getvalue()
        if len(data) <= most_bytes:
            break
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")


def _fitted(image: Image.Image, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))
