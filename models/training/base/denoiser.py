"""What is trained: the UNet and its text encoder as one module, with the head that is thrown away in the end."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn
from transformers import CLIPTokenizer

from models.training.base.dense import DenseHead
from models.training.base.parts import build_text_encoder, build_unet


class Denoiser(nn.Module):
    """The trained pair as one module, so that one optimizer, one average and one state hold both."""

    def __init__(self, tokens: CLIPTokenizer) -> None:
        super().__init__()
        self.tokens = tokens
        self.unet = build_unet()
        self.text_encoder = build_text_encoder(tokens)
        self.dense = DenseHead(self.unet.config.block_out_channels[-1])
        self.unet.up_blocks[0].register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._coarse = output

    def suit(self, device: str) -> Denoiser:
        """On `device`, as it computes fastest there. With heads of so few channels PyTorch's fused attention is slow to
        differentiate on a CPU: plain matrices train the whole UNet a fifth faster."""
        self.unet.set_attn_processor(AttnProcessor2_0() if device.startswith("cuda") else AttnProcessor())
        return self.to(device, memory_format=torch.channels_last)

    def forward(self, noisy: Tensor, timesteps: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """noisy [b, 4, h, w], timesteps [b], token_ids [b, 32]; returns the predicted velocity [b, 4, h, w], and
        the logits of what lies where, see `dense`."""
        velocity = self.unet(noisy, timesteps, self.text_encoder(token_ids)[0]).sample
        return velocity, self.dense(self._coarse)


def adopt(model: Denoiser, base: Path) -> None:
    """Start from the weights of another base of the same shape; a word that both vocabularies hold keeps its row."""
    other = StableDiffusionPipeline.from_pretrained(base, torch_dtype=torch.float32)
    model.unet.load_state_dict(other.unet.state_dict())
    table = "embeddings.token_embedding.weight"
    fresh, old = model.text_encoder.state_dict(), other.text_encoder.state_dict()
    name = next(key for key in fresh if key.endswith(table))
    rows = fresh[name].clone()
    known = other.tokenizer.get_vocab()
    for token, row in model.tokens.get_vocab().items():
        if token in known:
            rows[row] = old[name][known[token]]
    model.text_encoder.load_state_dict(old | {name: rows})
