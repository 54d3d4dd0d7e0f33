"""Handles as token embeddings: a lookup that gives each row the handles of its own scene.

The base table is neither copied nor resized, so rows that are no handles cannot change (the published script
restores them after every step instead).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stages.handles.row_owners import RowOwners


class HandleEmbedding(nn.Module):
    """Stands in for a text encoder's `token_embedding`.

    handles: [S, N_max, d], bound from outside, d the width of this encoder; id `first_id` + j is handle j of
    the row's scene.
    """

    def __init__(self, base: nn.Embedding, first_id: int, owners: RowOwners) -> None:
        super().__init__()
        self.base, self.first_id, self.owners = base, first_id, owners
        self._bound: tuple[Tensor | None] = (None,)

    @property
    def handles(self) -> Tensor | None:
        return self._bound[0]

    def bind(self, handles: Tensor | None) -> None:
        """handles: [S, N_max, d], or None. In a tuple, or torch would make them a parameter of the base
        model.
        """
        self._bound = (handles,)

    @property
    def weight(self) -> Tensor:
        """The base table [vocabulary, d]: transformers reads its dtype and shape."""
        return self.base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """ids: int64 [R, T] -> [R, T, d]; float32 where handles are bound."""
        if self.handles is None:
            return self.base(ids)
        slot = ids - self.first_id
        plain = self.base(torch.where(slot < 0, ids, torch.zeros_like(ids))).float()
        table = self.owners.spread(self.handles, ids.shape[0])
        # One product and zeros sum up exactly; the backward pass, unlike an indexed one, has a fixed order.
        chosen = (slot[..., None] == torch.arange(table.shape[1], device=ids.device)).to(table.dtype)
        handles = (chosen[..., None] * table[:, None]).sum(2)
        return torch.where((slot >= 0)[..., None], handles, plain)


def text_body(text_encoder: nn.Module) -> Any:
    """The module that holds `embeddings` and `encoder`: encoders with a projection, and older transformers,
    keep it one level down, as `text_model`.
    """
    return getattr(text_encoder, "text_model", text_encoder)


def install_handles(text_encoder: nn.Module, first_id: int, owners: RowOwners) -> HandleEmbedding:
    """Puts a HandleEmbedding in the place of the encoder's token embedding and returns it."""
    embeddings = text_body(text_encoder).embeddings
    embeddings.token_embedding = installed = HandleEmbedding(embeddings.token_embedding, first_id, owners)
    return installed
