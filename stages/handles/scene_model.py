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
from stages.handles.tokens import HandleTokens
from stages.models.base.base_model import BaseModel
from stages.models.base.noise_schedule import NoiseSchedule
from stages.models.base.text_states import TextStates


class SceneModel:
    """Takes `base` over for good: its modules are wrapped in place. With nothing bound it computes what it
    did before.

    owners: which scene each row belongs to; set it before `text_states` and `predict`. embeddings: one a text
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
        # Read by SDXL's UNet: the picture's size, no crop, the size wanted, as its pipeline passes by default.
        self.sizes = torch.tensor([[base.side, base.side, 0.0, 0.0, base.side, base.side]], device=base.device)
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

    def text_states(self, ids: Tensor) -> TextStates:
        """ids: [R, E, T], a row an encoder -> what the pipeline of the base's own layout makes of them.

        SD 1.x / 2.x: the last hidden states. SDXL: the penultimate hidden states of both encoders side by
        side, and the second's pooled projection (taken where transformers finds the end of the text: with the
        legacy `eos_token_id: 2` of most SDXL configurations, at the highest id, which is a handle's).
        """
        base = self.base
        with base.arithmetic():
            if base.text_encoder_2 is None:
                return TextStates(base.text_encoder(ids[:, 0]).last_hidden_state)
            first = base.text_encoder(ids[:, 0], output_hidden_states=True)
            second = base.text_encoder_2(ids[:, 1], output_hidden_states=True)
            states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
            return TextStates(states, second.text_embeds)

    def zero_negative(self, prompt: str) -> bool:
        """Whether this negative prompt stands for states of zeros: empty, and the base asks for that. Its
        pipeline does so when it is given no negative prompt.
        """
        return self.base.zero_negative and not prompt

    def predict(self, latents: Tensor, timesteps: Tensor, text: TextStates) -> Tensor:
        """The UNet's output, float32. latents: [R, C, h, w]; timesteps: [R]; text: of R rows."""
        added = (
            None
            if text.pooled is None
            else {"text_embeds": text.pooled, "time_ids": self.sizes.expand(latents.shape[0], -1)}
        )
        with self.base.arithmetic():
            (output,) = self.base.unet(
                latents, timesteps, encoder_hidden_states=text.states, added_cond_kwargs=added, return_dict=False
            )
        return output.float()

    def initial_handles(self, word_ids: Sequence[Sequence[tuple[int, ...]]]) -> Tensor:
        """word_ids: for each scene and handle the ids of its word, one a text encoder -> [S, N_max, d]
        float32, padded with zeros.
        """
        tables = [embedding.weight.detach() for embedding in self.embeddings]
        handles = torch.zeros(len(word_ids), max(map(len, word_ids)), sum(self.widths), device=tables[0].device)
        for scene, words in enumerate(word_ids):
            for j, ids in enumerate(words):
                handles[scene, j] = torch.cat([table[i].float() for table, i in zip(tables, ids, strict=True)])
        return handles
