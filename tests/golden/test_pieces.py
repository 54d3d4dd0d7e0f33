"""Each piece of the method against the same thing as plain loops in float64 (tests/golden/plain_formulas.py)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from schemas.job import Extract
from stages.extract.method.draws import Draw
from stages.extract.method.latents import decode_picture, encode_scene, resize_masks
from stages.extract.method.losses import attention_mse, diffusion_loss
from stages.extract.method.step import LossTerms, build_inputs
from stages.extract.method.union_sampling import union_mask
from stages.extract.training.optimizer import SceneOptimizer
from stages.handles.attention_maps import AttentionRecorder
from stages.handles.lora.layout import LoraLayout, LoraSite
from stages.handles.lora.linear import LoraLinear
from stages.handles.row_owners import RowOwners
from stages.handles.scene_model import SceneModel
from stages.handles.tokens import HandleTokens
from stages.models.base.loading import load_base
from tests.golden import plain_formulas as plain
from tests.golden.test_draws import LEAST_TAIL, tail
from tests.support.tiny_models import build_tiny_model, build_tokenizer, tiny_picture, tiny_task


def soft_masks(concepts: int, side: int, seed: int = 0) -> torch.Tensor:
    dice = torch.Generator().manual_seed(seed)
    return torch.rand(concepts, side, side, generator=dice) * (torch.rand(concepts, side, side, generator=dice) > 0.4)


@pytest.mark.parametrize("subset", plain.subset_probabilities(3))
def test_union_mask_is_the_pixelwise_maximum(subset: tuple[int, ...]) -> None:
    masks = soft_masks(3, 6)
    wanted = plain.union([masks[j].tolist() for j in subset])
    assert union_mask(masks, subset).tolist() == wanted


@pytest.mark.parametrize(("size", "side"), [(512, 64), (512, 16), (64, 4), (30, 8), (7, 7), (10, 4)])
def test_masks_are_resized_by_nearest_neighbour(size: int, side: int) -> None:
    masks = soft_masks(2, size, seed=size)
    assert resize_masks(masks, side).tolist() == [plain.nearest(m.tolist(), side) for m in masks]
    hard = masks > 0.5
    assert resize_masks(hard, side).tolist() == [plain.nearest(m.float().tolist(), side) for m in hard]


@pytest.mark.parametrize("kind", ["paper", "area_balanced", "none"])
@pytest.mark.parametrize("side", [4, 8])
def test_masked_loss(kind: str, side: int) -> None:
    dice = torch.Generator().manual_seed(side)
    prediction, target = (torch.randn(3, 4, side, side, generator=dice) for _ in range(2))
    masks = soft_masks(3, side, seed=side)
    result = diffusion_loss(prediction, target, masks, kind)
    for scene in range(3):
        wanted = plain.masked_loss(prediction[scene], target[scene], masks[scene].tolist(), kind)
        assert float(result[scene]) == pytest.approx(wanted, rel=1e-6)


def test_a_small_soft_mask_is_not_blown_up_by_area_balance() -> None:
    """An area below one latent element counts as one; an empty mask gives zero, not a division by it."""
    prediction, masks = torch.ones(2, 4, 8, 8), torch.zeros(2, 8, 8)
    masks[0, 3, 3] = 0.5
    assert diffusion_loss(prediction, torch.zeros_like(prediction), masks, "area_balanced").tolist() == [0.25, 0.0]


def test_attention_loss() -> None:
    dice = torch.Generator().manual_seed(4)
    maps = torch.rand(2, 3, 5, 5, generator=dice) * torch.tensor([1e-3, 0.1, 1.0])[None, :, None, None]
    masks = torch.stack([soft_masks(3, 5, seed) for seed in range(2)])
    sampled = torch.tensor([[True, True, False], [True, True, True]])
    result = attention_mse(maps, masks, sampled)
    for scene, used in enumerate((2, 3)):
        wanted = plain.attention_loss(
            [m.flatten().tolist() for m in maps[scene, :used]], [m.tolist() for m in masks[scene, :used]]
        )
        assert float(result[scene]) == pytest.approx(wanted, rel=1e-6)


def test_a_map_without_attention_gives_a_finite_loss() -> None:
    maps = torch.zeros(1, 1, 3, 3, requires_grad=True)
    loss = attention_mse(maps, torch.ones(1, 1, 3, 3), torch.ones(1, 1, dtype=torch.bool))
    loss.sum().backward()
    assert loss.tolist() == [1.0]
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()


def test_attention_maps_are_the_mean_over_layers_and_heads(model: SceneModel) -> None:
    """Queries and keys of each row through a layer's own weights, then loops. Two rows a scene: the second, the
    prior's, leaves no trace in the maps, and each row's output is its own.
    """
    unet, recorder = model.base.unet, model.recorder
    dice = torch.Generator().manual_seed(8)
    side, scenes = recorder.side, 2
    positions = torch.tensor([[3, 7], [1, 4]])
    context = torch.randn(2 * scenes, 9, 32, generator=dice)
    hidden, outputs = {}, {}
    recorder.record(positions, scenes, tokens=9)
    for name in recorder.layers:
        layer = unet.get_submodule(name)
        hidden[name] = 3 * torch.randn(2 * scenes, side * side, layer.to_q.base.in_features, generator=dice)
        outputs[name] = layer(hidden[name], encoder_hidden_states=context)
    maps = recorder.maps()
    recorder.stop()
    for scene in range(scenes):
        row, layers = 2 * scene, []
        for name, x in hidden.items():
            layer = unet.get_submodule(name)
            layers.append(
                tuple(
                    to(rows[row]).double().unflatten(1, (layer.heads, -1)).transpose(0, 1)
                    for to, rows in ((layer.to_q, x), (layer.to_k, context))
                )
            )
        for slot, column in enumerate(positions[scene].tolist()):
            wanted = plain.attention_map(layers, column)
            assert maps[scene, slot].flatten().tolist() == pytest.approx(wanted, rel=1e-5)
    for name, x in hidden.items():
        layer = unet.get_submodule(name)
        for row in range(2 * scenes):
            alone = layer(x[row : row + 1], encoder_hidden_states=context[row : row + 1])
            torch.testing.assert_close(outputs[name][row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_the_mean_is_over_all_heads_where_layers_differ_in_heads() -> None:
    recorder = object.__new__(AttentionRecorder)
    recorder.side, recorder.found = 1, {}
    recorder.columns = torch.ones(1, 1, 1)
    for name, heads, value in (("a", 1, 0.8), ("b", 3, 0.4)):
        recorder.add(name, torch.full((1, heads, 1, 1), value))
    assert recorder.maps().item() == pytest.approx((0.8 + 3 * 0.4) / 4)


def test_the_total_is_weighted() -> None:
    terms = LossTerms(torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0]), torch.tensor([11.0, 13.0]))
    assert terms.total(Extract()).tolist() == pytest.approx([2 + 0.05 + 11, 3 + 0.07 + 13])
    other = Extract.model_validate({"attention_weight": 0.5, "prior": {"weight": 0.25}})
    assert terms.total(other).tolist() == pytest.approx([2 + 2.5 + 2.75, 3 + 3.5 + 3.25])


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_clip_and_adamw_of_each_scene(scale: float) -> None:
    """Losses are `weights . x^2`: the gradient is known by hand. Scene 0 is never clipped, 1 always, 2 sometimes."""
    settings = Extract.model_validate({"clip_norm": 0.7, "weight_decay": 0.05, "adam_beta2": 0.97})
    dice = torch.Generator().manual_seed(6)
    start = [
        torch.randn(3, 2, 5, generator=dice, dtype=torch.float64),
        torch.randn(3, 7, generator=dice, dtype=torch.float64),
    ]
    stacked = [torch.nn.Parameter(p.clone()) for p in start]
    optimizer = SceneOptimizer(stacked, 0.02, settings, torch.ones(3, dtype=torch.bool), scale)
    alone = [
        plain.PlainAdamW(torch.cat([p[s].flatten() for p in start]).tolist(), 0.02, 0.9, 0.97, 1e-8, 0.05, 0.7)
        for s in range(3)
    ]
    clipped = [0, 0, 0]
    for step in range(8):
        weights = torch.tensor([0.01, 30.0, 0.3 * (step % 2) + 1e-3], dtype=torch.float64)
        optimizer.step(sum(p.square().flatten(1).sum(1) for p in stacked) * weights, step)
        for scene, plainly in enumerate(alone):
            gradient = [2 * float(weights[scene]) * x for x in plainly.values]
            clipped[scene] += sum(g * g for g in gradient) > 0.7**2
            plainly.step(gradient)
    assert clipped == [0, 8, 4]
    for scene, plainly in enumerate(alone):
        mine = torch.cat([p[scene].detach().flatten() for p in stacked]).tolist()
        assert mine == pytest.approx(plainly.values, rel=1e-10)


def test_the_published_optimizer_is_the_default() -> None:
    settings = Extract()
    group = SceneOptimizer(
        [torch.nn.Parameter(torch.zeros(1, 1))], settings.phase1.lr, settings, torch.ones(1, dtype=torch.bool)
    ).adamw.param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"], group["lr"]) == ((0.9, 0.999), 1e-8, 1e-2, 5e-4)
    assert (settings.clip_norm, settings.attention_weight, settings.prior.weight) == (1.0, 0.01, 1.0)
    assert (settings.phase1.steps, settings.phase2.steps) == (400, 400)


def test_factors_start_as_in_lora_s_own_code() -> None:
    """A: kaiming_uniform with a = sqrt(5), which is uniform within 1 / sqrt(inputs); B: zero. Layers that are not
    square, as the tiny model's all are.
    """
    layout = LoraLayout(4, (LoraSite("unet.wide", 900, 25), LoraSite("unet.tall", 25, 900)))
    for site, down, up in layout.pairs(layout.initial(0, "scene")[None]):
        bound = torch.empty(4, site.inputs)
        torch.nn.init.kaiming_uniform_(bound, a=5**0.5, generator=torch.Generator().manual_seed(0))
        assert float(down.abs().max()) == pytest.approx(float(bound.abs().max()), rel=0.05)
        bins = ((down * site.inputs**0.5 + 1) / 2 * 10).floor().long().flatten().tolist()
        assert tail(Counter(bins), dict.fromkeys(range(10), 1 / 10)) > LEAST_TAIL
        assert not up.any()


def test_factors_of_a_layer_that_is_not_square_are_merged_weights() -> None:
    dice = torch.Generator().manual_seed(0)
    down, up, x = (torch.randn(s, generator=dice) for s in ((2, 3, 8), (2, 5, 3), (4, 6, 8)))
    owners, base = RowOwners(), torch.nn.Linear(8, 5)
    layer = LoraLinear(base, owners)
    layer.pair = (down, up)
    for scenes in ([0, 0, 1, 1], [1, 0, 0, 1]):
        if scenes == sorted(scenes):
            owners.blocks(2)
        else:
            owners.rows(torch.tensor(scenes), 2)
        result = layer(x)
        for row, scene in enumerate(scenes):
            wanted = x[row].double() @ (base.weight.double() + up[scene].double() @ down[scene].double()).T
            torch.testing.assert_close(result[row].double(), wanted + base.bias.double(), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(directory: Path) -> SceneModel:
    return SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>")


def test_a_scene_is_encoded_as_stock_diffusers_does(model: SceneModel, directory: Path) -> None:
    """Picture and masks mirrored first, then encoded and resized; the scaling factor on mean and deviation."""
    picture = decode_picture(tiny_task(3, 2).files["png"], 64)
    pixels = torch.from_numpy(tiny_picture(3, 2)[0]).double().permute(2, 0, 1)
    torch.testing.assert_close(picture.double(), pixels / 255 * 2 - 1, rtol=0, atol=1e-6)
    masks = soft_masks(2, 64)
    scene = encode_scene(model.base, picture, masks, 4)
    vae = AutoencoderKL.from_pretrained(directory, subfolder="vae", torch_dtype=torch.float64)
    for side, (image, planes) in enumerate(((picture, masks), (picture.flip(-1), masks.flip(-1)))):
        moments = vae.encode(image.double()[None]).latent_dist
        for mine, wanted in ((scene.mean[side], moments.mean[0]), (scene.std[side], moments.std[0])):
            torch.testing.assert_close(mine.double(), wanted * 0.18215, rtol=1e-5, atol=1e-6)
        assert scene.masks[side].tolist() == [plain.nearest(m.tolist(), 16) for m in planes]
        assert scene.attention_masks[side].tolist() == [plain.nearest(m.tolist(), 4) for m in planes]


def test_prompt_and_masks_of_a_step_follow_the_order_that_was_drawn(model: SceneModel) -> None:
    scene = encode_scene(model.base, torch.zeros(3, 64, 64), soft_masks(3, 64), 4)
    noise = torch.randn(4, 16, 16)
    inputs = build_inputs([Draw((2, 0), True, 9, noise, noise)], [scene], model.tokens, Extract(), 3)
    first = model.tokens.first_ids[0]
    words = model.base.tokenizer("a photo of and", add_special_tokens=False).input_ids
    assert inputs.ids.flatten().tolist()[1:7] == [*words[:3], first + 2, words[3], first]
    assert inputs.positions.tolist() == [[4, 6, 0]]
    assert inputs.sampled.tolist() == [[True, True, False]]
    assert inputs.timesteps.tolist() == [9]
    assert torch.equal(inputs.attention_masks[0, :2], scene.attention_masks[1][[2, 0]])
    assert torch.equal(inputs.mask[0], torch.maximum(scene.masks[1][2], scene.masks[1][0]))
    assert torch.equal(inputs.latents[0], scene.mean[1] + scene.std[1] * noise)


def test_a_handle_starts_from_the_first_sub_token_of_its_word(model: SceneModel) -> None:
    tokenizer = build_tokenizer()
    pieces = tokenizer("catx", add_special_tokens=False).input_ids
    assert len(pieces) > 1
    tokens = HandleTokens([tokenizer])
    word, chosen = tokens.pick_word("catx", "object")
    assert (word, chosen) == ("catx", (pieces[0],))
    handles = model.initial_handles([[chosen], [(5,), (6,)]])
    table = model.base.text_encoder.get_input_embeddings().weight
    assert torch.equal(handles[0, 0], table[chosen[0]])
    assert torch.equal(handles[1], table[[5, 6]])
    assert not handles[0, 1].any()
