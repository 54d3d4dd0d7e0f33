"""Cross-attention maps of the handles, with their graph, from the few layers that the attention loss reads.

Only those layers materialise probabilities, and only for instance rows; every other row and layer takes fused
attention. Recorded maps keep their gradient under (non-reentrant) gradient checkpointing, because the first
forward pass there builds a graph too; its recomputation walks the same path and is not recorded again.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional

from stages.models.base.layout import check_map_side


def cross_attention_layers(unet: UNet2DConditionModel) -> dict[str, int]:
    """Name -> side of its maps, for every cross-attention of the down and up blocks (mid block excluded).

    Walks the module tree, so it works for any UNet and on the meta device. Sides are in latent elements.
    """
    size = unet.config.sample_size
    side = size if isinstance(size, int) else size[0]
    layers: dict[str, int] = {}
    larger: list[int] = []  # an uneven side is halved up, and comes back as it was: at the size of its skip connection
    for kind, blocks in (("down_blocks", unet.down_blocks), ("up_blocks", unet.up_blocks)):
        for number, block in enumerate(blocks):
            for name, _ in block.named_modules():
                if name.endswith("attn2"):
                    layers[f"{kind}.{number}.{name}"] = side
            if getattr(block, "downsamplers", None) is not None:
                larger.append(side)
                side = math.ceil(side / 2)
            if getattr(block, "upsamplers", None) is not None:
                side = larger.pop()
    return layers


def loss_layers(unet: UNet2DConditionModel, image_side: int, side: int | None = None) -> tuple[list[str], int]:
    """The layers of the attention loss and the side a of their maps: `side`, where it is given.

    The paper reads the maps at 1/32 of the image's side; a UNet without cross-attention there gives the
    nearest it has. Raises SpecError for a `side` that it has none at.
    """
    layers = cross_attention_layers(unet)
    if not layers:
        raise ValueError("the UNet has no cross-attention in its down and up blocks")
    sides = sorted(set(layers.values()), reverse=True)
    wanted = math.log2(image_side / 32)
    check_map_side(side, sides)
    if side is None:
        side = min(sides, key=lambda s: abs(math.log2(s) - wanted))
    return [name for name, s in layers.items() if s == side], side


class AttentionRecorder:
    """Collects the maps of one forward pass: `record`, run the UNet, `maps`.

    side: a, the side of the maps, None for the paper's; layers: names of the layers that are read.
    """

    def __init__(self, unet: UNet2DConditionModel, image_side: int, side: int | None = None) -> None:
        self.layers, self.side = loss_layers(unet, image_side, side)
        self.scenes = 0
        self.columns: Tensor | None = None
        self.found: dict[str, tuple[Tensor, int]] = {}
        for name in self.layers:
            unet.get_submodule(name).set_processor(RecordingAttention(self, name))

    def record(self, positions: Tensor, scenes: int, tokens: int) -> None:
        """positions: int64 [S, K], columns of the handles in the prompt; rows of the pass are [S * b],
        instance first.
        """
        self.found.clear()
        self.scenes = scenes
        columns = positions[..., None] == torch.arange(tokens, device=positions.device)
        self.columns = columns.float().mT.contiguous()

    def stop(self) -> None:
        """Forget maps and columns; the layers take fused attention again. Only after the backward pass."""
        self.found.clear()
        self.columns = None

    def maps(self) -> Tensor:
        """[S, K, a, a]: mean over all heads of all layers, with graph."""
        heads = sum(n for _, n in self.found.values())
        total = torch.stack([m for m, _ in self.found.values()]).sum(0) / heads
        return total.mT.unflatten(2, (self.side, self.side))

    def add(self, name: str, probabilities: Tensor) -> None:
        """probabilities: [S, heads, a * a, T] of one layer. The second call for a layer is a recomputation:
        ignored.
        """
        assert self.columns is not None
        summed = torch.bmm(probabilities.sum(1), self.columns)
        if name not in self.found:
            self.found[name] = (summed, probabilities.shape[1])


class RecordingAttention:
    """Attention processor of one layer that the loss reads."""

    def __init__(self, recorder: AttentionRecorder, name: str) -> None:
        self.recorder, self.name = recorder, name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """hidden_states: [R, a * a, features]; encoder_hidden_states: [R, T, context]."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            split_heads(layer(x), attn.heads)
            for layer, x in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        if self.recorder.columns is None:
            mixed = functional.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        else:
            mixed = self._recorded(query, key, value, attn.scale)
        mixed = mixed.transpose(1, 2).flatten(2).to(query.dtype)
        return attn.to_out[1](attn.to_out[0](mixed))

    def _recorded(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query, key, value: [S * b, heads, tokens, features a head]."""
        each = query.shape[0] // self.recorder.scenes
        if each == 1:
            return self._materialised(query, key, value, scale)
        query, key, value = (x.unflatten(0, (-1, each)) for x in (query, key, value))
        first = self._materialised(query[:, 0], key[:, 0], value[:, 0], scale)
        rest = functional.scaled_dot_product_attention(
            query[:, 1:].flatten(0, 1), key[:, 1:].flatten(0, 1), value[:, 1:].flatten(0, 1), scale=scale
        )
        return torch.cat([first[:, None], rest.unflatten(0, (-1, each - 1))], dim=1).flatten(0, 1)

    def _materialised(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            scores = torch.matmul(query.float() * scale, key.float().mT)
            probabilities = scores.softmax(dim=-1)
            self.recorder.add(self.name, probabilities)
            return torch.matmul(probabilities.to(value.dtype), value)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[R, tokens, heads * features] -> [R, heads, tokens, features]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)
