"""From words and handles to token ids: the base's tokenizers with the placeholder tokens added."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from schemas.errors import SpecError
from stages.models.base.vocabulary import check_placeholder, placeholder_names


class HandleTokens:
    """Placeholder token j has id `first_ids[e]` + j in the tokenizer of text encoder e, exactly as after
    `tokenizer.add_tokens` in that order.

    tokenizers: one a text encoder; placeholder: `<asset{index}>`. Ids are padded and cut to the tokenizers'
    model_max_length, as Stable Diffusion does; each tokenizer pads with its own token.
    """

    def __init__(self, tokenizers: Sequence[CLIPTokenizer], placeholder: str = "<asset{index}>") -> None:
        self.names = placeholder_names(placeholder)
        self.tokenizers = [self._extended(tokenizer, placeholder) for tokenizer in tokenizers]
        self.first_ids = [len(tokenizer) for tokenizer in tokenizers]
        lengths = [tokenizer.model_max_length for tokenizer in tokenizers]
        if len(set(lengths)) != 1:
            raise SpecError(
                f"models.base: its tokenizers read texts of different lengths "
                f"({' and '.join(map(str, lengths))} tokens); name a model whose tokenizers agree"
            )
        self._ids: dict[str, Tensor] = {}

    def _extended(self, tokenizer: CLIPTokenizer, placeholder: str) -> CLIPTokenizer:
        check_placeholder(placeholder, tokenizer.get_vocab())
        extended = copy.deepcopy(tokenizer)
        if extended.add_tokens(self.names) != len(self.names):  # the tokenizer makes the same of two of them
            raise SpecError(
                f"extract.placeholder: {placeholder!r} gives tokens that the base model's tokenizer does not tell "
                f"apart; choose another, such as <asset{{index}}>"
            )
        return extended

    def ids(self, prompt: str) -> Tensor:
        """int64 [E, T], a row a text encoder. Cached: a job has few prompts."""
        if prompt not in self._ids:
            if len(self._ids) > 4096:
                self._ids.clear()
            self._ids[prompt] = torch.cat(
                [
                    tokenizer(
                        prompt,
                        padding="max_length",
                        max_length=tokenizer.model_max_length,
                        truncation=True,
                        return_tensors="pt",
                    ).input_ids
                    for tokenizer in self.tokenizers
                ]
            )
        return self._ids[prompt]

    def positions(self, prompt: str, handles: Sequence[int]) -> list[int]:
        """Where each handle stands in the prompt (first occurrence), the same for every text encoder."""
        found = [
            self._positions(row, first, prompt, handles)
            for row, first in zip(self.ids(prompt).tolist(), self.first_ids, strict=True)
        ]
        if any(other != found[0] for other in found):
            raise SpecError(
                f"extract.template: the base model's tokenizers cut {prompt!r} into different "
                f"numbers of tokens, so a handle has no one place in it; put the handles first or "
                f"use common words"
            )
        return found[0]

    def _positions(self, ids: list[int], first: int, prompt: str, handles: Sequence[int]) -> list[int]:
        missing = [self.names[j] for j in handles if first + j not in ids]
        if missing:
            raise SpecError(
                f"extract.template: {' '.join(missing)} did not fit into the {len(ids)} tokens "
                f"that the base model reads ({prompt!r}); shorten the template"
            )
        return [ids.index(first + j) for j in handles]

    def first_subtokens(self, word: str) -> tuple[int, ...] | None:
        """Id of the word's first sub-token for each text encoder, or None where one does not know it."""
        found: list[int] = []
        for tokenizer, first in zip(self.tokenizers, self.first_ids, strict=True):
            ids = tokenizer(word, add_special_tokens=False).input_ids
            if not ids or ids[0] == tokenizer.unk_token_id or ids[0] >= first:
                return None
            found.append(int(ids[0]))
        return tuple(found)

    def pick_word(self, word: str | None, default: str) -> tuple[str, tuple[int, ...]]:
        """The word a handle starts from and its ids, one a text encoder: the concept's own word if known,
        else `default`.
        """
        for candidate in (word, default):
            found = self.first_subtokens(candidate) if candidate else None
            if candidate and found is not None:
                return candidate, found
        raise SpecError(
            f"extract.init_word: the base model does not know {default!r}; choose a common noun that it knows"
        )


def stack_ids(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """Rows [E, T] -> [R, E, T] on the device."""
    return torch.stack(list(rows)).to(device, non_blocking=True)
