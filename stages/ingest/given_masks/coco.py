"""Masks from a COCO instances JSON: polygons and RLE, found by the picture's file name."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from schemas.errors import SpecError
from schemas.job import Ingest, Source
from stages.ingest.decode import Picture
from stages.ingest.faults import MasksAmbiguous, MaskUnreadable
from stages.ingest.given_masks.given_mask import GivenMask
from stages.ingest.source.files import locate, root_of


@dataclass(frozen=True)
class _Annotation:
    """segmentation: polygons as arrays [x0, y0, x1, y1, ...], or COCO's RLE dictionary."""

    id: Any
    word: str | None
    segmentation: list[NDArray[np.float64]] | dict[str, Any]


@dataclass(frozen=True)
class _Entry:
    """One image of the JSON. size: [width, height] that the annotations refer to, where it is stated."""

    size: tuple[int, int] | None
    annotations: list[_Annotation]


class MasksCoco:
    """The JSON, read once a process, and the masks of single pictures drawn when they are asked for.

    Crowd regions and annotations without a segmentation are left out. Category names become words.
    """

    def __init__(self, source: Source, limits: Ingest) -> None:
        """Raises SpecError when the JSON cannot be read or is not an instances file."""
        self._source = source
        self._limits = limits
        self._root = root_of(source)
        self._entries = _load(source.model_dump_json())
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for name in self._entries:
            self._by_name[name.rpartition("/")[2]].append(name)

    def masks_of(self, uri: str, picture: Picture) -> list[GivenMask]:
        """Masks in the order of the JSON; [] when it does not know the picture.

        The picture's path relative to the source is looked up first, then its base name if only one entry has it.
        Raises MasksAmbiguous when several have it, MaskUnreadable for a damaged annotation.
        """
        _, path = locate(uri, self._source)
        relative = path.removeprefix(self._root).lstrip("/")
        name = relative.rpartition("/")[2]
        if relative not in self._entries:
            same = self._by_name.get(name, [])
            if not same:
                return []
            if len(same) > 1:
                raise MasksAmbiguous(
                    f"{self._source.coco} has {len(same)} images called {name} and none at "
                    f"{relative}; start source.uri at the folder that its file_name paths start from"
                )
            relative = same[0]
        entry = self._entries[relative]
        width, height = entry.size or picture.stored_size
        if width * height > self._limits.max_pixels:
            raise MaskUnreadable(f"the COCO entry of {name} says {width}x{height} pixels, more than ingest.max_pixels")
        return [_draw(annotation, width, height) for annotation in entry.annotations]


def _draw(annotation: _Annotation, width: int, height: int) -> GivenMask:
    name = f"COCO annotation {annotation.id}"
    segmentation = annotation.segmentation
    try:
        if isinstance(segmentation, list):
            rle = coco.merge(coco.frPyObjects([polygon.tolist() for polygon in segmentation], height, width))
        elif isinstance(segmentation["counts"], list):
            rle = coco.frPyObjects(segmentation, *segmentation["size"])
        else:
            rle = {"size": list(segmentation["size"]), "counts": segmentation["counts"].encode("ascii")}
        if [int(n) for n in rle["size"]] != [height, width]:
            raise ValueError(f"its size {rle['size']} is not the image's [height, width] {[height, width]}")
        mask = np.asarray(coco.decode(rle), dtype=np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # the JSON is anybody's
        raise MaskUnreadable(f"{name} cannot be drawn: {error}; correct source.coco") from error
    return GivenMask(Image.fromarray(np.ascontiguousarray(mask) * np.uint8(255)), annotation.word, name)


@lru_cache(maxsize=1)
def _load(source_json: str) -> dict[str, _Entry]:
    """file_name -> entry. Keyed by the source's JSON because a cache key must be hashable."""
    source = Source.model_validate_json(source_json)
    url = str(source.coco)
    try:
        fs, path = locate(url, source)
        with fs.open(path, "rb") as file:
            document = json.load(file)
        words = {category["id"]: str(category["name"]) for category in document.get("categories", [])}
        by_image: dict[Any, list[_Annotation]] = defaultdict(list)
        for annotation in document["annotations"]:
            segmentation = _compact(annotation.get("segmentation"))
            if segmentation and not annotation.get("iscrowd"):
                by_image[annotation["image_id"]].append(
                    _Annotation(annotation.get("id"), words.get(annotation.get("category_id")), segmentation)
                )
        return {
            _clean(image["file_name"]): _Entry(_size(image), by_image.get(image["id"], []))
            for image in document["images"]
        }
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SpecError(
            f"source.coco: {url} is not a COCO instances JSON ({type(error).__name__}: {error}); it needs "
            "images, annotations and categories"
        ) from error
    except Exception as error:  # every backend has its own classes
        raise SpecError(
            f"source.coco: cannot read {url}: {type(error).__name__}: {error}; check the address and the "
            "credentials in the environment"
        ) from error


def _compact(segmentation: Any) -> list[NDArray[np.float64]] | dict[str, Any] | None:
    """Polygons as arrays, a quarter of their size as lists; fewer than three points enclose nothing."""
    if isinstance(segmentation, list):
        return [np.asarray(polygon, dtype=np.float64) for polygon in segmentation if len(polygon) >= 6]
    return segmentation if isinstance(segmentation, dict) else None


def _clean(file_name: str) -> str:
    return file_name.replace("\\", "/").removeprefix("./").lstrip("/")


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    return (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None
