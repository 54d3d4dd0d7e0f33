"""Which weights a base's parts must have, as far as their configurations tell it in a few lines.

The text encoders' are all here; of UNet and VAE one or two a layer, enough to see that a block, a layer or a name is
lost before anything is started. The loaders' own report, in `loading`, is the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stages.models.base.fit import text_config
from stages.models.headers import Shapes

Config = Mapping[str, Any]
Outline = dict[str, tuple[int | None, ...] | None]
"""Name of a weight -> its shape, None for what is not told of it."""

_PLAIN_BLOCKS = ("DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D")


def text_outline(config: Config, projection: bool) -> Outline:
    """All weights of a CLIP text encoder, named without `text_model.`. projection: SDXL's second one has one more."""
    text = text_config(config)
    width, inner = int(text.get("hidden_size", 512)), int(text.get("intermediate_size", 2048))
    found: Outline = {
        "embeddings.token_embedding.weight": (int(text.get("vocab_size", 49408)), width),
        "embeddings.position_embedding.weight": (int(text.get("max_position_embeddings", 77)), width),
        "final_layer_norm.weight": (width,),
        "final_layer_norm.bias": (width,),
    }
    for layer in range(int(text.get("num_hidden_layers", 12))):
        rows = {f"self_attn.{name}_proj": width for name in "qkv"} | {"self_attn.out_proj": width}
        for name, out in (rows | {"mlp.fc1": inner, "mlp.fc2": width}).items():
            columns = inner if name == "mlp.fc2" else width
            found[f"encoder.layers.{layer}.{name}.weight"] = (out, columns)
            found[f"encoder.layers.{layer}.{name}.bias"] = (out,)
        for norm in ("layer_norm1", "layer_norm2"):
            found |= {f"encoder.layers.{layer}.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
    if projection:
        found["text_projection.weight"] = (int(text.get("projection_dim", 512)), width)
    return found


def unet_outline(config: Config) -> Outline:
    """Of a UNet2DConditionModel: its ends, every residual layer, and every cross-attention's reading of the text."""
    channels = config.get("block_out_channels", (320, 640, 1280, 1280))
    reads = _read_text(config)
    first, kernel = int(channels[0]), int(config.get("conv_in_kernel", 3))
    found: Outline = {
        "conv_in.weight": (first, int(config.get("in_channels", 4)), kernel, kernel),
        "conv_in.bias": (first,),
        "conv_norm_out.weight": (first,),
        "conv_out.weight": None,
        "conv_out.bias": (int(config.get("out_channels", 4)),),
        "time_embedding.linear_1.weight": None,
        "time_embedding.linear_2.weight": None,
    }
    if config.get("mid_block_type", "UNetMidBlock2DCrossAttn") == "UNetMidBlock2DCrossAttn":
        found |= {f"mid_block.resnets.{number}.conv1.weight": None for number in (0, 1)}
        found |= {f"mid_block.attentions.0.{name}": shape for name, shape in reads.items()}
    layers = config.get("layers_per_block", 2)
    for way, more in (("down", 0), ("up", 1)):
        kinds = config.get(f"{way}_block_types", ())
        per_block = [layers] * len(kinds) if isinstance(layers, int) else list(layers)
        if way == "up":
            per_block.reverse()
        for number, (kind, count) in enumerate(zip(kinds, per_block, strict=False)):
            if kind not in _PLAIN_BLOCKS:
                continue
            for layer in range(int(count) + more):
                found |= dict(_residual(f"{way}_blocks.{number}.resnets.{layer}"))
                if "CrossAttn" in kind:
                    found |= {f"{way}_blocks.{number}.attentions.{layer}.{name}": s for name, s in reads.items()}
    return found


def vae_outline(config: Config) -> Outline:
    """Of an AutoencoderKL: its ends and every residual layer."""
    channels = config.get("block_out_channels", (64,))
    latent, layers = int(config.get("latent_channels", 4)), int(config.get("layers_per_block", 1))
    found: Outline = {
        "encoder.conv_in.weight": (int(channels[0]), int(config.get("in_channels", 3)), 3, 3),
        "encoder.conv_out.weight": (2 * latent, int(channels[-1]), 3, 3),
        "decoder.conv_in.weight": (int(channels[-1]), latent, 3, 3),
        "decoder.conv_out.weight": (int(config.get("out_channels", 3)), int(channels[0]), 3, 3),
    }
    for side, way, more in (("encoder", "down", 0), ("decoder", "up", 1)):
        found |= {f"{side}.mid_block.resnets.{number}.conv1.weight": None for number in (0, 1)}
        kinds = config.get(f"{way}_block_types", ())
        for number, kind in enumerate(kinds):
            if kind in ("DownEncoderBlock2D", "UpDecoderBlock2D"):
                for layer in range(layers + more):
                    found |= dict(_plain(f"{side}.{way}_blocks.{number}.resnets.{layer}"))
    if config.get("use_quant_conv", True):
        found["quant_conv.weight"] = (2 * latent, 2 * latent, 1, 1)
    if config.get("use_post_quant_conv", True):
        found["post_quant_conv.weight"] = (latent, latent, 1, 1)
    return found


def without_prefix(shapes: Shapes) -> Shapes:
    """Names of a text encoder's weights without the `text_model.` of older and of projecting ones."""
    return {name.removeprefix("text_model."): shape for name, shape in shapes.items()}


def _residual(name: str) -> Iterator[tuple[str, None]]:
    yield from _plain(name)
    yield f"{name}.time_emb_proj.weight", None
    yield f"{name}.time_emb_proj.bias", None


def _plain(name: str) -> Iterator[tuple[str, None]]:
    for layer in ("norm1", "conv1", "norm2", "conv2"):
        yield f"{name}.{layer}.weight", None
        yield f"{name}.{layer}.bias", None


def _read_text(config: Config) -> Outline:
    """The first transformer block of an attention, as far as every attention of this UNet has one. SSD-1B and the like
    have numbers of their own for each, and some none."""
    layers = config.get("transformer_layers_per_block", 1)
    counts = [layers] if isinstance(layers, int) else list(layers)
    usual = config.get("reverse_transformer_layers_per_block") is None and not config.get("dual_cross_attention")
    if not usual or any(not isinstance(count, int) or count < 1 for count in counts):
        return {}
    width = config.get("cross_attention_dim", 1280)
    of_text = (None, width if isinstance(width, int) else None)
    own: Outline = {f"transformer_blocks.0.attn1.to_{kind}.weight": None for kind in "qkv"}
    return own | {
        "transformer_blocks.0.attn2.to_q.weight": None,
        "transformer_blocks.0.attn2.to_k.weight": of_text,
        "transformer_blocks.0.attn2.to_v.weight": of_text,
    }
