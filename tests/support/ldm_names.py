"""How Stability's own code calls the layers of a UNet of diffusers, counted block by block as that code builds them:
the names by which ComfyUI, Forge and A1111 know every UNet, and kohya SDXL's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
    "time_emb_proj": "emb_layers.1",
}


def ldm_names(config: dict[str, Any], layers: list[str]) -> dict[str, str]:
    """Name of a layer in diffusers -> in Stability's code. config: of the UNet; layers: all its layers' names."""
    blocks = dict(_blocks(config))
    found = {}
    for layer in layers:
        for ours, theirs in blocks.items():
            if layer == ours or layer.startswith(f"{ours}."):
                rest = layer[len(ours) + 1 :]
                rest = RESNET.get(rest, rest) if ".resnets." in f"{ours}." else rest
                found[layer] = f"{theirs}.{rest}".rstrip(".")
    return found


def _blocks(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    depth, number = config["layers_per_block"], 1  # input_blocks.0 is the first convolution
    last = len(config["down_block_types"]) - 1
    for level, kind in enumerate(config["down_block_types"]):
        for layer in range(depth):
            yield f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0"
            if "CrossAttn" in kind:
                yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1"
            number += 1
        if level != last:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    for place, name in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        yield f"mid_block.{name}", f"middle_block.{place}"
    number = 0
    for level, kind in enumerate(config["up_block_types"]):
        for layer in range(depth + 1):
            inside = ["resnets"] + (["attentions"] if "CrossAttn" in kind else [])
            for place, name in enumerate(inside):
                yield f"up_blocks.{level}.{name}.{layer}", f"output_blocks.{number}.{place}"
            if layer == depth and level != last:
                yield f"up_blocks.{level}.upsamplers.0", f"output_blocks.{number}.{len(inside)}"
            number += 1
