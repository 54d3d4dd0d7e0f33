"""An autoencoder grown by one level: pictures twice as large, latents the same.

Most of what an autoencoder learns it learns at half the size for a quarter of the work. The level that is put in front
of the encoder halves the picture and otherwise lets it pass; the one behind the decoder enlarges it smoothly. From
there, training sharpens what is already right.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn


def build(channels: tuple[int, ...]) -> AutoencoderKL:
    """An untrained autoencoder, no attention, with a level at the picture's size and one for each time it is halved, to
    latents of 16x16x4. channels: of the levels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=16 * 2 ** (len(channels) - 1),
        mid_block_add_attention=False,
    )


@torch.no_grad()
def grown(small: AutoencoderKL) -> AutoencoderKL:
    """`small` with one level more at the picture's size, as wide as its widest picture level; its latents of a picture
    are nearly those that `small` has of the picture at half the size."""
    channels = tuple(small.config.block_out_channels)
    large = build((channels[0], *channels))
    known, levels = small.state_dict(), len(channels)
    moved: dict[str, Tensor] = {}
    for name, value in known.items():
        if name.startswith("encoder.down_blocks."):  # every level makes room for the new first one
            number, rest = name.removeprefix("encoder.down_blocks.").split(".", 1)
            name = f"encoder.down_blocks.{int(number) + 1}.{rest}"
        moved[name] = value
    for end in ("encoder.conv_in", "decoder.conv_out"):
        moved[f"{end}.weight"] = _finer(known[f"{end}.weight"])
    large.load_state_dict(large.state_dict() | moved)
    _pass_through(large.encoder.down_blocks[0].resnets)
    _pass_through(large.decoder.up_blocks[levels].resnets)
    _spread(large.encoder.down_blocks[0].downsamplers[0].conv, torch.tensor([0.5, 0.5, 0.0]))
    _spread(large.decoder.up_blocks[levels - 1].upsamplers[0].conv, torch.tensor([0.25, 0.5, 0.25]))
    return large


def _finer(kernel: Tensor) -> Tensor:
    """A kernel [out, in, 3, 3] for pixels half as large: slopes there are half as steep, evenness is the same."""
    even = kernel.mean((2, 3), keepdim=True)
    return even + 2 * (kernel - even)


def _pass_through(resnets: nn.ModuleList) -> None:
    """Residual blocks that add nothing yet."""
    for resnet in resnets:
        nn.init.zeros_(resnet.conv2.weight)
        nn.init.zeros_(resnet.conv2.bias)


def _spread(conv: nn.Conv2d, weights: Tensor) -> None:
    """Each channel a weighted mean of its own neighbours. weights: [3], of rows and of columns."""
    conv.weight.zero_()
    conv.bias.zero_()
    for channel in range(len(conv.weight)):
        conv.weight[channel, channel] = weights[:, None] * weights
