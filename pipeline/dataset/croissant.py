"""croissant.json: the data set for search engines and loaders, in Croissant 1.1, with its provenance in PROV-O."""

from __future__ import annotations

import json
import time
from typing import Any

from pipeline.dataset.book import Book
from pipeline.dataset.choices import TRAIN, VALIDATION
from pipeline.dataset.features import FACTS
from pipeline.dataset.provenance import UNKNOWN, Model, Provenance

NAME = "croissant.json"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
            *("fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
            *("key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
            *("samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_TYPES = {"string": "sc:Text", "int64": "sc:Integer", "float64": "sc:Float", "bool": "sc:Boolean"}
_IMAGES = {
    "image": "sc:ImageObject",
    "mask": ["cr:SegmentationMask", "sc:ImageObject"],
    "instance": ["cr:SegmentationMask", "sc:ImageObject"],
}


def write_croissant(book: Book, title: str, origin: Provenance, tables: list[str], files: list[str]) -> None:
    """tables: patterns of the Parquet files that tell of pictures; files: of those that hold them, if others do."""
    told = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"unscene-{book.choices.format}",
        "description": f"{title}, made by Unscene of {origin.source}.",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "license": "the source's own; models: " + "; ".join(f"{m.field} {m.licence}" for m in origin.models),
        "version": "1.0.0",
        "datePublished": _day(origin.created_at),
        **_citation(origin),
        **_provenance(origin),
        "distribution": [
            _files("tables", tables, "application/x-parquet"),
            *([_files("pictures-files", files, _encoding(book, files))] if files else []),
        ],
        "recordSet": [_classes(book), _splits(book), _pictures(book, tables, origin)],
    }
    book.into.write(NAME, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())


def _day(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds or 0))


def _citation(origin: Provenance) -> dict[str, str]:
    method, paper = origin.method
    return {"citeAs": f"made with {method}, {paper}"} if paper and origin.prompts else {}


def _provenance(origin: Provenance) -> dict[str, Any]:
    method, paper = origin.method
    packages = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    drawn = f"{method}{f' ({paper})' if paper else ''}, seed {origin.seed}, {origin.sampler}; prompts: "
    label = drawn + "; ".join(origin.prompts) if origin.prompts else f"segmentation, seed {origin.seed}"
    return {
        "prov:wasDerivedFrom": {"@type": "prov:Entity", "prov:label": origin.source},
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": label,
            "prov:used": [_entity(model) for model in origin.models],
        },
        "prov:wasAttributedTo": {"@type": "prov:SoftwareAgent", "prov:label": f"Unscene ({packages})"},
    }


def _entity(model: Model) -> dict[str, Any]:
    licence = model.licence if model.licence != UNKNOWN else "unknown"
    return {
        "@type": "prov:Entity",
        "prov:label": f"{model.field}: {model.name}",
        "license": licence,
        **({"version": model.revision} if model.revision else {}),
    }


def _files(name: str, patterns: list[str], encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "encodingFormat": encoding,
        "includes": patterns,
    }


def _encoding(book: Book, files: list[str]) -> str:
    if files[0].endswith(".tar"):
        return "application/x-tar"
    return f"image/{book.extension.replace('jpg', 'jpeg')}"


def _classes(book: Book) -> dict[str, Any]:
    rows = [{"classes/number": number, "classes/name": name} for number, name in enumerate(book.classes.names)]
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes, from 0; masks hold the number plus 1.",
        "key": {"@id": "classes/number"},
        "field": [_field("classes/number", "sc:Integer"), _field("classes/name", "sc:Text")],
        "data": rows,
    }


def _splits(book: Book) -> dict[str, Any]:
    splits = [split for split in (TRAIN, VALIDATION) if book.parts.get(split)]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits/name", "sc:Text")],
        "data": [{"splits/name": split} for split in splits],
    }


def _pictures(book: Book, tables: list[str], origin: Provenance) -> dict[str, Any]:
    inside = tables[0].startswith("data/")
    fields = [_column(name, _TYPES[type_]) for name, type_ in FACTS.items() if isinstance(type_, str)]
    split = _field("pictures/split", "sc:Text")
    split["source"] = {
        "fileSet": {"@id": "tables"},
        "extract": {"fileProperty": "fullpath"},
        "transform": {"regex": rf".*?({TRAIN}|{VALIDATION}).*"},
    }
    split["references"] = {"field": {"@id": "splits/name"}}
    for name, type_ in _IMAGES.items() if inside else ():
        image = _column(name, type_)
        image["source"]["transform"] = {"jsonPath": "bytes"}
        if name != "image":
            found = {"@type": "prov:Activity", "prov:label": "segmentation, and recognition of each concept"}
            looked = {"models.sam", "evaluate.sam", "models.identity"}
            models = [_entity(model) for model in origin.models if model.field in looked]
            image["prov:wasGeneratedBy"] = {**found, "prov:used": models}
        fields.append(image)
    return {
        "@type": "cr:RecordSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "A picture a record; `objects` of the same table has its boxes and classes.",
        "key": {"@id": "pictures/key"},
        "field": [split, *fields],
    }


def _field(name: str, type_: Any) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": name, "name": name, "dataType": type_}


def _column(name: str, type_: Any) -> dict[str, Any]:
    field = _field(f"pictures/{name}", type_)
    field["source"] = {"fileSet": {"@id": "tables"}, "extract": {"column": name}}
    return field
