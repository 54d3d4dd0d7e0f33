"""The pictures of `generate.place.given` and their masks, prepared as a scene's own are, when they are first needed."""

from __future__ import annotations

import logging
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.outcomes import as_told
from stages.generate.prompts import Variation
from stages.ingest.census import Picked
from stages.ingest.drawn_into import prepared, preparer
from stages.ingest.receivers import as_source, receivers
from stages.masks.shapes import Mask
from stages.pictures import read_mask, read_picture
from stages.streams import stream_seed

KEPT = 64
"""Prepared pictures that are held in memory."""

Receiver = tuple[NDArray[np.uint8], Mask, str]
"""A picture [side, side, 3], the mask [side, side] in which something is drawn, and where the picture lies."""

log = logging.getLogger(__name__)


class GivenPictures:
    """All of the job's. A scene begins somewhere among them, by the seed, and goes on through all of them; then with
    the next mask of each."""

    def __init__(self, spec: JobSpec) -> None:
        """Raises SpecError where there is none."""
        self._seed, self._source, self._pictures = spec.seed, as_source(spec), receivers(spec)
        self._ingest = preparer(self._source)
        self._prepared: OrderedDict[int, list[Receiver]] = OrderedDict()

    def turn(self, picture: Variation) -> Receiver:
        """What this one is drawn into. A picture that cannot be read is told of, and the next one takes its turn.
        Raises SceneError where none can be."""
        count = len(self._pictures)
        turn = stream_seed(self._seed, picture.scene_id, "place/given") % count + picture.number
        for at in range(turn, turn + count):
            if found := self._receivers(at % count):
                return found[turn // count % len(found)]
        raise SceneError(
            "generate.place.given: none of its pictures can be read with its masks; run `unscene check` on that folder"
        )

    def _receivers(self, number: int) -> list[Receiver]:
        """One a mask of the picture; none where it cannot be used."""
        if number not in self._prepared:
            self._prepared[number] = self._prepare(self._pictures[number])
            if len(self._prepared) > KEPT:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(number)
        return self._prepared[number]

    def _prepare(self, picked: Picked) -> list[Receiver]:
        output = prepared(picked, self._ingest, self._source)
        if output.failure is not None:
            log.warning("generate.place.given: %s is not drawn into: %s", as_told(picked.uri), output.failure.message)
            return []
        picture = read_picture(output.files["given.png"])
        masks = [data for name, data in output.files.items() if name.startswith("given.mask")]
        return [(picture, read_mask(data), as_told(picked.uri)) for data in masks]
