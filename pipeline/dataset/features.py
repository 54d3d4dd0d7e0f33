"""The types of what is told of a picture, written as Hugging Face datasets and Arrow have them.

A type is the name of one (`int64`, `image`), a list of one type, or a dict of names.
"""

from __future__ import annotations

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
_ARROW = {"int64": pa.int64(), "string": pa.string(), "bool": pa.bool_(), "float64": pa.float64()}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def yaml_features(types: dict[str, Type]) -> list[dict[str, Any]]:
    """As they stand under `dataset_info` in a card."""
    return [{"name": name, **_yaml(type_)} for name, type_ in types.items()]


def _yaml(type_: Type) -> dict[str, Any]:
    if isinstance(type_, list):
        (item,) = type_
        return {"list": item if isinstance(item, str) else yaml_features(item)}
    return {"dtype": type_} if isinstance(type_, str) else {"struct": yaml_features(type_)}


def arrow_type(type_: Type) -> pa.DataType:
    """The same in Arrow."""
    if isinstance(type_, list):
        return pa.list_(arrow_type(type_[0]))
    if isinstance(type_, dict):
        return pa.struct([(name, arrow_type(item)) for name, item in type_.items()])
    return IMAGE if type_ == "image" else _ARROW[type_]
