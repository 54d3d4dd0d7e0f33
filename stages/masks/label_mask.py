"""The concepts found in a picture as one indexed image: what a detection or segmentation set needs."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def label_mask(shape: tuple[int, int], parts: Mapping[int, NDArray[np.bool_]]) -> bytes:
    """PNG of indices: 0 nothing, i + 1 where `parts[i]` [h, w] is; the colours are those of Pascal VOC."""
    labels = np.zeros(shape, np.uint8)
    for index, mask in parts.items():
        labels[mask] = index + 1
    image = Image.frombytes("P", (shape[1], shape[0]), labels.tobytes())
    image.putpalette([channel for number in range(256) for channel in voc_colour(number)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def voc_colour(number: int) -> tuple[int, int, int]:
    """Colour of a label as the devkit of Pascal VOC defines it: its bits, dealt out to red, green and blue in turn."""
    channels = [0, 0, 0]
    for place in range(8):
        bits = number >> (3 * place)
        for channel in range(3):
            channels[channel] |= ((bits >> channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]
