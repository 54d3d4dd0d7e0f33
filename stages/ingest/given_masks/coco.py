"""Masks from a COCO instances JSON: the annotations of one image, drawn for its picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from schemas.job import Ingest, Source
from stages.ingest.decode import Picture
from stages.ingest.faults import FileChanged, MasksEmpty, MaskUnreadable
from stages.ingest.given_masks.coco_entries import Annotation, broken
from stages.ingest.given_masks.coco_file import read_coco
from stages.ingest.given_masks.coco_shapes import draw, fault_within
from stages.ingest.given_masks.drawn_on import unstated_size
from stages.ingest.given_masks.given_mask import GivenMask


class MasksCoco:
    """The JSON, read once a process, and the masks of single pictures drawn when they are asked for."""

    def __init__(self, source: Source, limits: Ingest) -> None:
        """Raises SpecError; see `read_coco`."""
        self._source = source
        self._limits = limits
        self._coco = read_coco(source)

    def masks_of(self, image_id: str, sha256: str, picture: Picture) -> list[tuple[str, GivenMask | str]]:
        """(annotation id, mask) of every annotation of the image, in the order of the JSON; instead of the mask of one
        that is not used, why.

        sha256: of the entry, as planned. Raises FileChanged, MaskUnreadable when any of them is broken, MasksEmpty when
        none is used.
        """
        entry = self._coco.entries.get(image_id)
        if entry is None or entry.digest() != sha256:
            raise FileChanged(
                f"{self._coco.url} changed since the plan, in image {image_id}; run the job again to plan it anew"
            )
        drawn_on = self._source.masks_drawn_on
        width, height = entry.size or unstated_size(picture, drawn_on, f"the COCO entry of {entry.file_name}")
        if width * height > self._limits.max_pixels:
            raise MaskUnreadable(
                f"the COCO entry of {entry.file_name} says {width}x{height} pixels, more than ingest.max_pixels; "
                f"correct it in {self._coco.url}, or raise the limit"
            )
        if unusable := [one for one in entry.annotations if one.broken is not None]:
            more = f" (also broken: {', '.join(one.id for one in unusable[1:])})" if unusable[1:] else ""
            raise MaskUnreadable(f"{unusable[0].broken}{more}")
        if entry.annotations and all(one.dropped is not None for one in entry.annotations):
            why = "; ".join(f"annotation {one.id}: {one.dropped}" for one in entry.annotations)
            raise MasksEmpty(f"no annotation of {entry.file_name} in {self._coco.url} is used ({why}); give it a mask")
        return [
            (one.id, one.dropped if one.dropped is not None else self._draw(one, width, height, entry.size is None))
            for one in entry.annotations
        ]

    def _draw(self, annotation: Annotation, width: int, height: int, unstated: bool) -> GivenMask:
        """unstated: the JSON has no size of the image; run lengths have their own, and it need not be the picture's."""
        shape = annotation.segmentation
        assert shape is not None, "neither dropped nor broken"
        if isinstance(shape, dict) and unstated:
            height, width = shape["size"]
            if width * height > self._limits.max_pixels:
                raise MaskUnreadable(broken(annotation.id, "more pixels than ingest.max_pixels", self._coco.url))
        fault = fault_within(shape, width, height)
        if fault is None:
            try:
                pixels = draw(shape, width, height)
            except ValueError as error:
                fault = str(error)
        if fault is not None:
            raise MaskUnreadable(broken(annotation.id, fault, self._coco.url))
        mask = Image.fromarray(np.ascontiguousarray(pixels) * np.uint8(255))
        return GivenMask(mask, annotation.word, f"COCO annotation {annotation.id}", crowd=annotation.crowd)
