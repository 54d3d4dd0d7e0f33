"""The paper's baselines are the same trainer with other settings: what each sees, and what each changes."""

from __future__ import annotations

import pytest
import torch

from schemas.job import Extract, JobSpec
from stages.extract.method.draws import SceneDraws
from stages.extract.method.pasting import paste, pasted_moments
from stages.extract.method.step import build_inputs, loss_terms
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.handles.full_weights import tunable
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from tests.support.tiny_models import build_tiny_model, tiny_scene

PRIOR = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(9))
PHASES = {"phase1": {"steps": 3, "lr": 5e-3}, "phase2": {"steps": 3, "lr": 1e-3}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SceneModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    return SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>")


@pytest.fixture(scope="module")
def scenes(model: SceneModel) -> list[TrainingScene]:
    return [tiny_scene(model, number, number + 1) for number in (1, 2)]


def settings_of(**given: object) -> Extract:
    return Extract.model_validate({"lora": {"rank": 2}, **given})


def moved(one: TrainedScene, scene: TrainingScene, model: SceneModel) -> float:
    start = model.initial_handles([scene.word_ids])[0]
    return float((one.handles - start).abs().max())


@pytest.mark.parametrize(
    ("method", "steps", "picture", "terms"),
    [
        ("break_a_scene", (400, 400), "scene", ("paper", "mse")),
        ("ti_m", (400, 0), "pasted", ("none", "none")),
        ("db_m", (0, 400), "pasted", ("none", "none")),
        ("cd_m", (0, 400), "pasted", ("none", "none")),
    ],
)
def test_a_method_is_a_bundle_of_settings(
    method: str, steps: tuple[int, int], picture: str, terms: tuple[str, str]
) -> None:
    models = {"base": "no/seedling"}  # which would bring steps and rates of its own
    spec = {"source": {"uri": "bucket"}, "output": "out", "models": models, "extract": {"method": method}}
    settings = JobSpec.model_validate(spec).extract
    assert (settings.phase1.steps, settings.phase2.steps) == steps
    assert settings.picture == picture
    assert (settings.masked_loss, settings.attention_loss) == terms
    assert settings.phase2.lr == Extract().phase2.lr, "what a bundle leaves open keeps its default"
    assert (settings.full.targets == "cross_kv") is (method == "cd_m")
    assert (settings.lora.targets == "cross_kv") is (method == "cd_m")


def test_what_the_spec_says_goes_before_the_bundle() -> None:
    settings = Extract.model_validate(
        {"method": "db_m", "phase1": {"steps": 7}, "masked_loss": "paper", "phase2": {"lr": 2e-6}}
    )
    assert (settings.phase1.steps, settings.masked_loss, settings.attention_loss) == (7, "paper", "none")
    assert (settings.phase2.steps, settings.phase2.lr) == (400, 2e-6)
    again = Extract.model_validate(settings.model_dump())
    assert again == settings, "a recorded spec means the same when it is read again"


def test_ti_m_learns_handles_only(model: SceneModel, scenes: list[TrainingScene]) -> None:
    settings = settings_of(method="ti_m", phase1=PHASES["phase1"])
    for trained, scene in zip(Trainer(model, settings, 0, PRIOR).train(scenes), scenes, strict=True):
        assert trained.lora == {}
        assert len(trained.curves) == 3
        assert moved(trained, scene, model) > 1e-3
        assert not trained.curves[:, 1:].any(), "neither attention loss nor prior"


@pytest.mark.parametrize("picture", ["pasted", "scene"])
def test_training_sees_the_picture_that_the_settings_name(
    model: SceneModel, scenes: list[TrainingScene], picture: str
) -> None:
    settings = settings_of(method="ti_m", picture=picture, phase1={"steps": 1, "lr": 5e-3})
    trained = Trainer(model, settings, 0).train(scenes)
    for result, scene in zip(trained, scenes, strict=True):
        draw = SceneDraws(0, scene.scene_id, 1, len(scene.word_ids), (4, 16, 16), 1000, colour=True).next()
        model.bind(model.initial_handles([scene.word_ids]))
        inputs = [
            build_inputs([draw], [scene.latents], model.tokens, settings, 3, None, moments)
            for moments in (pasted_moments(model.base, [scene.latents], [draw]), None)
        ]
        terms = [float(loss_terms(model, each, settings).diffusion) for each in inputs]
        model.release()
        mine, other = terms if picture == "pasted" else terms[::-1]
        assert float(result.curves[0, 0]) == pytest.approx(mine, rel=1e-6)
        assert other != pytest.approx(mine, rel=2e-5)


def test_db_m_learns_factors_from_the_first_step(model: SceneModel, scenes: list[TrainingScene]) -> None:
    settings = settings_of(method="db_m", phase2=PHASES["phase2"])
    for trained in Trainer(model, settings, 0, PRIOR).train(scenes):
        assert len(trained.curves) == 3
        assert (trained.curves[:, 2] > 0).all(), "DreamBooth keeps its prior"
        assert any(t.abs().max() > 1e-4 for name, t in trained.lora.items() if "lora_B" in name)


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_cd_m_changes_keys_and_values_of_cross_attention_only(
    model: SceneModel, scenes: list[TrainingScene], tuning: str
) -> None:
    before = {name: p.detach().clone() for name, p in tunable(model.base).items()}
    settings = settings_of(method="cd_m", tuning=tuning, phase2=PHASES["phase2"])
    (trained,) = Trainer(model, settings, 0, PRIOR).train(scenes[:1])
    changed = set(trained.full) | {name.rsplit(".lora_", 1)[0] + ".weight" for name in trained.lora}
    layers = {name for name in before if ".attn2." in name and (".to_k." in name or ".to_v." in name)}
    assert changed == layers
    if tuning == "full":
        assert all((t.float() - before[name]).abs().max() > 1e-4 for name, t in trained.full.items())
    assert moved(trained, scenes[0], model) > 1e-4
    assert all(torch.equal(p, before[name]) for name, p in tunable(model.base).items())


def test_a_pasted_picture_shows_the_step_s_concepts_on_its_colour(
    model: SceneModel, scenes: list[TrainingScene]
) -> None:
    draws = SceneDraws(0, "scene2", 1, 3, (4, 16, 16), 1000, colour=True)
    latents, seen = scenes[1].latents, set()
    for _ in range(12):
        draw = draws.next()
        seen.add((draw.flip, len(draw.subset)))
        assert draw.colour is not None
        mask = torch.zeros(64, 64)
        for j in draw.subset:
            mask = torch.maximum(mask, latents.picture_masks[j])
        picture = torch.empty(3, 64, 64)
        for channel in range(3):
            picture[channel] = torch.where(mask > 0.5, latents.picture[channel], draw.colour[channel])
        if draw.flip:
            picture = torch.flip(picture, (2,))
        wanted = model.base.vae.encode(picture[None]).latent_dist
        mean, std = pasted_moments(model.base, [latents], [draw])
        scale = model.base.vae.config.scaling_factor
        torch.testing.assert_close(mean, wanted.mean * scale, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(std, wanted.std * scale, rtol=1e-4, atol=1e-5)
    assert len(seen) > 3, "flips and subsets of several sizes were among them"


def test_a_soft_edge_blends() -> None:
    mixed = paste(torch.ones(3, 1, 1), torch.full((1, 1), 0.25), torch.tensor([-1.0, 0.0, 1.0]))
    assert mixed.flatten().tolist() == [-0.5, 0.25, 1.0]


def test_pasting_draws_colours_and_leaves_the_other_streams_alone() -> None:
    plain, coloured = (SceneDraws(0, "scene1", 1, 2, (1, 2, 2), 1000, colour=colour) for colour in (False, True))
    colours = []
    for _ in range(5):
        one, two = plain.next(), coloured.next()
        assert (one.subset, one.flip, one.timestep) == (two.subset, two.flip, two.timestep)
        assert torch.equal(one.noise, two.noise)
        assert one.colour is None
        assert two.colour is not None
        colours += two.colour
    assert len(set(colours)) == 15
    assert min(colours) < -0.3
    assert max(colours) > 0.3
    assert all(-1 <= value <= 1 for value in colours)


def test_company_does_not_matter_to_a_baseline(model: SceneModel, scenes: list[TrainingScene]) -> None:
    settings = settings_of(method="db_m", phase2=PHASES["phase2"])
    together = Trainer(model, settings, 0, PRIOR).train(scenes)
    (alone,) = Trainer(model, settings, 0, PRIOR).train(scenes[1:])
    torch.testing.assert_close(alone.handles, together[1].handles, rtol=1e-4, atol=1e-4)
    for name, factor in alone.lora.items():
        torch.testing.assert_close(factor, together[1].lora[name], rtol=1e-4, atol=1e-4)
