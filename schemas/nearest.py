"""Which field of the spec a key means that is none: by its name elsewhere, by what others call it, by its letters."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from schemas.field_paths import field_at, section_at, section_of
from schemas.job import JobSpec

Path = tuple[str, ...]
"""Keys from the top of the spec to a field."""

ABSENT = {
    ("resolution", "image_size", "size", "width", "height"): (
        "pictures have the size of the base model's own, so name another `models.base` for another size"
    ),
    ("optimizer", "optimizer_type", "use_8bit_adam"): "training is by AdamW; take it out",
    ("lr_scheduler", "lr_warmup_steps", "lr_scheduler_type"): "rates are constant; take it out",
    ("device", "cuda"): "a GPU is used where there is one, `cluster.gpus: 0` keeps off it",
    ("token", "hf_token", "api_key", "use_auth_token"): (
        "credentials belong in the environment (HF_TOKEN for the Hugging Face Hub); take it out"
    ),
    ("cache_dir", "hf_home"): "HF_HOME in the environment says where downloads lie; take it out",
    ("xformers", "enable_xformers_memory_efficient_attention", "use_xformers"): (
        "attention is torch's own, which is as lean; take it out"
    ),
    ("complete_only",): "`evaluate.concepts` says it: `complete` for true, and `any` for false",
    ("resume", "overwrite", "overwrite_output"): (
        "the same command goes on with a job, and a new `output` begins it anew; take it out"
    ),
}
"""What people know from other scripts and no field stands for -> what there is instead."""


class _Known(NamedTuple):
    keys: Path
    also: Collection[str]


def nearest(keys: Path, missing: Collection[Path]) -> list[Path]:
    """The fields that may be meant by a key that there is not, at most of one kind of likeness; often one, or none.

    keys: of the unknown one; missing: fields that have to be there and are not. What lies in the same section goes
    before what lies below it, and that before the rest of the spec; a name before letters that are like it.
    """
    section, word = keys[:-1], _plain(keys[-1])
    if _instead(word) or _dotted(keys):
        return []
    known = _fields(JobSpec, ())
    siblings = [field for field in known if field.keys[:-1] == section]
    below = [field for field in known if field.keys[:-1] != section and field.keys[: len(section)] == section]
    rest = [field for field in known if field not in siblings and field not in below]
    return (
        _like(word, [field for field in siblings if field.keys in missing], 0.6)
        or _called(word, siblings)
        or _like(word, siblings, 0.8)
        or _called(word, below)
        or _shared(word, siblings)
        or (_called(word, rest) if section else [])
        or _like(word, siblings, 0.6)
        or _like(word, below, 0.8)
        or (_like(word, rest, 0.8) if section else [])
        or _like(word, siblings, 0.5)
    )


def hint(keys: Path, meant: Sequence[Path]) -> str:
    """The words for a key that there is not: what it means, what there is instead, or what is known in its place."""
    if instead := _instead(_plain(keys[-1])):
        return instead
    if dotted := _dotted(keys):
        return f"a dotted name is for --set, and here it is `{': {'.join(dotted)}: ...{'}' * (len(dotted) - 1)}`"
    if meant:
        shown = [f"`{name[-1] if name[:-1] == keys[:-1] else '.'.join(name)}`" for name in meant]
        return f"did you mean {_either(shown)}?"
    section = section_at(keys[:-1])
    return f"known here: {', '.join(section.model_fields)}" if section else "take it out"


def _plain(key: str) -> str:
    return key.strip().lower().replace("-", "_").replace(" ", "_")


def _dotted(keys: Path) -> list[str]:
    """The names within a key that is written as --set takes it, where they lead to a field."""
    names = keys[-1].split(".")
    return names if len(names) > 1 and field_at((*keys[:-1], *names)) else []


def _instead(word: str) -> str | None:
    return next((why for names, why in ABSENT.items() if word in names), None)


def _fields(section: type[BaseModel], keys: Path) -> list[_Known]:
    """Every field and section below, in the order of the spec."""
    found = []
    for name, info in section.model_fields.items():
        extra = info.json_schema_extra
        also = extra.get("also") if isinstance(extra, dict) else None
        found.append(_Known((*keys, name), tuple(map(str, also)) if isinstance(also, list) else ()))
        inner = section_of(info)
        found += _fields(inner, (*keys, name)) if inner else []
    return found


def _called(word: str, fields: Sequence[_Known]) -> list[Path]:
    """Fields that others call so, or else those that are called so here."""
    return [field.keys for field in fields if word in field.also] or [
        field.keys for field in fields if field.keys[-1] == word
    ]


def _shared(word: str, fields: Sequence[_Known]) -> list[Path]:
    """The field with the most words of the key in its own name, if all of one of the two are in the other."""
    parts = set(word.split("_"))
    found = [
        (len(common), field.keys)
        for field in fields
        if (common := parts & (own := set(field.keys[-1].split("_")))) and common in (parts, own)
    ]
    most = max((count for count, _ in found), default=0)
    best = [keys for count, keys in found if count == most]
    return best if len(best) == 1 else []


def _like(word: str, fields: Sequence[_Known], cutoff: float) -> list[Path]:
    """Fields of the name whose letters are most like the word's; cutoff: difflib's ratio."""
    near = difflib.get_close_matches(word, [field.keys[-1] for field in fields], n=1, cutoff=cutoff)
    return [field.keys for field in fields if near and field.keys[-1] == near[0]]


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
