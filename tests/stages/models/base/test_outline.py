"""What is foretold of a base's weights, and of its maps, against the models themselves on the meta device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.models import SD21, SDXL
from schemas.errors import SpecError
from stages.handles.cost import meta_unet
from stages.models.base.fit import check_vocabulary
from stages.models.base.outline import Outline, text_outline, unet_outline, vae_outline, without_prefix

SSD_1B = SDXL["unet"] | {
    "transformer_layers_per_block": [0, 2, 4],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
}
BK_SDM = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": [1, 2, 1],
    "cross_attention_dim": 768,
    "mid_block_type": None,
    "down_block_types": ["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2,
}


def foretold(outline: Outline, model: torch.nn.Module) -> set[str]:
    """Checks that the model has what the outline says; returns the names beyond it."""
    shapes = without_prefix({name: tuple(weight.shape) for name, weight in model.state_dict().items()})
    assert not set(outline) - set(shapes)
    for name, wanted in outline.items():
        assert wanted is None or all(a in (None, b) for a, b in zip(wanted, shapes[name], strict=True)), name
    return set(shapes) - set(outline)


@pytest.mark.parametrize(
    "config", [SD21["unet"], SDXL["unet"], SSD_1B, BK_SDM], ids=["sd21", "sdxl", "ssd-1b", "bk-sdm"]
)
def test_a_unet_has_what_its_configuration_foretells(config: dict[str, Any]) -> None:
    beyond = foretold(unet_outline(config), meta_unet(config))
    assert not any("resnets" in name and "conv_shortcut" not in name for name in beyond if "blocks" in name)


@pytest.mark.parametrize("config", [SD21["vae"], SDXL["vae"]])
def test_a_vae_has_what_its_configuration_foretells(config: dict[str, Any]) -> None:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):
        foretold(vae_outline(config | blocks), AutoencoderKL(**config, **blocks))


@pytest.mark.parametrize("config", [*SD21["text"], *SDXL["text"]])
def test_all_weights_of_a_text_encoder_are_foretold(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        for kind in (CLIPTextModel, CLIPTextModelWithProjection):
            projection = kind is CLIPTextModelWithProjection
            assert foretold(text_outline(config, projection), kind(CLIPTextConfig(**config))) == set()


def test_ids_that_are_left_out_would_be_handles() -> None:
    check_vocabulary("base", "tokenizer", {"a": 0, "b": 1}, "text_encoder", 4)
    with pytest.raises(SpecError, match="tokenizer of base leaves out ids: 2 tokens, the last .'b'. with number 2"):
        check_vocabulary("base", "tokenizer", {"a": 0, "b": 2}, "text_encoder", 4)
