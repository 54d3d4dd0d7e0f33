"""The frozen base model with the handles and LoRA factors of a batch of scenes bound to it."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.base_loading import BaseModel
from stages.extract.attention_maps import AttentionRecorder
from stages.extract.handle_embedding import install_handles
from stages.extract.handle_tokens import HandleTokens
from stages.extract.noise_schedule import NoiseSchedule
from stages.extract.row_owners import RowOwners
from stages.extract.scene_lora import LoraLayout, install_lora, make_layout


class SceneModel:
    """Takes `base` over for good: its modules are wrapped in place. With nothing bound it computes what it
    did before.

    owners: which scene each row belongs to; set it before `text_states` and `predict`.
    """

    def __init__(self, base: BaseModel, placeholder: str) -> None:
        self.base = base
        self.tokens = HandleTokens(base.tokenizer, placeholder)
        self.owners = RowOwners()
        self.schedule = NoiseSchedule(base.scheduler, base.device)
        self.recorder = AttentionRecorder(base.unet, base.side)
        self.embedding = install_handles(base.text_encoder, self.tokens.first_id, self.owners)
        self.lora = install_lora({"unet": base.unet, "text_encoder": base.text_encoder}, self.owners)

    def layout(self, rank: int, text_encoder: bool, targets: str = "attention") -> LoraLayout:
        return make_layout(self.lora, rank, text_encoder, targets)

    def bind(self, handles: Tensor | None, flat: Tensor | None = None,
             layout: LoraLayout | None = None) -> None:
        """handles: [S, N_max, d]; flat: LoRA factors [S, P] in `layout`. None takes them off."""
        self.embedding.bind(handles)
        pairs = {} if flat is None or layout is None else {
            site.name: (down, up) for site, down, up in layout.pairs(flat)}
        unknown = sorted(set(pairs) - set(self.lora))
        if unknown:
            raise ValueError(f"the factors belong to another base model: it has no layer {unknown[0]}")
        for name, wrapper in self.lora.items():
            wrapper.pair = pairs.get(name)

    def release(self) -> None:
        """Back to the plain base."""
        self.bind(None)
        self.recorder.stop()

    def text_states(self, ids: Tensor) -> Tensor:
        """ids: [R, T] -> last hidden states [R, T, d]."""
        with self.base.arithmetic():
            return self.base.text_encoder(ids).last_hidden_state

    def predict(self, latents: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        """The UNet's output, float32. latents: [R, C, h, w]; timesteps: [R]; states: [R, T, d]."""
        with self.base.arithmetic():
            output, = self.base.unet(latents, timesteps, encoder_hidden_states=states, return_dict=False)
        return output.float()

    def initial_handles(self, word_ids: list[list[int]]) -> Tensor:
        """word_ids: for each scene the token id of each handle's word -> [S, N_max, d] float32, padded with
        zeros.
        """
        table = self.embedding.weight.detach()
        handles = torch.zeros(len(word_ids), max(map(len, word_ids)), table.shape[1], device=table.device)
        for scene, ids in enumerate(word_ids):
            handles[scene, :len(ids)] = table[ids].float()
        return handles
