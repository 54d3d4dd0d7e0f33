"""WebDataset: tars of samples, every one of the same members, that webdataset, Hugging Face datasets, wids, timm and
RF-DETR read as they are.

    KEY.png          the picture (or .jpg, .webp)
    KEY.txt          the caption
    KEY.cls          the class, from 0: with --singles, where every picture has one
    KEY.mask.png     class + 1 of each pixel, 0 nothing
    KEY.instance.png id of the thing of each pixel, 0 nothing
    KEY.json         all that is told, and COCO's annotations
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from pipeline.dataset.book import Book
from pipeline.dataset.choices import TRAIN, VALIDATION, Choices
from pipeline.dataset.classes import Classes
from pipeline.dataset.counts import Counts
from pipeline.dataset.example import Example
from pipeline.dataset.features import FACTS, yaml_features
from pipeline.dataset.formats.coco import annotation, categories_of
from pipeline.dataset.labels import WIDE, instance, semantic
from pipeline.dataset.metadata import PATTERN, write_tables
from pipeline.dataset.parts import Part
from pipeline.dataset.whole_file import Opened
from pipeline.shards.tars import add_member
from pipeline.storage.folder import Storage
from schemas.masks import encode_mask

_OF_RFDETR = {TRAIN: "train", VALIDATION: "val"}


class WebDataset:
    """See `FormatWriter`."""

    def __init__(self, into: Storage, classes: Classes, choices: Choices) -> None:
        self._into, self._classes, self._choices = into, classes, choices
        self.stamp = f"16 bits: {len(classes.names) > WIDE}"

    def planned(self, part: Part, extension: str) -> list[str]:
        return [_tar(part.split, part.number)]

    @contextlib.contextmanager
    def open(self, part: Part) -> Iterator[_Tar]:
        file = _Tar(Opened(self._into, _tar(part.split, part.number)), self._classes, self._choices.singles)
        with file.opened.closing():
            yield file

    def finish(self, book: Book) -> None:
        splits = {}
        for split in (TRAIN, VALIDATION):
            shards = _shards(book, split)
            names = {"wids": f"{split}/index.json", "rfdetr": f"{_OF_RFDETR[split]}-index.json"}
            if not shards:
                for name in names.values():
                    book.into.delete(name)
                continue
            book.into.write(names["wids"], _bytes({"wids_version": 1, "shardlist": shards}))
            book.into.write(names["rfdetr"], _bytes(_rfdetr_index(book, split, shards)))
            splits[split] = {
                "name": split,
                "num_samples": sum(shard["nsamples"] for shard in shards),
                "filenames": [f"{split}/{shard['url']}" for shard in shards],
                "shard_lengths": [shard["nsamples"] for shard in shards],
            }
        book.into.write("_info.json", _bytes({"splits": splits}))  # as timm looks for it

        write_tables(book, lambda split, number, _: _tar(split, number))

    def lines(self, counts: Mapping[str, Counts]) -> Iterator[str]:
        yield from ()

    def card(self, book: Book) -> dict[str, Any]:
        extension = book.extension
        members: dict[str, Any] = {
            extension: "image",
            "txt": "string",
            **({"cls": "int64"} if self._choices.singles else {}),
        }
        members |= {"mask.png": "image", "instance.png": "image"}
        members |= {"json": _JSON, "__key__": "string", "__url__": "string"}
        splits = [split for split in (TRAIN, VALIDATION) if book.parts.get(split)]
        how = [
            "import os",
            "",
            "from datasets import load_dataset",
            "",
            'pictures = load_dataset(os.getcwd(), split="train")      # the folder of this file; streaming=True too',
            "",
            "from glob import glob",
            "",
            "import webdataset",
            "",
            'tars = webdataset.WebDataset(sorted(glob("train/*.tar")), shardshuffle=100)',
            f'pairs = tars.decode("pil").to_tuple("{extension}", "mask.png", "json")',
        ]
        return {
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": split, "path": f"{split}/*.tar"} for split in splits],
                }
            ],
            "dataset_info": {"features": yaml_features(members, book.classes.names)},
            "how": how,
            "tables": [PATTERN],
            "files": [f"{split}/*.tar" for split in splits],
        }


_ANNOTATION = {
    "category_id": "int64",
    "iscrowd": "int64",
    "bbox": ["int64"],
    "area": "int64",
    "segmentation": {"size": ["int64"], "counts": "string"},
}
_JSON = {**FACTS, "image_id": "int64", "annotations": [_ANNOTATION]}


class _Tar:
    """See `PartFile`."""

    def __init__(self, opened: Opened, classes: Classes, singles: bool) -> None:
        self.opened, self._classes, self._singles = opened, classes, singles
        self._tar: tarfile.TarFile | None = None

    @property
    def files(self) -> dict[str, int]:
        return self.opened.files

    def add(self, example: Example) -> list[dict[str, Any]]:
        if self._tar is None:
            self._tar = self.opened.through(_tar_in)
        told = example.facts()
        runs = [{"segmentation": encode_mask(thing.mask)} for thing in example.things]
        told["image_id"] = image_id(example.key)
        told["annotations"] = [annotation(thing | run) for thing, run in zip(told["objects"], runs, strict=True)]
        members = {example.extension: example.picture, "txt": example.caption.encode()}
        if self._singles:
            members["cls"] = str(example.label).encode()
        members["mask.png"] = semantic(example.things, len(self._classes.names))
        members["instance.png"] = instance(example.things)
        members["json"] = _bytes(told)
        for suffix, data in members.items():
            add_member(self._tar, f"{example.key}.{suffix}", data)
        return [{} for _ in example.things]


def _tar_in(file: BinaryIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


def image_id(key: str) -> int:
    """A number that is the picture's own, whatever lies beside it; 53 bits, which JavaScript keeps."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") >> 3


def _tar(split: str, number: int) -> str:
    return f"{split}/{split}-{number:06d}.tar"


def _shards(book: Book, split: str) -> list[dict[str, Any]]:
    """As wids lists them: names beside the list, samples, bytes. Parts without a picture have no tar."""
    found = []
    for record in book.records(split):
        for name, size in record.files.items():
            found.append({"url": name.rpartition("/")[2], "nsamples": record.pictures, "filesize": size})
    return found


def _rfdetr_index(book: Book, split: str, shards: list[dict[str, Any]]) -> dict[str, Any]:
    shown = {name for record in book.records(split) for name in record.objects}
    return {
        "version": 1,
        "split": _OF_RFDETR[split],
        "shards": [f"{split}/{shard['url']}" for shard in shards],
        "num_samples": sum(shard["nsamples"] for shard in shards),
        "categories": categories_of(book.classes),
        "annotated_category_ids": [number for number, name in enumerate(book.classes.names, 1) if name in shown],
        "category_ids": "remap",
        "samples_per_shard": [shard["nsamples"] for shard in shards],
    }


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
