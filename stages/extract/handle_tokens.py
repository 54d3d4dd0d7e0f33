"""From words and handles to token ids: the base's tokenizer with the placeholder tokens added."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from schemas.errors import SpecError

MOST_HANDLES = 17
"""`segment.max_concepts` ends at 16, and the background may be one more."""


class HandleTokens:
    """Placeholder token j has id `first_id` + j, exactly as after `tokenizer.add_tokens` in that order.

    placeholder: `<asset{index}>`. Ids are padded and cut to the tokenizer's model_max_length, as Stable
    Diffusion does.
    """

    def __init__(self, tokenizer: CLIPTokenizer, placeholder: str = "<asset{index}>") -> None:
        self.names = [placeholder.replace("{index}", str(j)) for j in range(MOST_HANDLES)]
        self.first_id = len(tokenizer)
        self.unknown_id = tokenizer.unk_token_id
        self.tokenizer = copy.deepcopy(tokenizer)
        known = [name for name in self.names if name in tokenizer.get_vocab()]
        if known or self.tokenizer.add_tokens(self.names) != MOST_HANDLES:
            raise SpecError(f"extract.placeholder: {placeholder!r} gives tokens that the base model knows "
                            f"already ({', '.join(known) or 'or that are all the same'}); choose another, "
                            f"such as <asset{{index}}>")
        self._ids: dict[str, Tensor] = {}

    def ids(self, prompt: str) -> Tensor:
        """int64 [T]. Cached: a job has few prompts."""
        if prompt not in self._ids:
            if len(self._ids) > 4096:
                self._ids.clear()
            out = self.tokenizer(prompt, padding="max_length", max_length=self.tokenizer.model_max_length,
                                 truncation=True, return_tensors="pt")
            self._ids[prompt] = out.input_ids[0]
        return self._ids[prompt]

    def positions(self, prompt: str, handles: Sequence[int]) -> list[int]:
        """Where each handle stands in the prompt (first occurrence)."""
        ids = self.ids(prompt).tolist()
        missing = [self.names[j] for j in handles if self.first_id + j not in ids]
        if missing:
            raise SpecError(f"extract.template: {' '.join(missing)} did not fit into the {len(ids)} tokens "
                            f"that the base model reads ({prompt!r}); shorten the template")
        return [ids.index(self.first_id + j) for j in handles]

    def first_subtoken(self, word: str) -> int | None:
        """Id of the word's first sub-token, or None where the base model does not know it."""
        ids = self.tokenizer(word, add_special_tokens=False).input_ids
        if not ids or ids[0] == self.unknown_id or ids[0] >= self.first_id:
            return None
        return int(ids[0])

    def pick_word(self, word: str | None, default: str) -> tuple[str, int]:
        """The word a handle starts from and its id: the concept's own word if known, else `default`."""
        for candidate in (word, default):
            found = self.first_subtoken(candidate) if candidate else None
            if candidate and found is not None:
                return candidate, found
        raise SpecError(f"extract.init_word: the base model does not know {default!r}; choose a common noun "
                        f"that it knows")


def stack_ids(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """Rows [T] -> [R, T] on the device."""
    return torch.stack(list(rows)).to(device, non_blocking=True)
