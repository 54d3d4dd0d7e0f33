"""The card of a data set: README.md, with the front that the Hugging Face Hub reads, and classes.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import yaml

from pipeline.dataset.book import Book
from pipeline.dataset.counts import Counts
from pipeline.dataset.croissant import write_croissant
from pipeline.dataset.formats.written import FormatWriter
from pipeline.dataset.provenance import Provenance, provenance
from pipeline.wording import counted, stamp

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_COLUMNS = """\
Of each picture: `key`, `scene_id` (the scene it is of; no scene is in two splits), `width`, `height`, `synthetic`
(drawn, or the source's own), `caption`, `prompt` (with handles), `label` (class of the one concept asked for, from 0),
`scores`, `seed` (as text), and `objects`: `id`, `concept` (its number in the scene), `handle`, `category` (class, from
0), `name`, `bbox` [x, y, width, height] and `area` in pixels. Masks hold the class plus 1, or the object's id; 0 is
nothing. classes.json has the names in the order of their numbers."""


def write_card(
    book: Book, format_: FormatWriter, counts: dict[str, Counts], left_out: Counter[str], missing: list[str]
) -> None:
    """Writes README.md, classes.json and croissant.json. left_out: reason -> pictures; missing: lines of scenes that
    have none."""
    names = list(book.classes.names)
    labels = {"classes": names, "id2label": {str(number): name for number, name in enumerate(names, 1)}}
    book.into.write("classes.json", (json.dumps(labels, indent=1, ensure_ascii=False) + "\n").encode())
    origin = provenance(book.source, book.choices)
    told = format_.card(book)
    told["configs"] = [{**config, "description": f"contents {_contents(book)}"} for config in told["configs"]]
    how, tables, files = (told.pop(name) for name in ("how", "tables", "files"))
    front = yaml.safe_dump(_front(book, counts) | told, sort_keys=False, allow_unicode=True)
    lines = [
        "---",
        f"{front}---",
        "",
        f"# {_title(counts)}",
        "",
        f"Made by Unscene (`unscene dataset --to {book.choices.format}`).",
        "",
        "## How to load it",
        "",
        "```python",
        *how,
        "```",
        "",
        "## What is in it",
        "",
        *[f"- {counts[split].line(split)}" for split in counts],
        *[f"- left out: {count:,} {reason}" for reason, count in left_out.most_common()],
        *[f"- {line}" for line in missing],
        "",
        _COLUMNS,
        "",
        "## Where it comes from",
        "",
        *_origin_lines(origin),
        "",
        "Asked for with " + ", ".join(f"`{name} {value}`" for name, value in book.choices.options().items() if value)
        + ".",
    ]  # fmt: skip
    book.into.write("README.md", ("\n".join(lines) + "\n").encode())
    write_croissant(book, _title(counts), origin, tables, files)


def _contents(book: Book) -> str:
    """Changes whenever the data do: Hugging Face's datasets keeps what it has read of a local folder by the folder's
    name and the card alone, and serves that of another data set of the name, or of this one before it changed."""
    told: list[Any] = [book.choices.format, list(book.classes.names)]
    for split in book.parts:
        for record in book.records(split):  # a stamp stands for what a part was to hold, damaged pictures with it
            told.append([split, record.stamp, sorted(record.files.items()), record.pictures, sorted(record.objects)])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _title(counts: dict[str, Counts]) -> str:
    pictures = sum(each.pictures for each in counts.values())
    return f"{counted(pictures, 'picture')} of {counted(sum(each.scenes for each in counts.values()), 'scene')}"


def _front(book: Book, counts: dict[str, Counts]) -> dict[str, Any]:
    pictures = sum(each.pictures for each in counts.values())
    return {
        "pretty_name": _title(counts),
        "license": "unknown",
        "task_categories": ["object-detection", "image-segmentation", "image-classification"],
        "size_categories": [next((text for most, text in _SIZES if pictures < most), "n>1M")],
        "tags": [*(["synthetic"] if book.choices.new else []), "unscene"],
    }


def _origin_lines(origin: Provenance) -> list[str]:
    name, paper = origin.method
    made = f", {stamp(origin.created_at)}" if origin.created_at else ""
    lines = [
        f"- source: {origin.source}; its rights are its owners', and so are those in likenesses of it",
        f"- job: {origin.output}{made}, seed {origin.seed}",
    ]
    if origin.crowds:
        lines += [
            "- masks: of a COCO file; annotations marked iscrowd, if it has any, count as one object each, also where "
            "they are a region of many (source.crowds: use)"
        ]
    if origin.prompts:
        lines += [
            f"- method: [{name}]({paper})" if paper else f"- method: {name}",
            f"- drawn with {origin.sampler}; templates: {'; '.join(origin.prompts)}",
        ]
    lines += [
        f"- {model.field}: {model.name} ({model.licence}{f'; {model.revision}' if model.revision else ''})"
        for model in origin.models
    ]
    packages = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    return [*lines, *([f"- with {packages}"] if packages else [])]
