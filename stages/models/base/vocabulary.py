"""What a base's tokenizers know, from their files alone, and the tokens that handles take beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import SpecError
from schemas.templates import LAST_CONCEPT

MOST_HANDLES = LAST_CONCEPT + 1


def placeholder_names(placeholder: str) -> list[str]:
    """`<asset{index}>` -> the tokens of all handles that a scene can have, in order."""
    return [placeholder.replace("{index}", str(j)) for j in range(MOST_HANDLES)]


def check_placeholder(placeholder: str, known: Mapping[str, int]) -> None:
    """Raises a SpecError where handles would get tokens that are words already. known: token -> id."""
    names = placeholder_names(placeholder)
    taken = [name for name in names if name in known]
    if not taken and len(set(names)) == len(names):
        return
    free = next(
        other
        for other in ("<asset{index}>", "<concept{index}>", *(f"<handle-{n}-{{index}}>" for n in range(len(known) + 1)))
        if other != placeholder and not any(name in known for name in placeholder_names(other))
    )
    raise SpecError(
        f"extract.placeholder: {placeholder!r} gives tokens that the base model knows already "
        f"({', '.join(taken) or 'or that are all the same'}); choose another, such as {free}"
    )


def tokens_in(folder: Path) -> dict[str, int]:
    """Token -> id, as the tokenizer of `folder` will have them; {} where its files do not tell.

    Of `tokenizer.json` and the older `vocab.json` transformers reads the first.
    """
    whole = _json(folder / "tokenizer.json")
    model = whole.get("model", {})
    found = dict(model["vocab"]) if isinstance(model.get("vocab"), dict) else _json(folder / "vocab.json")
    found |= {entry["content"]: entry["id"] for entry in whole.get("added_tokens", [])}
    found |= _json(folder / "added_tokens.json")
    listed = _json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    found |= {entry["content"]: int(number) for number, entry in listed.items() if isinstance(entry, dict)}
    return {str(token): int(number) for token, number in found.items()}


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # what must be there is for the loader to say
