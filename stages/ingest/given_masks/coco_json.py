"""The document under `source.coco`: its bytes as JSON, or a sentence that says what it is instead."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from schemas.errors import SpecError, StoreAway
from schemas.job import Source
from schemas.near_path import near_path
from stages.ingest.given_masks.coco_shapes import Shape, read_shape, shown
from stages.ingest.source.files import check_whole, from_store
from stages.transient import why_unread

_NEEDS = "it needs images, annotations and categories"

_KEYS = {"images", "annotations", "categories", "id", "image_id", "category_id", "file_name", "coco_url"}
_KEYS |= {"width", "height", "segmentation", "counts", "size", "iscrowd", "name"}
"""What is read. Any other key may stand twice in an object."""

_TEXTS = ("id", "image_id", "category_id", "file_name", "coco_url", "name")
"""Keys of what goes on into names, words and tables."""

_OTHER_DOCUMENTS = (
    ("shapes", "a LabelMe file of one picture"),
    ("_via_img_metadata", "a project of the VGG annotator"),
    ("items", "a Datumaro file"),
    ("features", "a GeoJSON"),
    ("image", "a file of one picture, as SA-1B has them"),
    ("images", "a list of images without annotations"),
)
"""A key that gives away a document without `images` and `annotations`, and what it is."""

_OTHER_ANNOTATIONS = (
    ("segments_info", "a panoptic JSON, whose masks are PNG files: convert it with panopticapi's panoptic2detection"),
    ("caption", "a captions JSON: take the instances JSON of the same pictures"),
    ("keypoints", "a keypoints JSON without segmentation: take the instances JSON of the same pictures"),
    ("bbox", "a JSON of boxes only: export it with polygons or masks"),
)
"""A key that gives away annotations without segmentation, what the file is, and the remedy."""


def read_document(source: Source) -> tuple[dict[str, Any], list[str]]:
    """The JSON, with a `Shape` under `segmentation`: arrays take a quarter of the memory of JSON's lists, so they are
    made while the file is parsed. And the texts of it that were no Unicode, as they are read instead.

    Raises SpecError when it cannot be read, or is anything but an instances JSON.
    """
    url = str(source.coco)
    escaped: dict[str, None] = {}
    document = _parse(_text(source, url), url, escaped)
    _check_kind(document, url)
    return dict(document), list(escaped)


def not_instances(url: str, why: str) -> SpecError:
    """The error for a file that is something else, or damaged as a whole."""
    return SpecError(f"source.coco: {url} is not a COCO instances JSON: {why}")


def _text(source: Source, url: str) -> str:
    try:
        data = from_store(url, source, _read)
    except (MemoryError, StoreAway):
        raise
    except Exception as error:  # every backend has its own classes
        if isinstance(error, FileNotFoundError) and (near := near_path(url)):
            raise SpecError(f"source.coco: {url} is not there; did you mean {near}?") from error
        raise SpecError(
            f"source.coco: cannot read {url}: {why_unread(error)}; check the address and the "
            "credentials in the environment"
        ) from error
    if data[:2] in (b"\x1f\x8b", b"PK", b"BZ") or data[:6] == b"\xfd7zXZ\x00" or data[:4] == b"\x28\xb5\x2f\xfd":
        raise not_instances(url, "it is compressed or an archive; unpack it and name the JSON that it holds")
    try:
        return data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError as error:
        raise not_instances(url, f"it is no text in UTF-8 ({error}); save it as UTF-8") from error


def _read(fs: Any, path: str) -> bytes:
    size = fs.info(path).get("size")
    with fs.open(path, "rb") as file:
        data = bytes(file.read())
    check_whole(len(data), size, path)
    return data


def _parse(text: str, url: str, escaped: dict[str, None]) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=partial(_object, escaped))
    except json.JSONDecodeError as error:
        raise not_instances(url, _why_no_json(text, error)) from error
    except RecursionError as error:
        raise not_instances(url, "its lists are nested too deeply; export it again") from error
    except ValueError as error:  # a key twice, a number of thousands of digits
        raise not_instances(url, f"{error}; export it again") from error


def _object(escaped: dict[str, None], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One object of the JSON, its texts in Unicode: half a surrogate pair, as Python writes for a byte of a file name
    that is no UTF-8, becomes its backslash escape, and the text goes into `escaped`. No table takes such halves.

    Raises ValueError where a key that is read stands twice: the first would be lost.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = [name for name in found if name in _KEYS and names.count(name) > 1]
        if twice:
            raise ValueError(f"the key {twice[0]!r} stands twice in one object")
    for key in _TEXTS:
        text = found.get(key)
        if isinstance(text, str) and not text.isascii():
            found[key] = text.encode("utf-8", "backslashreplace").decode("utf-8")
            if found[key] != text:
                escaped[found[key]] = None
    if "segmentation" in found:
        found["segmentation"] = read_shape(found["segmentation"])
    return found


def _why_no_json(text: str, error: json.JSONDecodeError) -> str:
    start = text.lstrip()[:200]
    if not start:
        return "it is empty; export it again"
    if start.startswith("version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if start.startswith("<"):
        return "it is XML or a web page; export the annotations as COCO"
    if error.msg == "Extra data":
        return (
            "it holds several JSON documents, as JSON lines do; put them into one with images, annotations, categories"
        )
    if error.pos >= len(text.rstrip()):
        return "it ends too early, as a file that was cut short; copy or export it again"
    return f"{error}; correct it, or export it again"


def _check_kind(document: Any, url: str) -> None:
    """Raises SpecError unless it has lists of images and of annotations, some of them with a segmentation."""
    if isinstance(document, list):
        first = document[0] if document and isinstance(document[0], dict) else {}
        if "image_id" in first:
            why = "it is a list of results, which names no pictures: give an object whose `annotations` they are, with "
            raise not_instances(url, why + "the images and categories of the file that they are results of")
        raise not_instances(url, f"it is a list, as other tools write; export as COCO, since {_NEEDS}")
    if not isinstance(document, dict):
        raise not_instances(url, f"it is {shown(document)}; {_NEEDS}")
    if "images" not in document or "annotations" not in document:
        what = next((what for key, what in _OTHER_DOCUMENTS if key in document), None)
        raise not_instances(url, f"it looks like {what}; export as COCO, since {_NEEDS}" if what else _NEEDS)
    for name in ("images", "annotations", "categories"):
        found = document.get(name)
        if not isinstance(found, list) and not (name == "categories" and found is None):
            raise not_instances(url, f"its {name!r} is {shown(found)}, where a list belongs; {_NEEDS}")
    annotations = [one for one in document["annotations"] if isinstance(one, dict)]
    if annotations and not any(_has_segmentation(one) for one in annotations):
        for key, what in _OTHER_ANNOTATIONS:
            if any(one.get(key) for one in annotations):
                raise SpecError(
                    f"source.coco: {url} has no segmentation for any picture of the source: it is {what}, or set "
                    "source.masks: none"
                )


def _has_segmentation(annotation: dict[str, Any]) -> bool:
    shape = annotation.get("segmentation")
    return isinstance(shape, Shape) and (shape.segmentation is not None or shape.fault is not None)
