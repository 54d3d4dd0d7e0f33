"""Segment Anything's mask decoder for the same point prompts on many pictures, in one pass.

The library's decoder takes one picture, copies its embedding for each prompt, and projects every copy. The same
numbers, up to floating-point noise, come with about a third of the work:

- Before the first layer all prompts of a picture see the same pixels, so these are projected once a picture.
- Later each prompt has pixels of its own. A prompt has 7 tokens and a picture thousands of pixels, so a projection
  between them is moved to the side of the tokens: (x W) t = x (W t).
- Only the tokens that are read leave the last attention, and masks are made only of prompts that are asked for:
  estimates of quality come first (`Decoded.predicted_iou`), pixels after (`Decoded.logits`).

Formulas and weights: segment_anything/modeling/mask_decoder.py and transformer.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.mask_decoder import MaskDecoder
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor
from torch.nn import functional as F

CACHED, ON_GPU = 2**20, 2**27
"""Numbers in one tensor while masks are enlarged: 4 MB on a CPU, 512 MB on a GPU."""


@dataclass(frozen=True)
class Decoded:
    """What the transformer makes of B = pictures x points prompts, picture by picture.

    predicted_iou: [B, 3], the model's own estimates for its three masks of a prompt (`multimask_output`).
    pixels: [B, h * w, C]. mask_tokens: [B, 3, C]. grid: (h, w) of the embedding.
    """

    decoder: MaskDecoder
    predicted_iou: Tensor
    pixels: Tensor
    mask_tokens: Tensor
    grid: tuple[int, int]

    def logits(self, good: Tensor) -> Tensor:
        """Low-resolution logits [n, 4 h, 4 w] of the n masks that are set in `good` (bool [B, 3]), in their order.

        Prompts without such a mask cost nothing, the others are enlarged a few at a time: on a CPU what stays in its
        cache is much faster.
        """
        prompts = good.any(dim=1).nonzero()[:, 0]
        room = CACHED if self.pixels.device.type == "cpu" else ON_GPU
        step = max(1, room // (2 * self.pixels.shape[1] * self.pixels.shape[2]))
        parts = [self.enlarged(part)[good[part]] for part in prompts.split(step)]
        h, w = self.grid
        logits = torch.cat(parts).view(-1, h, w, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6)
        return logits.reshape(-1, 4 * h, 4 * w)

    def enlarged(self, prompts: Tensor) -> Tensor:
        """Logits [n, 3, h * w * 16] of n prompts, named by their numbers: 16 of each pixel, as 2 x 2 of 2 x 2.

        The transposed convolutions do not overlap (kernel 2, stride 2), so each is a product with pixels as rows.
        """
        first, norm, activation, second, last = self.decoder.output_upscaling
        # Adding the bias in place is faster here than a fused product with it, which fills its output first.
        up = (self.pixels[prompts] @ first.weight.permute(0, 2, 3, 1).flatten(1)).add_(first.bias.repeat(4))
        up = activation(F.layer_norm(up.unflatten(-1, (4, -1)), norm.weight.shape, norm.weight, norm.bias, norm.eps))
        up = last((up @ second.weight.permute(0, 2, 3, 1).flatten(1)).add_(second.bias.repeat(4)))
        nets = self.decoder.output_hypernetworks_mlps
        rows = torch.stack([nets[i + 1](self.mask_tokens[prompts, i]) for i in range(3)], dim=1)  # [n, 3, C / 8]
        return rows @ up.reshape(len(prompts), -1, rows.shape[-1]).transpose(1, 2)


def point_tokens(sam: Sam, points: Tensor) -> Tensor:
    """Token embeddings [P, 2, C] of P foreground points [P, 2] (x, y; pixels of the model's input), each followed by
    the padding token."""
    labels = torch.ones((len(points), 1), dtype=torch.int, device=points.device)
    sparse, _ = sam.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
    return sparse


def decode(sam: Sam, embeddings: Tensor, tokens: Tensor) -> Decoded:
    """P prompts (`point_tokens`, [P, 2, C]) on each of I pictures (embeddings [I, C, h, w]): B = I x P."""
    decoder, transformer = sam.mask_decoder, sam.mask_decoder.transformer
    (count, _, h, w), prompts = embeddings.shape, len(tokens)
    dense = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    pixels = (embeddings + dense).flatten(2).transpose(1, 2).contiguous()  # [I, h w, C]
    places = sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2)  # [1, h w, C]
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    marks = torch.cat([output.expand(prompts, -1, -1), tokens], dim=1).repeat(count, 1, 1)  # [B, 7, C]
    queries = marks
    for layer in transformer.layers:
        queries, pixels = _layer(layer, queries, pixels, marks, places)
    read = [0, *range(2, 1 + decoder.num_mask_tokens)]  # the IoU token and the masks of `multimask_output`
    queries, marks = queries[:, read], marks[:, read]
    queries = queries + _to_pixels(transformer.final_attn_token_to_image, queries + marks, pixels, pixels + places)
    queries = transformer.norm_final_attn(queries)
    iou = decoder.iou_prediction_head(queries[:, 0])[:, 1:]
    return Decoded(decoder, iou, pixels, queries[:, 1:], (h, w))


def _layer(
    layer: TwoWayAttentionBlock, queries: Tensor, pixels: Tensor, marks: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """One block: queries [B, 7, C] and pixels [B or I, N, C] -> both of B prompts."""
    if layer.skip_first_layer_pe:
        queries = layer.self_attn(q=queries, k=queries, v=queries)
    else:
        placed = queries + marks
        queries = queries + layer.self_attn(q=placed, k=placed, v=queries)
    queries = layer.norm1(queries)
    placed_pixels = pixels + places
    queries = layer.norm2(queries + _to_pixels(layer.cross_attn_token_to_image, queries + marks, pixels, placed_pixels))
    queries = layer.norm3(queries + layer.mlp(queries))
    pixels = _from_tokens(layer.cross_attn_image_to_token, queries + marks, queries, pixels, placed_pixels)
    return queries, layer.norm4(pixels)


def _to_pixels(attention: Attention, asked: Tensor, pixels: Tensor, placed: Tensor) -> Tensor:
    """Tokens [B, T, C] attend to pixels [G, N, C], whose places are added in `placed`: [B, T, C].

    G = B: each prompt has its own pixels. Else B / G prompts in a row share them.
    """
    (batch, tokens, _), groups, heads = asked.shape, len(pixels), attention.num_heads
    query = attention.q_proj(asked).unflatten(-1, (heads, -1)) / _root(attention)  # [B, T, heads, d]
    if groups == batch:
        # The keys' bias is the same for all pixels: softmax does not see it.
        moved = torch.einsum("bthd,hdc->bhtc", query, attention.k_proj.weight.unflatten(0, (heads, -1)))
        weights = torch.softmax(moved.flatten(1, 2) @ placed.transpose(1, 2), dim=-1)  # [B, heads T, N]
        mixed = (weights @ pixels).unflatten(1, (heads, -1))
        out = torch.einsum("bhtc,hdc->bthd", mixed, attention.v_proj.weight.unflatten(0, (heads, -1))).flatten(2)
        return attention.out_proj(out + attention.v_proj.bias)
    key, value = (
        project(x).unflatten(-1, (heads, -1)).transpose(1, 2)
        for project, x in ((attention.k_proj, placed), (attention.v_proj, pixels))
    )  # [G, heads, N, d]
    query = query.reshape(groups, -1, *query.shape[2:]).transpose(1, 2)  # [G, heads, B / G T, d]
    out = torch.softmax(query @ key.transpose(2, 3), dim=-1) @ value
    return attention.out_proj(out.transpose(1, 2).reshape(batch, tokens, -1))


def _from_tokens(attention: Attention, asked: Tensor, told: Tensor, pixels: Tensor, placed: Tensor) -> Tensor:
    """Pixels [G, N, C] plus what they get by attending to tokens [B, T, C] (`asked` with marks, `told` without):
    [B, N, C]. G as in `_to_pixels`."""
    (batch, tokens, _), groups, heads = asked.shape, len(pixels), attention.num_heads
    key = attention.k_proj(asked).unflatten(-1, (heads, -1)) / _root(attention)  # [B, T, heads, d]
    value = attention.v_proj(told).unflatten(-1, (heads, -1))
    # Weights of a head sum to one over the tokens, so the output's bias can be handed out with the values.
    value = torch.einsum("bthd,chd->bhtc", value, attention.out_proj.weight.unflatten(1, (heads, -1)))
    value = (value + attention.out_proj.bias / heads).flatten(1, 2)  # [B, heads T, C]
    if groups == batch:
        moved = torch.einsum("bthd,hdc->bhtc", key, attention.q_proj.weight.unflatten(0, (heads, -1))).flatten(1, 2)
        bias = (key * attention.q_proj.bias.unflatten(0, (heads, -1))).sum(-1).transpose(1, 2).reshape(batch, -1, 1)
        weights = torch.baddbmm(bias, moved, placed.transpose(1, 2))  # [B, heads T, N]
    else:
        query = attention.q_proj(placed).unflatten(-1, (heads, -1)).permute(0, 2, 3, 1)  # [G, heads, d, N]
        key = key.reshape(groups, -1, *key.shape[2:]).transpose(1, 2)  # [G, heads, B / G T, d]
        weights = (key @ query).unflatten(2, (-1, tokens)).transpose(1, 2).reshape(batch, heads * tokens, -1)
        pixels = pixels.repeat_interleave(batch // groups, dim=0)
    weights = torch.softmax(weights.unflatten(1, (heads, tokens)), dim=2).flatten(1, 2)
    return torch.baddbmm(pixels, weights.transpose(1, 2), value)


def _root(attention: Attention) -> float:
    return float((attention.internal_dim / attention.num_heads) ** 0.5)
