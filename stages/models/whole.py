"""Whether a library's report of what it has loaded speaks of a whole model.

diffusers and transformers draw at random, or leave out, what they do not find under the names they look for, and tell
it in a list. Here that list is a reason to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from schemas.errors import SpecError
from stages.models.place import ModelField

ADAPTER = re.compile(r"(?:^|[._])(?:base_layer|lora|lokr|hada|oft|ia3|modules_to_save|regular_linear_layer)(?:[._]|$)")
"""What PEFT, diffusers and LyCORIS call the weights of an adapter, and the layers that they wrap, at any depth."""
BUFFER = re.compile(r"(?:^|\.)position_ids$")
"""Numbers that older versions saved beside the weights, and that newer ones count anew."""
MERGE = (
    "merge it (merge_and_unload() in PEFT, fuse_lora() and then unload_lora_weights() in diffusers) and save it again"
)


def check_adapters(names: Collection[str], what: str, field: ModelField) -> None:
    """Raises a SpecError where one of the weights' names is an adapter's. what: the model, or its part, in words."""
    found = sorted(name for name in names if ADAPTER.search(name))
    if found:
        raise SpecError(f"{field}: {what} holds an adapter that was not merged ({_some(found)}); {MERGE}")


def check_report(
    told: Mapping[str, Any], kind: str, what: str, field: ModelField, remedy: str, inside: Collection[str] | None = None
) -> None:
    """Raises a SpecError unless every weight of a `kind` was there, in its shape, and every weight there was read.

    told: `output_loading_info` of from_pretrained. inside: names of the model's children; weights beside them are
    another head's or tower's, which nobody reads. None: all weights of the file are the model's.
    """
    unexpected = [name for name in told["unexpected_keys"] if not BUFFER.search(name)]
    check_adapters(unexpected, what, field)
    if told["missing_keys"]:
        raise SpecError(f"{field}: {what} lacks weights of a {kind} ({_some(told['missing_keys'])}); {remedy}")
    if told["mismatched_keys"]:
        name, found, wanted = min(told["mismatched_keys"], key=lambda entry: str(entry[0]))
        raise SpecError(
            f"{field}: {what} holds {name} as {list(found)}, and its config.json says {list(wanted)}; give the "
            f"config.json that the weights were saved with"
        )
    unread = [name for name in unexpected if inside is None or name.split(".")[0] in inside]
    check_unread(unread, kind, what, field)


def check_unread(unread: Collection[str], kind: str, what: str, field: ModelField) -> None:
    """Raises a SpecError where there are weights that the model has no place for: it is not the one that was saved."""
    if unread:
        raise SpecError(
            f"{field}: {what} holds weights that a {kind} of its config.json does not read ({_some(unread)}); give the "
            f"config.json that they were saved with, or save it again with save_pretrained"
        )


def _some(names: Collection[str]) -> str:
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
