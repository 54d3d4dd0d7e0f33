"""The frozen base model with the handles and LoRA factors of a batch of scenes bound to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stages.handles.attention_maps import AttentionRecorder
from stages.handles.embedding import install_handles
from stages.handles.lora.layout import LoraLayout
from stages.handles.lora.sites import install_lora, make_layout
from stages.handles.row_owners import RowOwners
from stages.handles.tokens import HandleTokens, Pieces
from stages.models.base.base_model import BaseModel
from stages.models.base.noise_schedule import NoiseSchedule


class SceneModel:
    """Takes `base` over for good: its modules are wrapped in place. With nothing bound it computes what it
    did before.

    owners: which scene each row belongs to; set it before `base.text_states` and `base.predict`. embeddings: one a text
    encoder; widths: how many columns of the handles each of them reads, side by side. attention_maps: side of the maps
    that the attention loss reads, None for the paper's.
    """

    def __init__(self, base: BaseModel, placeholder: str, attention_maps: int | None = None) -> None:
        self.base = base
        self.tokens = HandleTokens(base.tokenizers, placeholder)
        self.owners = RowOwners()
        self.schedule = NoiseSchedule(base.scheduler, base.device)
        self.recorder = AttentionRecorder(base.unet, base.side, attention_maps)
        self.embeddings = [
            install_handles(encoder, first_id, self.owners)
            for encoder, first_id in zip(base.text_encoders.values(), self.tokens.first_ids, strict=True)
        ]
        self.widths = tuple(embedding.weight.shape[1] for embedding in self.embeddings)
        self.lora = install_lora({"unet": base.unet, **base.text_encoders}, self.owners)

    def layout(self, rank: int, text_encoder: bool, targets: str = "attention") -> LoraLayout:
        return make_layout(self.lora, rank, text_encoder, targets)

    def bind(self, handles: Tensor | None, flat: Tensor | None = None, layout: LoraLayout | None = None) -> None:
        """handles: [S, N_max, d], d the sum of `widths`; flat: LoRA factors [S, P] in `layout`. None takes
        them off.
        """
        columns = [None] * len(self.widths) if handles is None else handles.split(self.widths, dim=-1)
        for embedding, part in zip(self.embeddings, columns, strict=True):
            embedding.bind(part)
        pairs = (
            {} if flat is None or layout is None else {site.name: (down, up) for site, down, up in layout.pairs(flat)}
        )
        unknown = sorted(set(pairs) - set(self.lora))
        if unknown:
            raise ValueError(f"the factors belong to another base model: it has no layer {unknown[0]}")
        for name, wrapper in self.lora.items():
            wrapper.pair = pairs.get(name)

    def release(self) -> None:
        """Back to the plain base."""
        self.bind(None)
        self.recorder.stop()

    def initial_handles(self, word_ids: Sequence[Sequence[Sequence[int | Pieces]]]) -> Tensor:
        """word_ids: for each scene and handle the id of its word, or the ids of its tokens, of which it is the mean,
        one a text encoder -> [S, N_max, d] float32, padded with zeros.
        """
        tables = [embedding.weight.detach() for embedding in self.embeddings]
        handles = torch.zeros(len(word_ids), max(map(len, word_ids)), sum(self.widths), device=tables[0].device)
        for scene, words in enumerate(word_ids):
            for j, ids in enumerate(words):
                handles[scene, j] = torch.cat([_row(table, i) for table, i in zip(tables, ids, strict=True)])
        return handles


def _row(table: Tensor, ids: int | Pieces) -> Tensor:
    """[d] float32: the embedding of one token, or the mean of several."""
    return table[ids].float() if isinstance(ids, int) else table[list(ids)].float().mean(0)
