"""The types of what is told of a picture, written as Hugging Face datasets and Arrow have them.

A type is the name of one (`int64`, `image`), a list of one type, or a dict of names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

Type = Any
OBJECT: dict[str, Type] = {
    "id": "int64",
    "concept": "int64",
    "handle": "string",
    "category": "int64",
    "name": "string",
    "bbox": ["int64"],
    "area": "int64",
}
FACTS: dict[str, Type] = {
    "key": "string",
    "scene_id": "string",
    "file_name": "string",
    "width": "int64",
    "height": "int64",
    "synthetic": "bool",
    "caption": "string",
    "prompt": "string",
    "label": "int64",
    "objects": [OBJECT],
    "scores": {
        "prompt_similarity": "float64",
        "identity_similarity": "float64",
        "complete": "bool",
        "found": ["int64"],
    },
    "seed": "string",
    "sampler": "string",
    "steps": "int64",
    "guidance": "float64",
}
"""Of `Example.facts`."""
_CLASS_LABELS = ("label", "category", "cls")
"""Names of columns that number classes."""
_ARROW = {"int64": pa.int64(), "string": pa.string(), "bool": pa.bool_(), "float64": pa.float64()}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def yaml_features(types: dict[str, Type], classes: Sequence[str]) -> list[dict[str, Any]]:
    """As they stand under `dataset_info` in a card. classes: names, of columns that number them."""
    return [{"name": name, **_yaml(name, type_, classes)} for name, type_ in types.items()]


def _yaml(name: str, type_: Type, classes: Sequence[str]) -> dict[str, Any]:
    if name in _CLASS_LABELS:
        return {"dtype": {"class_label": {"names": {str(number): text for number, text in enumerate(classes)}}}}
    if isinstance(type_, list):
        (item,) = type_
        return {"list": item if isinstance(item, str) else yaml_features(item, classes)}
    return {"dtype": type_} if isinstance(type_, str) else {"struct": yaml_features(type_, classes)}


def arrow_type(type_: Type) -> pa.DataType:
    """The same in Arrow."""
    if isinstance(type_, list):
        return pa.list_(arrow_type(type_[0]))
    if isinstance(type_, dict):
        return pa.struct([(name, arrow_type(item)) for name, item in type_.items()])
    return IMAGE if type_ == "image" else _ARROW[type_]


def hub_schema(types: dict[str, Type], classes: Sequence[str]) -> pa.Schema:
    """Columns, and in the metadata what datasets' `Features` say of them."""
    features = {name: _hub_feature(name, type_, classes) for name, type_ in types.items()}
    columns = [pa.field(name, arrow_type(type_)) for name, type_ in types.items()]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _hub_feature(name: str, type_: Type, classes: Sequence[str]) -> Any:
    if name in _CLASS_LABELS:
        return {"names": list(classes), "_type": "ClassLabel"}
    if isinstance(type_, list):
        return [_hub_feature("", type_[0], classes)]
    if isinstance(type_, dict):
        return {key: _hub_feature(key, item, classes) for key, item in type_.items()}
    return {"_type": "Image"} if type_ == "image" else {"dtype": type_, "_type": "Value"}
