"""One training step, engine against stock diffusers in float64: the three loss terms, and the gradient of their sum.

The engine runs as it does in production: float32, both scenes in one batch, handles and factors stacked. The other
side (tests/golden/plain_model.py) knows nothing of the engine: one scene at a time, weights merged, plain loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from schemas.job import Extract
from stages.extract.method.draws import Draw
from stages.extract.method.latents import SceneLatents, resize_masks
from stages.extract.method.step import LossTerms, PriorSource, build_inputs, loss_terms
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from tests.golden.plain_model import PlainDraw, PlainModel, PlainScene
from tests.support.tiny_models import build_tiny_model

CONCEPTS = (2, 3)
SLOTS = 4
"""More than any scene needs, as in a batch with a scene of four."""


@dataclass
class Both:
    """The same weights, scenes and numbers for both sides."""

    model: SceneModel
    plain: PlainModel
    latents: list[SceneLatents]
    scenes: list[PlainScene]
    handles: Tensor
    flat: Tensor
    layout: LoraLayout
    prior: Tensor

    def draw(self, subset: tuple[int, ...], flip: bool, timestep: int, prior: bool = True) -> Draw:
        shape, dice = self.prior.shape[1:], torch.Generator().manual_seed(timestep)
        noise, vae, other = (torch.randn(shape, generator=dice) for _ in range(3))
        if not prior:
            return Draw(subset, flip, timestep, noise, vae)
        return Draw(subset, flip, timestep, noise, vae, 1 + timestep % 2, 999 - timestep, other)

    def engine(self, draws: Sequence[Draw], settings: Extract, handles: Tensor, flat: Tensor | None) -> LossTerms:
        source = (
            None
            if draws[0].prior_noise is None
            else PriorSource(self.prior, self.model.tokens.ids(settings.prior.prompt))
        )
        inputs = build_inputs(draws, self.latents, self.model.tokens, settings, SLOTS, source)
        self.model.bind(handles, flat, self.layout)
        return loss_terms(self.model, inputs, settings)

    def plain_draw(self, draw: Draw) -> PlainDraw:
        prior = None if draw.prior_noise is None else self.prior[draw.prior_index]
        return PlainDraw(
            draw.subset,
            draw.flip,
            draw.timestep,
            draw.noise,
            draw.vae_noise,
            draw.prior_timestep,
            draw.prior_noise,
            prior,
        )


@pytest.fixture(scope="module", params=[("epsilon", None), ("v_prediction", None), ("epsilon", 8)], ids=str)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    kind, maps = request.param
    directory = build_tiny_model(tmp_path_factory.mktemp("tiny"), kind)
    model = SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>", maps)
    assert model.recorder.side == (maps or 4)
    dice = torch.Generator().manual_seed(0)
    latents, scenes = [], []
    for concepts in CONCEPTS:
        mean, std = torch.randn(2, 4, 16, 16, generator=dice), 0.1 * torch.rand(2, 4, 16, 16, generator=dice)
        masks = torch.rand(concepts, 64, 64, generator=dice)  # Soft, and different in every pixel.
        masks *= torch.rand(concepts, 64, 64, generator=dice) > 0.4
        scenes.append(PlainScene(mean, std, masks))
        sides = (masks, masks.flip(-1))
        latents.append(
            SceneLatents(
                mean,
                std,
                torch.stack([resize_masks(m, 16) for m in sides]),
                torch.stack([resize_masks(m, model.recorder.side) for m in sides]),
            )
        )
    layout = model.layout(4, text_encoder=True, targets="attention_ff")
    # Random weights attend evenly everywhere; large handles and factors give the maps some relief.
    flat = 0.2 * torch.randn(len(scenes), layout.parameters, generator=dice)
    handles = 0.5 * torch.randn(len(scenes), SLOTS, 32, generator=dice)
    return Both(
        model, PlainModel(directory), latents, scenes, handles, flat, layout, torch.randn(3, 4, 16, 16, generator=dice)
    )


STEPS = {
    "pairs": ((1, 0), False, 321, (2, 0), True, 700),
    "one and all": ((1,), True, 0, (1, 2, 0), False, 999),
    "all and one": ((0, 1), True, 640, (2,), True, 40),
}


def one_step(both: Both, name: str, prior: bool = True) -> list[Draw]:
    first, flip, when, second, other_flip, other_when = STEPS[name]
    return [both.draw(first, flip, when, prior), both.draw(second, other_flip, other_when, prior)]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", ["paper", "area_balanced", "none"])
def test_the_three_terms_are_the_plain_ones(both: Both, name: str, kind: str) -> None:
    draws = one_step(both, name)
    settings = Extract.model_validate({"masked_loss": kind})
    terms = both.engine(draws, settings, both.handles, both.flat)
    for row, (scene, draw, concepts) in enumerate(zip(both.scenes, draws, CONCEPTS, strict=True)):
        wanted = both.plain.terms(
            scene,
            both.plain_draw(draw),
            both.handles[row, :concepts],
            both.layout.state(both.flat[row]),
            both.model.recorder.side,
            kind,
        )
        mine = (terms.diffusion[row], terms.attention[row], terms.prior[row])
        assert [float(t) for t in mine] == pytest.approx(wanted, rel=1e-6)
        assert float(terms.total(settings)[row]) == pytest.approx(wanted[0] + 0.01 * wanted[1] + wanted[2], rel=1e-6)


def test_the_maps_that_the_loss_sees_have_relief(both: Both) -> None:
    """Or the test above would hold for any attention."""
    both.engine(one_step(both, "pairs"), Extract(), both.handles, both.flat)
    maps = both.model.recorder.maps()[:, :2].flatten(2)
    assert bool((maps.amax(2) / maps.amin(2) > 1.2).all())


def test_phase_1_has_neither_factors_nor_a_prior_row(both: Both) -> None:
    draws = one_step(both, "pairs", prior=False)
    terms = both.engine(draws, Extract(), both.handles, None)
    for row, (scene, draw, concepts) in enumerate(zip(both.scenes, draws, CONCEPTS, strict=True)):
        wanted = both.plain.terms(
            scene, both.plain_draw(draw), both.handles[row, :concepts], {}, both.model.recorder.side
        )
        assert [float(terms.diffusion[row]), float(terms.attention[row])] == pytest.approx(wanted[:2], rel=1e-6)
        assert float(terms.prior[row]) == 0.0


def test_the_gradient_of_the_sum_is_the_plain_one(both: Both) -> None:
    draws, settings = one_step(both, "one and all"), Extract()
    handles, flat = both.handles.clone().requires_grad_(), both.flat.clone().requires_grad_()
    both.engine(draws, settings, handles, flat).total(settings).sum().backward()
    assert handles.grad is not None
    assert flat.grad is not None
    for row, (scene, draw, concepts) in enumerate(zip(both.scenes, draws, CONCEPTS, strict=True)):
        alone = both.handles[row, :concepts].double().requires_grad_()
        factors = {name: t.double().requires_grad_() for name, t in both.layout.state(both.flat[row]).items()}
        loss = both.plain.total(scene, both.plain_draw(draw), alone, factors, both.model.recorder.side)
        loss.backward()
        largest = float(alone.grad.abs().max())
        torch.testing.assert_close(handles.grad[row, :concepts].double(), alone.grad, rtol=1e-4, atol=1e-5 * largest)
        assert not handles.grad[row, concepts:].any(), "slots without a handle learn nothing"
        for name, mine in both.layout.state(flat.grad[row]).items():
            wanted = factors[name].grad
            assert wanted.any(), name
            torch.testing.assert_close(mine.double(), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
