"""A COCO instances JSON, checked once as a whole: ids that are unique, references that are found, words that are words.

What is wrong with one annotation costs its scene; what makes two pictures or two words exchangeable costs the file.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from schemas.errors import SpecError, StoreAway
from schemas.job import Source
from stages.ingest.given_masks.coco_entries import Annotation, CocoFile, Entry, broken, counted
from stages.ingest.given_masks.coco_json import not_instances, read_document
from stages.ingest.given_masks.coco_shapes import Shape, fault_within, shown, whole
from stages.ingest.source.files import from_store

_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?")
_TRUE = (1, "1", "1.0", "true", "True")
_MANY = {"category": "categories"}
_Size = tuple[int, int] | None


def read_coco(source: Source) -> CocoFile:
    """The file under `source.coco`, read once a process, and again when it has changed.

    Raises SpecError when it cannot be read, is no instances JSON, or gives one id to two images, categories or
    annotations.
    """
    return _read(source.model_dump_json(), _version(source))


def _version(source: Source) -> str:
    try:
        return from_store(str(source.coco), source, lambda fs, path: str(fs.ukey(path)))
    except StoreAway:
        raise
    except Exception:  # reading it tells what is wrong
        return ""


@lru_cache(maxsize=1)
def _read(source_json: str, version: str) -> CocoFile:
    """Keyed by the source's JSON because a cache key must be hashable; `version` changes with the file."""
    source = Source.model_validate_json(source_json)
    return _Reading(str(source.coco), source.crowds).read(*read_document(source))


class _Reading:
    """One pass over a document."""

    def __init__(self, url: str, crowds: str) -> None:
        self._url = url
        self._crowds = crowds
        self._words: dict[str, str | None] = {}
        self._images: dict[str, tuple[str, _Size]] = {}
        self._orphans: list[tuple[str, str]] = []
        self._remarks: dict[tuple[str, str], dict[str, None]] = {}

    def read(self, document: dict[str, Any], escaped: list[str]) -> CocoFile:
        """The whole file. escaped: its texts that were no Unicode, as they are read. Raises SpecError."""
        for text in escaped:
            self._say("text", "not in Unicode, read with a backslash escape for each half of a character", text)
        for number, category in enumerate(document.get("categories") or [], 1):
            self._category(category, number)
        for number, image in enumerate(document["images"], 1):
            self._image(image, number)
        found = self._annotations(document["annotations"])
        entries = {id: Entry(id, *image, tuple(found.get(id, ()))) for id, image in self._images.items()}
        remarks = [
            f"{counted(len(such), noun, _MANY.get(noun, ''))} (such as {next(iter(such))}) {what}"
            for (noun, what), such in self._remarks.items()
        ]
        return CocoFile(self._url, entries, self._orphans, remarks)

    def _category(self, category: Any, number: int) -> None:
        id, name = self._id(category, "category", number), category.get("name")
        if name is not None and not isinstance(name, str) and whole(name) is None:
            raise not_instances(self._url, f"the name of category {id} is {shown(name)}; make it a text, or null")
        word = ("" if name is None else str(name).strip()) or None
        if self._words.get(id, word) != word:
            raise self._collision("category", id, self._words[id] or "one without a name", word or "one without a name")
        self._words[id] = word

    def _image(self, image: Any, number: int) -> None:
        id, name = self._id(image, "image", number), image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            address = image.get("coco_url")  # all that LVIS has
            name = address if isinstance(address, str) else ""
        if not name:
            self._say("image", "without a file_name, of which no picture can be found", id)
        width, height = _pixels(image.get("width")), _pixels(image.get("height"))
        size = (width, height) if width and height else None
        if size is None:
            self._say("image", "without a usable width and height: those of its picture count", id)
        there = self._images.get(id, (name, size))
        if there[0] != name:
            raise self._collision("image", id, there[0], name)
        if there[1] != size:
            raise self._collision("image", id, f"{name} of {there[1]}", f"of {size} pixels")
        if id in self._images:
            self._say("image", "that stands there twice, each time the same", id)
        self._images[id] = name, size

    def _annotations(self, rows: list[Any]) -> dict[str, list[Annotation]]:
        """By image id. Takes each row out of the list, so that memory is freed on the way."""
        found: dict[str, list[Annotation]] = {}
        owners: dict[str, str] = {}
        for number in range(len(rows)):
            row, rows[number] = rows[number], None
            if not isinstance(row, dict):
                self._orphans.append((f"#{number + 1}", f"it is {shown(row)}, not an object"))
                continue
            given, image = _key(row.get("id")), _key(row.get("image_id"))
            id = given or f"#{number + 1}"
            if given is not None:
                if given in owners:
                    raise self._collision("annotation", id, f"of image {owners[id]}", f"of image {image}")
                owners[id] = image or "null"
            if image in self._images:
                found.setdefault(image, []).append(self._annotation(row, id, self._images[image][1]))
            else:
                self._orphans.append((id, f"its image_id is {shown(row.get('image_id'))}, which no image has"))
        if self._orphans:
            self._remarks["annotation", "of no image of the file, left out"] = dict.fromkeys(
                id for id, _ in self._orphans
            )
        return found

    def _annotation(self, row: dict[str, Any], id: str, size: _Size) -> Annotation:
        word, shape = self._word(row, id), row.get("segmentation", Shape(None))
        crowd = row.get("iscrowd") in _TRUE
        if crowd and self._crowds == "skip":
            self._say("annotation", "marked iscrowd and left out (source.crowds: skip)", id)
            return Annotation(id, word, None, dropped="it is marked iscrowd, and source.crowds is skip")
        if shape.segmentation is None and shape.fault is None:
            self._say("annotation", "without a segmentation, left out", id)
            return Annotation(
                id, word, None, dropped=f"it has {'a box and ' if row.get('bbox') else ''}no segmentation"
            )
        if crowd:
            self._say("annotation", "marked iscrowd and used (source.crowds: use)", id)
        fault = shape.fault or (fault_within(shape.segmentation, *size) if size else None)
        if fault is None:
            return Annotation(id, word, shape.segmentation, crowd=crowd)
        self._say("annotation", "that cannot be drawn and costs its scene", id)
        return Annotation(id, word, None, broken=broken(id, fault, self._url))

    def _word(self, row: dict[str, Any], id: str) -> str | None:
        category = _key(row.get("category_id"))
        if category is None:
            self._say("annotation", "without a category_id: no word", id)
        elif category not in self._words:
            self._say("category id", "that no category has: no word", category)
        elif self._words[category] is None:
            self._say("category", "without a name: no word", category)
        return self._words.get(category) if category is not None else None

    def _id(self, row: Any, what: str, number: int) -> str:
        """Id of an image or a category. Raises SpecError where there is none to refer to."""
        if not isinstance(row, dict):
            raise not_instances(self._url, f"{what} number {number} of it is {shown(row)}, where an object belongs")
        id = _key(row.get("id"))
        if id is None:
            name = row.get("file_name", row.get("name"))
            raise not_instances(
                self._url,
                f"{what} number {number} of it ({shown(name)}) has the id {shown(row.get('id'))}; give it one",
            )
        return id

    def _collision(self, what: str, id: str, first: str, second: str) -> SpecError:
        return SpecError(
            f"source.coco: {self._url} has the {what} id {id} twice, {first} and {second}; where files were put "
            f"together, number them anew, so that each {what} has an id of its own"
        )

    def _say(self, noun: str, what: str, example: str) -> None:
        self._remarks.setdefault((noun, what), {})[example] = None


def _key(value: Any) -> str | None:
    """An id as text: 4, 4.0, "4" and "4.0" are one. None for what can be no id: null, true, NaN, a list."""
    number = whole(value)
    if number is not None:
        return str(number)
    if isinstance(value, str):
        text = value.strip()
        match = _WHOLE.fullmatch(text)
        return match[1] if match else text or None
    return repr(value) if isinstance(value, float) and value == value else None


def _pixels(value: Any) -> int | None:
    """A side in pixels, also written as text or 4.0; None for what is no such number."""
    digits = value.strip() if isinstance(value, str) else ""
    number = int(digits) if digits.isdecimal() and len(digits) < 10 else whole(value)
    return number if number and number > 0 else None
