"""A few prepared pictures of a source, and how long preparing them takes here, for `unscene plan --probe`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.errors import SceneError
from schemas.job import JobSpec
from stages.ingest.decode import decode_picture
from stages.ingest.source.files import read_file
from stages.ingest.square import fit_square, square_picture
from stages.ingest.stage import png
from stages.models.base.layout import model_side
from stages.models.place import bundled
from stages.streams import stream_seed

TRIED = 20
"""Files that are read at most: of a source of broken ones none is found."""


def reading_seconds(spec: JobSpec, uris: Sequence[str], count: int) -> float:
    """Seconds from one of the first `count` files to its prepared picture, written as PNG."""
    picked = uris[:count]
    began = time.perf_counter()
    for picture in some_pictures(spec, picked, len(picked)):
        png(Image.fromarray(picture))
    return (time.perf_counter() - began) / len(picked)


def some_pictures(spec: JobSpec, uris: Sequence[str], count: int) -> list[NDArray[np.uint8]]:
    """The first `count` of the files that are pictures, [side, side, 3]; coloured squares where there are too few."""
    side = model_side(bundled(spec.models.base, "models.base"), spec.models.revision)
    found: list[NDArray[np.uint8]] = []
    for uri in uris[:TRIED]:
        if len(found) == count:
            break
        try:
            image = decode_picture(read_file(uri, spec.source, spec.ingest.max_bytes), spec.ingest).image
        except SceneError:  # the run tells of it
            continue
        found.append(np.asarray(square_picture(image, fit_square(*image.size, side, spec.ingest.square))))
    rng = np.random.default_rng(stream_seed(spec.seed, "probe", "pictures"))
    while len(found) < count:
        cells = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        found.append(np.kron(cells, np.ones((side // 4, side // 4, 1), np.uint8)))
    return found
