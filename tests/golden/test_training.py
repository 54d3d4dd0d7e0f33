"""Whole training, engine against a plain trainer: stock diffusers in float64, one scene at a time, AdamW by loops.

Both take the same random numbers; everything that is done with them is written twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from schemas.job import Extract
from stages.extract.method.draws import SceneDraws
from stages.extract.method.latents import SceneLatents, resize_masks
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from tests.golden.plain_formulas import PlainAdamW
from tests.golden.plain_model import PlainDraw, PlainModel, PlainScene
from tests.support.tiny_models import build_tiny_model

SEED, SHAPE, SIDE = 5, (4, 16, 16), 4
STEPS = (5, 4)
RATES = (5e-3, 1e-3)
SETTINGS = Extract.model_validate(
    {
        "phase1": {"steps": STEPS[0], "lr": RATES[0]},
        "phase2": {"steps": STEPS[1], "lr": RATES[1]},
        "lora": {"rank": 2, "targets": "attention", "text_encoder": True},
        "clip_norm": 0.03,
    }
)  # Near the norms of these gradients: some steps clip, some do not.
WORDS = {"pair": [33, 78], "triple": [40, 41, 90]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), "v_prediction")


@pytest.fixture(scope="module")
def scenes() -> dict[str, PlainScene]:
    dice, made = torch.Generator().manual_seed(2), {}
    for name, words in WORDS.items():
        mean, std = torch.randn(2, *SHAPE, generator=dice), 0.1 * torch.rand(2, *SHAPE, generator=dice)
        made[name] = PlainScene(mean, std, (torch.rand(len(words), 64, 64, generator=dice) > 0.7).float())
    return made


PRIOR = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def model(directory: Path) -> SceneModel:
    made = SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>")
    assert made.recorder.side == SIDE
    return made


@pytest.fixture(scope="module")
def batch(scenes: dict[str, PlainScene]) -> list[TrainingScene]:
    """The same scenes as the engine takes them."""
    made = []
    for name, scene in scenes.items():
        sides = (scene.masks, scene.masks.flip(-1))
        latents = SceneLatents(
            scene.mean,
            scene.std,
            torch.stack([resize_masks(m, SHAPE[1]) for m in sides]),
            torch.stack([resize_masks(m, SIDE) for m in sides]),
        )
        made.append(TrainingScene(name, [(word,) for word in WORDS[name]], latents))
    return made


@pytest.fixture(scope="module")
def trained(model: SceneModel, batch: list[TrainingScene]) -> tuple[dict[str, TrainedScene], dict[str, Tensor]]:
    """The engine's results by scene, and the LoRA factors that it starts from."""
    layout = model.layout(SETTINGS.lora.rank, text_encoder=True)
    starts = {f"{name}/{key}": t for name in WORDS for key, t in layout.state(layout.initial(SEED, name)).items()}
    results = Trainer(model, SETTINGS, SEED, PRIOR).train(batch)
    return {r.scene_id: r for r in results}, starts


def adamw(values: list[Tensor], lr: float) -> PlainAdamW:
    """The published settings, but for the clip."""
    return PlainAdamW(torch.cat([v.flatten() for v in values]).tolist(), lr, 0.9, 0.999, 1e-8, 1e-2, SETTINGS.clip_norm)


def unflatten(numbers: list[float], like: list[Tensor]) -> list[Tensor]:
    pieces = torch.tensor(numbers, dtype=torch.float64).split([t.numel() for t in like])
    return [p.view(t.shape).requires_grad_() for p, t in zip(pieces, like, strict=True)]


def train_plainly(
    model: PlainModel, scene: PlainScene, name: str, start: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor], list[tuple[float, float, float]], list[float]]:
    """Handles, factors, the terms of every step and the norm of every step's gradient."""
    table = next(p for n, p in model.text.named_parameters() if "token_embedding" in n)
    handles, factors = table[WORDS[name]].clone(), {key: t.double() for key, t in start.items()}
    curves, norms = [], []
    for phase in (1, 2):
        draws = SceneDraws(
            SEED, name, phase, len(WORDS[name]), SHAPE, 1000, prior_images=0 if phase == 1 else len(PRIOR)
        )
        values = [handles] if phase == 1 else [handles, *factors.values()]
        optimizer = adamw(values, RATES[phase - 1])
        for _ in range(STEPS[phase - 1]):
            handles, *rest = values = unflatten(optimizer.values, values)
            used = {} if phase == 1 else dict(zip(factors, rest, strict=True))
            drawn = draws.next()
            draw = PlainDraw(
                drawn.subset,
                drawn.flip,
                drawn.timestep,
                drawn.noise,
                drawn.vae_noise,
                drawn.prior_timestep,
                drawn.prior_noise,
                None if drawn.prior_noise is None else PRIOR[drawn.prior_index],
            )
            curves.append(model.terms(scene, draw, handles.detach(), {k: t.detach() for k, t in used.items()}, SIDE))
            model.total(scene, draw, handles, used, SIDE).backward()
            gradient = torch.cat(
                [torch.zeros_like(v).flatten() if v.grad is None else v.grad.flatten() for v in values]
            )
            norms.append(float(gradient.norm()))
            optimizer.step(gradient.tolist())
        handles, *rest = unflatten(optimizer.values, values)
        factors = dict(zip(factors, rest, strict=True)) if rest else factors
    return handles.detach(), {k: t.detach() for k, t in factors.items()}, curves, norms


@pytest.mark.parametrize("name", WORDS)
def test_the_engine_learns_what_the_plain_trainer_learns(
    directory: Path,
    scenes: dict[str, PlainScene],
    trained: tuple[dict[str, TrainedScene], dict[str, Tensor]],
    name: str,
) -> None:
    results, starts = trained
    mine = results[name]
    start = {key.removeprefix(f"{name}/"): t for key, t in starts.items() if key.startswith(f"{name}/")}
    handles, factors, curves, norms = train_plainly(PlainModel(directory), scenes[name], name, start)
    assert min(norms) < SETTINGS.clip_norm < max(norms)
    assert mine.curves.tolist() == [pytest.approx(step, rel=1e-5) for step in curves]
    torch.testing.assert_close(mine.handles.double(), handles, rtol=1e-5, atol=1e-6)
    assert set(mine.lora) == set(factors)
    errors = []
    for key, wanted in factors.items():
        assert not torch.equal(wanted, start[key].double()), "every factor moves"
        errors.append((mine.lora[key].double() - wanted).abs().flatten())
    # AdamW makes a step of full length out of a gradient near zero, and with it of float32's rounding: a few elements
    # may be off by more than the others. A step is 1e-3 long.
    assert float(torch.cat(errors).mean()) < 1e-7
    assert float(torch.cat(errors).max()) < 1e-4


@pytest.mark.parametrize("off", ["flip", "union_sampling"])
def test_what_is_switched_off_is_off_in_training(
    directory: Path, model: SceneModel, batch: list[TrainingScene], scenes: dict[str, PlainScene], off: str
) -> None:
    """Eight steps at a rate that moves nothing: each is the plain step of the numbers that should be drawn."""
    settings = Extract.model_validate({off: False, "phase1": {"steps": 8, "lr": 1e-12}, "phase2": {"steps": 0}})
    result = Trainer(model, settings, SEED).train(batch)[1]
    name, plain = "triple", PlainModel(directory)
    handles = model.initial_handles([[(word,) for word in WORDS[name]]])[0]
    draws = SceneDraws(SEED, name, 1, 3, SHAPE, 1000, flip=off != "flip", union=off != "union_sampling")
    drawn = [draws.next() for _ in range(8)]
    assert any(d.flip for d in drawn) == (off != "flip")
    assert any(len(d.subset) > 1 for d in drawn) == (off != "union_sampling")
    for mine, d in zip(result.curves.tolist(), drawn, strict=True):
        draw = PlainDraw(d.subset, d.flip, d.timestep, d.noise, d.vae_noise)
        assert mine == pytest.approx(plain.terms(scenes[name], draw, handles, {}, SIDE), rel=1e-5)
