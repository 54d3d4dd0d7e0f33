"""Tokenizers that know the handles. The driver asks here too, so nothing here imports torch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from schemas.errors import SpecError
from stages.models.base.vocabulary import check_placeholder, placeholder_names

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


def with_handles(tokenizer: CLIPTokenizer, placeholder: str) -> CLIPTokenizer:
    """A copy of the tokenizer with the handles behind its own tokens. Raises SpecError where it knows them already."""
    check_placeholder(placeholder, tokenizer.get_vocab())
    names, extended = placeholder_names(placeholder), copy.deepcopy(tokenizer)
    if extended.add_tokens(names) != len(names):  # the tokenizer makes the same of two of them
        raise SpecError(
            f"extract.placeholder: {placeholder!r} gives tokens that the base model's tokenizer does not tell apart; "
            "choose another, such as <asset{index}>"
        )
    return extended
