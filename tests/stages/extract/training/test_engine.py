"""The engine's invariants on a tiny model: company does not matter, faults stay at home, the base stays as it
was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas.job import Extract
from stages.extract.method.draws import SceneDraws
from stages.extract.method.latents import encode_scene
from stages.extract.method.step import PriorSource, build_inputs, loss_terms
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.handles.full_weights import tunable
from stages.handles.scene_model import SceneModel
from stages.handles.tokens import HandleTokens
from stages.models.base.loading import load_base
from tests.support.tiny_models import build_tiny_model, build_tokenizer, tiny_picture, tiny_scene

SETTINGS = Extract.model_validate(
    {"phase1": {"steps": 4, "lr": 5e-3}, "phase2": {"steps": 4, "lr": 1e-3}, "lora": {"rank": 4, "text_encoder": True}}
)
PRIOR = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(9))


def changed(**changes: object) -> Extract:
    return Extract.model_validate(SETTINGS.model_dump() | changes)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SceneModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("tiny"), "v_prediction")
    return SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>")


@pytest.fixture(scope="module")
def scenes(model: SceneModel) -> list[TrainingScene]:
    """Four scenes of 1, 2, 3 and 4 concepts."""
    return [tiny_scene(model, number, number + 1) for number in range(4)]


@pytest.fixture(scope="module")
def together(model: SceneModel, scenes: list[TrainingScene]) -> list[TrainedScene]:
    return Trainer(model, SETTINGS, 0, PRIOR).train(scenes)


def everything(scene: TrainedScene) -> list[Tensor]:
    return [scene.handles, scene.curves, *(scene.lora[name] for name in sorted(scene.lora))]


def snapshot(model: SceneModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in tunable(model.base).items()}


@pytest.mark.parametrize("number", [0, 1, 3])
def test_alone_or_with_others_is_the_same(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene], number: int
) -> None:
    alone = Trainer(model, SETTINGS, 0, PRIOR).train([scenes[number]])[0]
    assert alone.handles.shape == (number + 1, 32)
    assert any(t.abs().max() > 1e-4 for name, t in alone.lora.items() if "lora_B" in name)
    for mine, shared in zip(everything(alone), everything(together[number]), strict=True):
        torch.testing.assert_close(mine, shared, rtol=1e-4, atol=1e-4)


def test_the_same_batch_twice_is_bitwise_the_same(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene]
) -> None:
    again = Trainer(model, SETTINGS, 0, PRIOR).train(scenes)
    for one, two in zip(together, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(everything(one), everything(two), strict=True))


def test_another_seed_is_another_result(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene]
) -> None:
    other = Trainer(model, SETTINGS, 1, PRIOR).train(scenes[:1])[0]
    assert (other.handles - together[0].handles).abs().max() > 1e-3


def test_phase_1_trains_handles_and_nothing_else(model: SceneModel, scenes: list[TrainingScene]) -> None:
    before = snapshot(model)
    first, second = Trainer(model, changed(phase2={"steps": 0}), 0, PRIOR).train(scenes[:2])
    assert first.lora == {}
    assert (second.handles - model.initial_handles([[(10,), (11,)]])[0]).abs().max() > 1e-3
    assert not second.curves[:, 2].any(), "phase 1 has no prior term"
    assert all(torch.equal(p, before[name]) for name, p in tunable(model.base).items())


def test_the_prior_term_has_no_gradient_in_phase_1(model: SceneModel, scenes: list[TrainingScene]) -> None:
    draws = [SceneDraws(0, s.scene_id, 2, len(s.word_ids), (4, 16, 16), 1000, prior_images=3) for s in scenes[:2]]
    prior = PriorSource(PRIOR, model.tokens.ids("a photo at the beach"))
    inputs = build_inputs([d.next() for d in draws], [s.latents for s in scenes[:2]], model.tokens, SETTINGS, 2, prior)
    handles = model.initial_handles([s.word_ids for s in scenes[:2]]).requires_grad_()
    model.bind(handles)
    terms = loss_terms(model, inputs, SETTINGS)
    (gradient,) = torch.autograd.grad(terms.prior.sum(), handles, retain_graph=True, allow_unused=True)
    assert gradient is None or not gradient.any()
    assert torch.autograd.grad(terms.diffusion.sum(), handles)[0].any()
    assert (terms.prior > 0).all()
    model.release()


@pytest.mark.parametrize("phase", [1, 2])
def test_nothing_before_the_first_cross_attention_has_a_backward_pass(
    model: SceneModel, scenes: list[TrainingScene], phase: int
) -> None:
    unet, seen = model.base.unet, {}

    def look(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: object, output: Any) -> None:
            seen[name] = (output if isinstance(output, Tensor) else output[0]).requires_grad

        return note

    before = {
        "first convolution": unet.conv_in,
        "time embedding": unet.time_embedding,
        "block without attention": unet.down_blocks[0],
        "first resnet": unet.down_blocks[1].resnets[0],
    }
    after = {"first attention": unet.down_blocks[1].attentions[0], "last convolution": unet.conv_out}
    hooks = [module.register_forward_hook(look(name)) for name, module in (before | after).items()]
    steps = {"phase1": {"steps": 1 if phase == 1 else 0}, "phase2": {"steps": 1 if phase == 2 else 0}}
    try:
        Trainer(model, changed(**steps), 0, PRIOR).train(scenes[:2])
    finally:
        for hook in hooks:
            hook.remove()
    assert {name for name, needs in seen.items() if needs} == set(after)
    assert set(seen) == {*before, *after}


def test_prior_states_may_be_shared_where_the_text_encoder_is_the_base_s(
    model: SceneModel, scenes: list[TrainingScene]
) -> None:
    settings = changed(lora={"rank": 4, "text_encoder": False})
    trained = Trainer(model, settings, 0, PRIOR).train(scenes[1:2])[0]
    assert not any(name.startswith("text_encoder") for name in trained.lora)
    model.bind(None)
    prior = PriorSource(PRIOR, model.tokens.ids("a photo at the beach"))
    source = Trainer(model, settings, 0, PRIOR)._prior_source()
    assert source is not None
    assert source.states is not None
    torch.testing.assert_close(source.states.states, model.base.text_states(prior.prompt[None]).states)


def test_a_poisoned_scene_fails_alone_at_the_step_where_it_meets_the_poison(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene]
) -> None:
    sick = scenes[2]
    mean = sick.latents.mean.clone()
    mean[1] = float("nan")  # Only the mirror image: the scene dies at its first flip.
    batch = [*scenes[:2], replace(sick, latents=replace(sick.latents, mean=mean)), scenes[3]]
    draws = SceneDraws(0, sick.scene_id, 1, 3, (4, 16, 16), 1000)
    flips = [draws.next().flip for _ in range(4)]
    results = Trainer(model, SETTINGS, 0, PRIOR).train(batch)
    assert results[2].diverged == (1, flips.index(True))
    for number in (0, 1, 3):
        assert results[number].diverged is None
        for a, b in zip(everything(results[number]), everything(together[number]), strict=True):
            assert torch.equal(a, b)


def test_full_tuning_restores_the_base(model: SceneModel, scenes: list[TrainingScene]) -> None:
    before = snapshot(model)
    settings = changed(tuning="full", phase2={"steps": 2, "lr": 1e-4})
    trained = Trainer(model, settings, 0, PRIOR).train(scenes[1:2])[0]
    after = tunable(model.base)
    assert all(torch.equal(p, before[name]) and not p.requires_grad for name, p in after.items())
    assert set(trained.full) == set(before)
    moved = [name for name, t in trained.full.items() if (t.float() - before[name]).abs().max() > 5e-5]
    assert any(name.startswith("unet.") for name in moved)
    assert any(name.startswith("text_encoder.") for name in moved)
    with pytest.raises(ValueError, match="one scene at a time"):
        Trainer(model, settings, 0, PRIOR).train(scenes[:2])


def test_checkpointing_changes_no_result(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene]
) -> None:
    results = Trainer(model, changed(gradient_checkpointing=True), 0, PRIOR).train(scenes)
    for one, two in zip(together, results, strict=True):
        for a, b in zip(everything(one), everything(two), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_moments_and_masks_of_the_mirror_image(model: SceneModel, scenes: list[TrainingScene]) -> None:
    picture, masks = tiny_picture(1, 2)
    tensor = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
    mirrored = encode_scene(model.base, tensor.flip(-1), torch.from_numpy(masks).flip(-1), model.recorder.side)
    plain = scenes[1].latents
    torch.testing.assert_close(mirrored.mean, plain.mean.flip(0), rtol=1e-5, atol=1e-6)
    assert torch.equal(mirrored.masks, plain.masks.flip(0))
    assert torch.equal(mirrored.attention_masks, plain.attention_masks.flip(0))
    wanted = model.base.vae.encode(tensor[None]).latent_dist.mean[0] * model.base.vae.config.scaling_factor
    torch.testing.assert_close(plain.mean[0], wanted, rtol=1e-4, atol=1e-5)


def test_prompts_become_the_ids_of_the_tokenizer_with_added_tokens() -> None:
    tokenizer = build_tokenizer()
    tokens = HandleTokens([tokenizer], "<asset{index}>")
    prompt = "a photo of <asset1> and <asset0> in the snow"
    (mine,) = tokens.ids(prompt).tolist()
    first = len(tokenizer)
    tokenizer.add_tokens(["<asset0>", "<asset1>"])
    assert mine == tokenizer(prompt, padding="max_length", max_length=32, truncation=True).input_ids
    assert [mine[i] for i in tokens.positions(prompt, (1, 0))] == [first + 1, first]


def test_handle_rows_replace_only_their_own_ids(model: SceneModel) -> None:
    handles = torch.randn(2, 2, 32)
    embedding, first = model.embeddings[0], model.tokens.first_ids[0]
    ids = model.tokens.ids("a <asset1> and <asset0> cat").expand(4, -1)
    model.bind(handles)
    model.owners.blocks(2)
    rows = embedding(ids)
    plain = embedding.base(ids.clamp(max=first - 1))
    for row in range(4):
        for place, token in enumerate(ids[row].tolist()):
            wanted = handles[row // 2, token - first] if token >= first else plain[row, place]
            assert torch.equal(rows[row, place], wanted)
    model.release()
