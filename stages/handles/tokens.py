"""From words and handles to token ids: the base's tokenizers with the placeholder tokens added."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from schemas.errors import SceneError, SpecError
from stages.handles.placeholders import with_handles
from stages.models.base.vocabulary import placeholder_names

Pieces = tuple[int, ...]
"""Ids of a word's tokens for one text encoder: a word that the tokenizer cuts has several."""


class HandleTokens:
    """Placeholder token j has id `first_ids[e]` + j in the tokenizer of text encoder e, exactly as after
    `tokenizer.add_tokens` in that order.

    tokenizers: one a text encoder; placeholder: `<asset{index}>`. Ids are padded and cut to the tokenizers'
    model_max_length, as Stable Diffusion does; each tokenizer pads with its own token.
    """

    def __init__(self, tokenizers: Sequence[CLIPTokenizer], placeholder: str = "<asset{index}>") -> None:
        self.names = placeholder_names(placeholder)
        self.tokenizers = [with_handles(tokenizer, placeholder) for tokenizer in tokenizers]
        self.first_ids = [len(tokenizer) for tokenizer in tokenizers]
        lengths = [tokenizer.model_max_length for tokenizer in tokenizers]
        if len(set(lengths)) != 1:
            raise SpecError(
                f"models.base: its tokenizers read texts of different lengths "
                f"({' and '.join(map(str, lengths))} tokens); name a model whose tokenizers agree"
            )
        self._ids: dict[str, Tensor] = {}

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

    def check(self, name: str, prompt: str, handles: Sequence[int], count: int) -> None:
        """Raises SceneError where a text encoder does not read all of `handles` in the prompt, or where it names
        a handle that a scene with `count` of them does not have. name: the spec's field that it comes of."""
        for row, first in zip(self.ids(prompt).tolist(), self.first_ids, strict=True):
            found = {number - first for number in row if number >= first}
            unread = [self.names[j] for j in handles if j not in found]
            if unread:
                raise SceneError(
                    f"{name}: {unread[0]} does not fit into the {len(row)} tokens that the base model reads of "
                    f"{prompt!r}; shorten it, or ask for fewer handles at once in generate.subsets"
                )
            strange = sorted(j for j in found if j >= count)
            if strange:
                raise SceneError(
                    f"{name}: {prompt!r} names {self.names[strange[0]]}, and the scene has {count} of these; take the "
                    "name out, write {handles} in its place, and ask for concepts in generate.subsets"
                )

    def pieces(self, word: str) -> tuple[Pieces, ...] | None:
        """Ids of the word's tokens for each text encoder, or None where one does not know all of it."""
        found: list[Pieces] = []
        for tokenizer, first in zip(self.tokenizers, self.first_ids, strict=True):
            ids = tuple(map(int, tokenizer(word, add_special_tokens=False).input_ids))
            if not ids or tokenizer.unk_token_id in ids or max(ids) >= first:
                return None
            found.append(ids)
        return tuple(found)

    def start(self, word: str | None, default: str) -> tuple[str, tuple[Pieces, ...]]:
        """The word a handle starts from and the ids of its tokens for each text encoder: the concept's own word if
        known, else `default`. Of several tokens it starts from the mean (`SceneModel.initial_handles`).
        """
        for candidate in (word, default):
            found = self.pieces(candidate) if candidate else None
            if candidate and found is not None:
                return candidate, found
        raise SpecError(
            f"extract.init_word: the base model does not know {default!r}; choose a common noun that it knows"
        )

    def pick_word(self, word: str | None, default: str) -> tuple[str, tuple[int, ...]]:
        """As `start`, with the id of the first token alone, which is where the published script starts from: for what
        is measured against it."""
        picked, found = self.start(word, default)
        return picked, tuple(ids[0] for ids in found)


def stack_ids(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """Rows [E, T] -> [R, E, T] on the device."""
    return torch.stack(list(rows)).to(device, non_blocking=True)
