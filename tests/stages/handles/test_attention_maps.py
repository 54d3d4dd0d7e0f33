"""Attention maps: which layers, and their gradient under checkpointing. Their values: tests/golden/test_pieces.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.errors import SpecError
from schemas.job import Extract
from stages.extract.method.step import StepInputs, loss_terms
from stages.handles.attention_maps import cross_attention_layers, loss_layers
from stages.handles.cost import meta_unet, unet_forward_tflop
from stages.handles.scene_model import SceneModel
from stages.models.base.layout import attention_sides
from stages.models.base.loading import load_base
from stages.models.base.text_states import TextStates
from tests.support.tiny_models import build_tiny_model

SD21_BASE = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    "norm_num_groups": 32,
    "act_fn": "silu",
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(model_dir: Path) -> SceneModel:
    return SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")


def test_sd21_base_has_the_five_layers_at_16x16_and_the_known_cost() -> None:
    unet = meta_unet(SD21_BASE)
    layers, side = loss_layers(unet, 512)
    assert side == 16
    assert sorted(layers) == [
        *(f"down_blocks.2.attentions.{i}.transformer_blocks.0.attn2" for i in range(2)),
        *(f"up_blocks.1.attentions.{i}.transformer_blocks.0.attn2" for i in range(3)),
    ]
    assert all(unet.get_submodule(name).heads == 20 for name in layers)
    assert unet_forward_tflop(unet, 77) == pytest.approx(0.804, abs=0.001)


def test_the_side_of_the_maps_can_be_chosen_of_those_that_there_are() -> None:
    unet = meta_unet(SD21_BASE)
    assert loss_layers(unet, 512, 16) == loss_layers(unet, 512)
    layers, side = loss_layers(unet, 512, 32)
    assert side == 32
    assert len(layers) == 5
    assert not set(layers) & set(loss_layers(unet, 512)[0])
    with pytest.raises(SpecError, match=r"extract\.attention_maps: .* of side 7; choose one of 64, 32, 16, or"):
        loss_layers(unet, 512, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample_size": [96, 96]},
        {
            "block_out_channels": [320, 640, 1280],
            "attention_head_dim": [5, 10, 20],
            "sample_size": 128,  # SDXL's blocks
            "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
            "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
        },
    ],
)
def test_the_configuration_tells_the_same_sides_as_the_unet(changes: dict[str, Any], tmp_path: Path) -> None:
    """The driver asks before any weight is loaded."""
    config = SD21_BASE | changes
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text(json.dumps(config))
    sides = attention_sides(str(tmp_path))
    assert sides == sorted(set(cross_attention_layers(meta_unet(config)).values()), reverse=True)
    assert len(sides) == len(changes.get("down_block_types", SD21_BASE["down_block_types"])) - 1


@pytest.mark.parametrize("size", [18, 25, 100])
def test_sides_that_do_not_halve_evenly_come_back_as_they_were(size: int, tmp_path: Path) -> None:
    """diffusers enlarges to the skip connection's size, not to twice the side."""
    unet = meta_unet(SD21_BASE | {"sample_size": size})
    seen: dict[str, int] = {}
    for name in cross_attention_layers(unet):
        layer = unet.get_submodule(name)
        layer.register_forward_pre_hook(
            lambda module, args, kwargs, name=name: seen.update({name: round(args[0].shape[1] ** 0.5)}),
            with_kwargs=True,
        )
    with torch.no_grad():
        empty = torch.empty(1, 77, 1024, device="meta")
        unet(torch.empty(1, 4, size, size, device="meta"), torch.zeros(1, device="meta"), encoder_hidden_states=empty)
    assert cross_attention_layers(unet) == seen
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text(json.dumps(SD21_BASE | {"sample_size": size}))
    assert attention_sides(str(tmp_path)) == sorted(set(seen.values()), reverse=True)


def step_inputs(model: SceneModel, scenes: int = 2) -> StepInputs:
    """Two handles in every prompt; everything else random but fixed."""
    dice = torch.Generator().manual_seed(3)
    prompt = "a photo of <asset1> and <asset0>"
    size = model.recorder.side
    return StepInputs(
        ids=model.tokens.ids(prompt).expand(scenes, -1, -1),
        positions=torch.tensor([model.tokens.positions(prompt, (1, 0))]).expand(scenes, -1),
        sampled=torch.ones(scenes, 2, dtype=torch.bool),
        latents=torch.randn(scenes, 4, 16, 16, generator=dice),
        noise=torch.randn(scenes, 4, 16, 16, generator=dice),
        timesteps=torch.tensor([10, 700][:scenes]),
        mask=torch.ones(scenes, 16, 16),
        attention_masks=(torch.rand(scenes, 2, size, size, generator=dice) > 0.5).float(),
    )


def attention_gradient(model: SceneModel, checkpointing: bool) -> tuple[torch.Tensor, torch.Tensor]:
    if checkpointing:
        model.base.unet.enable_gradient_checkpointing()
    handles = model.initial_handles([[(1,), (2,)], [(3,), (4,)]]).requires_grad_()
    layout = model.layout(4, text_encoder=True)
    start = torch.stack([layout.initial(0, "a"), layout.initial(0, "b")])
    noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(0))
    flat = (start + 0.01 * noise).requires_grad_()
    model.bind(handles, flat, layout)
    loss = loss_terms(model, step_inputs(model), Extract()).attention.sum()
    recorded = {name: found[0] for name, found in model.recorder.found.items()}
    loss.backward()
    assert all(model.recorder.found[name][0] is m for name, m in recorded.items()), "a recomputation was recorded"
    model.base.unet.disable_gradient_checkpointing()
    model.release()
    assert handles.grad is not None
    assert flat.grad is not None
    return handles.grad, flat.grad


def test_checkpointing_keeps_the_attention_gradient(model: SceneModel) -> None:
    plain, checked = attention_gradient(model, False), attention_gradient(model, True)
    for a, b in zip(plain, checked, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-9)


def test_recording_changes_no_output(model: SceneModel) -> None:
    torch.manual_seed(0)
    latents, steps = torch.randn(2, 4, 16, 16), torch.tensor([1, 900])
    text = TextStates(torch.randn(2, 32, 32))
    plain = model.base.predict(latents, steps, text)
    model.recorder.record(torch.tensor([[3, 4]]), 1, 32)
    recorded = model.base.predict(latents, steps, text)
    model.recorder.stop()
    torch.testing.assert_close(recorded, plain, rtol=1e-4, atol=1e-5)
