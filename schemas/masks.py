"""Masks to COCO RLE and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Boolean mask [height, width] -> {"size": [height, width], "counts": str}."""
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_mask(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """The inverse of `encode_mask`."""
    return np.asarray(coco.decode({"size": list(rle["size"]), "counts": rle["counts"].encode("ascii")}), dtype=bool)
