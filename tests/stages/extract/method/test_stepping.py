"""The stepping API gives what the engine computes, from nothing but a directory and tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from schemas.job import Extract
from stages.extract.method.draws import Draw
from stages.extract.method.latents import SceneLatents, resize_masks
from stages.extract.method.step import PriorSource, build_inputs, loss_terms
from stages.extract.method.stepping import Stepper
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from tests.support.tiny_models import build_tiny_model
from tests.support.tiny_sdxl import build_tiny_sdxl

SUBSET, TIMESTEP = (2, 0), 321


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = build_tiny_model if request.param == "sd" else build_tiny_sdxl
    return build(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(("with_prior", "maps"), [(False, None), (True, 8)])
def test_a_step_is_the_engine_s(directory: Path, with_prior: bool, maps: int | None) -> None:
    settings = Extract(attention_maps=maps)
    stepper, dice = Stepper(directory, settings), torch.Generator().manual_seed(0)
    shape = stepper.model.base.latent_shape
    latents, noise, prior_latents, prior_noise = torch.randn(4, *shape, generator=dice)
    masks = (torch.rand(3, 64, 64, generator=dice) > 0.6).float()
    handles = stepper.handles_of(["cat", "dog", "ball"]).requires_grad_()
    prior = (prior_latents, prior_noise, 700) if with_prior else None
    mine = stepper.terms(handles, latents, masks, SUBSET, noise, TIMESTEP, prior)

    model = SceneModel(load_base(str(directory), None, torch.float32, "cpu"), settings.placeholder, maps)
    words = [model.tokens.pick_word(word, "object")[1] for word in ("cat", "dog", "ball")]
    sides = [torch.stack([resize_masks(masks, side)] * 2) for side in (shape[1], model.recorder.side)]
    scene = SceneLatents(torch.stack([latents] * 2), torch.zeros(2, *shape), *sides)
    source = PriorSource(prior_latents[None], model.tokens.ids("a photo at the beach")) if with_prior else None
    draw = Draw(SUBSET, False, TIMESTEP, noise, torch.zeros(shape), 0, 700, prior_noise if with_prior else None)
    model.bind(model.initial_handles([words]))
    wanted = loss_terms(model, build_inputs([draw], [scene], model.tokens, settings, 3, source), settings)

    for name in ("diffusion", "attention", "prior"):
        assert torch.equal(getattr(mine, name), getattr(wanted, name)), name
    assert bool(mine.prior > 0) is with_prior
    (gradient,) = torch.autograd.grad(mine.total(settings).sum(), handles)
    assert gradient[[0, 2]].abs().amax(1).gt(0).all()
    assert not gradient[1].any(), "a handle that the subset leaves out learns nothing"
