"""Stacked LoRA factors against peft on the same weights, and the per-scene optimizer against torch on one
scene.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig

from schemas.job import Extract
from stages.extract.training.optimizer import SceneOptimizer
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from stages.models.base.text_states import TextStates
from tests.support.tiny_models import build_tiny_model

RANK = 4


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
FEED_FORWARD = [*ATTENTION, "ff.net.0.proj", "ff.net.2"]
CONVOLUTIONS = ["conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"]
PEFT_UNET = {
    "cross_kv": ["attn2.to_k", "attn2.to_v"],
    "attention": ATTENTION,
    "attention_ff": FEED_FORWARD,
    "attention_ff_conv": FEED_FORWARD + CONVOLUTIONS,
}
PEFT_TEXT = {
    "attention": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "attention_ff": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


def with_peft(part: torch.nn.Module, name: str, modules: list[str]) -> dict[str, torch.nn.Parameter]:
    """Adds random factors to `part` through peft; returns them under the names they have in a file."""
    torch.manual_seed(0)
    part.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights=False, target_modules=modules))
    prefix = "" if name == "unet" or hasattr(part, "text_model") else "text_model."
    return {
        f"{name}.{prefix}{key.replace('.default.', '.')}": p for key, p in part.named_parameters() if ".lora_" in key
    }


def gradients(factors: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    assert all(p.grad is not None for p in factors.values())
    return {name: p.grad for name, p in factors.items() if p.grad is not None}


@pytest.mark.parametrize("targets", sorted(PEFT_UNET))
def test_forward_and_gradients_are_peft_s(model_dir: Path, targets: str) -> None:
    reference = load_base(str(model_dir), None, torch.float32, "cpu").unet
    factors = with_peft(reference, "unet", PEFT_UNET[targets])
    state = {name: p.detach() for name, p in factors.items()}
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    layout = model.layout(RANK, text_encoder=False, targets=targets)
    assert layout == LoraLayout.of_state(state)
    mine = layout.flatten(state)
    assert all(torch.equal(t, state[name]) for name, t in layout.state(mine).items())
    flat = torch.stack([torch.randn_like(mine) / 4, mine]).requires_grad_()

    latents, text = torch.randn(4, 4, 16, 16), TextStates(torch.randn(4, 32, 32))
    steps = torch.tensor([5, 500, 5, 900])
    expected = reference(latents[2:], steps[2:], encoder_hidden_states=text.states[2:]).sample
    expected.square().mean().backward()
    model.bind(None, flat, layout)
    model.owners.blocks(2)
    result = model.base.predict(latents, steps, text)
    result[2:].square().mean().backward()

    torch.testing.assert_close(result[2:], expected, rtol=1e-4, atol=1e-4)
    assert flat.grad is not None
    assert not flat.grad[0].any(), "scene 0 must see nothing of scene 1's loss"
    wanted = layout.flatten(gradients(factors))
    torch.testing.assert_close(flat.grad[1], wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))

    model.owners.rows(torch.tensor([1, 1, 0, 1]), 2)
    mixed = model.base.predict(latents[[2, 3, 0, 2]], steps[[2, 3, 0, 2]], TextStates(text.states[[2, 3, 0, 2]]))
    torch.testing.assert_close(mixed[:2], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed[2], result[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("targets", sorted(PEFT_TEXT))
def test_text_encoder_s_factors_are_peft_s(model_dir: Path, targets: str) -> None:
    reference = load_base(str(model_dir), None, torch.float32, "cpu").text_encoder
    factors = with_peft(reference, "text_encoder", PEFT_TEXT[targets])
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    everywhere = model.layout(RANK, text_encoder=True, targets=targets)
    layout = LoraLayout(RANK, tuple(s for s in everywhere.sites if s.name.startswith("text_encoder.")))
    assert layout == LoraLayout.of_state(factors)
    flat = layout.flatten({name: p.detach() for name, p in factors.items()})[None].requires_grad_()
    ids = model.tokens.ids("a photo of a cat")[None]
    expected = reference(ids).last_hidden_state
    (expected**3).mean().backward()
    model.bind(None, flat, layout)
    model.owners.blocks(1)
    result = model.base.text_states(ids).states
    (result**3).mean().backward()
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert flat.grad is not None
    wanted = layout.flatten(gradients(factors))
    torch.testing.assert_close(flat.grad[0], wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))


def test_cross_kv_leaves_the_text_encoder_alone(model_dir: Path) -> None:
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    layouts = [model.layout(RANK, text_encoder, "cross_kv") for text_encoder in (True, False)]
    assert layouts[0] == layouts[1]
    assert all(site.name.startswith("unet.") for site in layouts[0].sites)


def test_convolutions_alone_or_in_company_are_the_same(model_dir: Path) -> None:
    """Three scenes of two rows each: outputs and gradients are those of the scene alone."""
    torch.manual_seed(0)
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    layout = model.layout(RANK, text_encoder=False, targets="attention_ff_conv")
    start = torch.randn(3, layout.parameters) / 8
    latents, steps, states = torch.randn(6, 4, 16, 16), torch.arange(6) * 90, torch.randn(6, 32, 32)

    def run(rows: slice, scenes: slice) -> tuple[torch.Tensor, torch.Tensor]:
        flat = start[scenes].clone().requires_grad_()
        model.bind(None, flat, layout)
        model.owners.blocks(len(flat))
        output = model.base.predict(latents[rows], steps[rows], TextStates(states[rows]))
        output.square().sum().backward()
        assert flat.grad is not None
        return output.detach(), flat.grad

    together, all_gradients = run(slice(6), slice(3))
    for scene in range(3):
        alone, gradient = run(slice(2 * scene, 2 * scene + 2), slice(scene, scene + 1))
        torch.testing.assert_close(together[2 * scene : 2 * scene + 2], alone, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            all_gradients[scene], gradient[0], rtol=1e-3, atol=1e-5 * float(gradient.abs().max())
        )


def test_initial_factors_are_the_scene_s_own_and_change_nothing(model_dir: Path) -> None:
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    layout = model.layout(RANK, text_encoder=True, targets="attention_ff_conv")
    flat = layout.initial(0, "scene")
    assert torch.equal(flat, layout.initial(0, "scene"))
    assert not torch.equal(flat, layout.initial(0, "other"))
    for site, down, up in layout.pairs(flat[None]):
        assert not up.any()
        fan_in = down[0, 0].numel()
        assert 0.8 / fan_in**0.5 < float(down.abs().max()) <= 1 / fan_in**0.5, site.name
    ids = model.tokens.ids("a photo of a cat")[None]
    plain = model.base.text_states(ids).states
    model.bind(None, flat[None], layout)
    assert torch.equal(model.base.text_states(ids).states, plain)


def quadratic(parameters: list[torch.Tensor], goals: list[torch.Tensor]) -> torch.Tensor:
    return sum(((p - g) ** 2).flatten(1).sum(1) for p, g in zip(parameters, goals, strict=True))


def test_optimizer_is_torch_s_for_each_scene() -> None:
    torch.manual_seed(0)
    settings = Extract(clip_norm=0.7, weight_decay=0.05, adam_beta2=0.99)
    start = [torch.randn(3, 2, 5), torch.randn(3, 11)]
    sizes = torch.tensor([1.0, 30.0, 0.01])
    goals = [torch.randn_like(p) * sizes.view(3, *[1] * (p.dim() - 1)) for p in start]
    stacked = [torch.nn.Parameter(p.clone()) for p in start]
    alive = torch.ones(3, dtype=torch.bool)
    optimizer = SceneOptimizer(stacked, 0.01, settings, alive)
    for step in range(6):
        optimizer.step(quadratic(stacked, goals), step)
    for scene in range(3):
        alone = [torch.nn.Parameter(p[scene : scene + 1].clone()) for p in start]
        adamw = torch.optim.AdamW(alone, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.05)
        for _ in range(6):
            adamw.zero_grad()
            quadratic(alone, [g[scene : scene + 1] for g in goals]).sum().backward()
            torch.nn.utils.clip_grad_norm_(alone, 0.7)
            adamw.step()
        for mine, theirs in zip(stacked, alone, strict=True):
            torch.testing.assert_close(mine[scene], theirs[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_scene_that_diverges_stops_alone(poison: float) -> None:
    torch.manual_seed(0)
    start, goal = torch.randn(3, 7), torch.randn(3, 7)

    def run(when: int) -> tuple[torch.Tensor, SceneOptimizer]:
        parameter = torch.nn.Parameter(start.clone())
        optimizer = SceneOptimizer([parameter], 0.01, Extract(), torch.ones(3, dtype=torch.bool))
        for step in range(5):
            factor = torch.tensor([1.0, poison if step == when else 1.0, 1.0])
            optimizer.step(quadratic([parameter], [goal]) * factor, step)
        return parameter.detach(), optimizer

    healthy, _ = run(when=99)
    struck, optimizer = run(when=2)
    assert optimizer.alive.tolist() == [True, False, True]
    assert optimizer.died_at.tolist() == [-1, 2, -1]
    assert torch.equal(healthy[[0, 2]], struck[[0, 2]])
    assert torch.isfinite(struck).all(), "no broken gradient reaches the scene's own parameters either"
