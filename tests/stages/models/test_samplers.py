"""Scheduler configurations as real bases have them: what reaches the samplers, and latents beside diffusers' own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.samplers import CONFIGURATIONS, FOREIGN, SD, Beside, Saved, share
from schemas.errors import SpecError
from schemas.generate import DISTILLED, MOST_DISTILLED
from schemas.job import Generate, JobSpec, Prior
from stages.extract.method.prior import draw_prior
from stages.handles.scene_model import SceneModel
from stages.models.base.layout import check_base
from stages.models.base.loading import load_base
from stages.models.base.noise_schedule import NoiseSchedule
from stages.models.base.process import CONFIG, check_interval, process_of, training_levels
from stages.models.base.sampler import (
    SCHEDULERS,
    denoise,
    initial_latents,
    make_scheduler,
    noise_levels,
    picture_streams,
    set_steps,
    unet_passes,
)
from stages.models.base.text_states import TextStates
from tests.support.tiny_models import build_tiny_model, tiny_spec

SAMPLERS = sorted(SCHEDULERS)
CPU = torch.device("cpu")
LINEAR = [0.0001 + 0.01 * i / 999 for i in range(1000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def beside(folder: Path) -> Beside:
    return Beside(load_base(str(folder), None, torch.float32, "cpu"), steps=3)


def saved_as(folder: Path, where: Path, **config: object) -> Path:
    """The base with another scheduler_config.json: links to the parts, the file its own."""
    where.mkdir()
    for part in folder.iterdir():
        if part.name != "scheduler":
            (where / part.name).symlink_to(part)
    (where / "scheduler").mkdir()
    (where / CONFIG).write_text(json.dumps(config))
    return where


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_latents_are_those_of_diffusers_pipeline(beside: Beside, name: str) -> None:
    for sampler in SAMPLERS:
        mine = beside.ours(CONFIGURATIONS[name], sampler)
        assert torch.isfinite(mine).all()
        assert torch.equal(mine, beside.theirs(CONFIGURATIONS[name], sampler)), sampler


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_seed_decides_everything(beside: Beside, sampler: str) -> None:
    for saved in (Saved("DPMSolverMultistepScheduler", SD | FOREIGN), Saved("EulerAncestralDiscreteScheduler", SD)):
        torch.manual_seed(0)
        alone = beside.ours(saved, sampler, [5])
        torch.manual_seed(1)
        assert torch.equal(alone, beside.ours(saved, sampler, [5]))
        for seeds in ([5, 6], [7, 5, 6], [6, 7, 8, 9, 5]):
            number = seeds.index(5)
            assert share(alone, beside.ours(saved, sampler, seeds)[number : number + 1]) < 1e-5


def test_no_option_of_another_sampler_gets_through() -> None:
    process = process_of(SD, xl=False)
    assert process_of(SD | FOREIGN | {"an_option_to_come": True}, xl=False) == process
    for sampler in SAMPLERS:
        plain, beset = make_scheduler(sampler, process), make_scheduler(sampler, process | FOREIGN)
        assert plain.config == beset.config
        assert not plain.config.get("clip_sample")
        assert not plain.config.get("thresholding")
    assert make_scheduler("dpmsolver++", process).config.algorithm_type == "dpmsolver++"


@pytest.mark.parametrize("said", [{}, {"steps_offset": 0}, {"steps_offset": 1}, {"steps_offset": None}])
def test_the_repair_of_2022_is_made_for_sd_alone(said: dict[str, int | None]) -> None:
    assert process_of(SD | said, xl=False)["steps_offset"] == 1
    assert process_of(SD | said, xl=True).get("steps_offset") == said.get("steps_offset")


def test_the_prior_set_of_a_stochastic_configuration_is_the_seed_s(folder: Path, tmp_path: Path) -> None:
    base = saved_as(folder, tmp_path / "sde", **SD, algorithm_type="sde-dpmsolver++")
    model = SceneModel(load_base(str(base), None, torch.float32, "cpu"), "<asset{index}>")
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        drawn.append(draw_prior(model, Prior(images=2, steps=3), seed=3))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_as_many_steps_as_asked_for_all_between_the_ends(sampler: str, spacing: str) -> None:
    scheduler = make_scheduler(sampler, process_of(SD | {"timestep_spacing": spacing}, xl=False))
    for steps in (1, 2, 30, 61, 103, 122, 333, 998):  # diffusers counts 62, 104 and 123 with trailing spacing
        if sampler in DISTILLED and steps > MOST_DISTILLED:
            continue  # the spec refuses it
        set_steps(scheduler, steps, CPU)
        times = scheduler.timesteps
        assert len(times) == steps
        assert 0 <= float(times.min()) <= float(times.max()) <= 999
        assert not hasattr(scheduler, "sigmas") or (len(scheduler.sigmas) == steps + 1 and scheduler.sigmas[-1] == 0)


def test_61_trailing_steps_draw_what_60_draw(folder: Path) -> None:
    saved = Saved("DDIMScheduler", SD | {"timestep_spacing": "trailing", "prediction_type": "v_prediction"})
    base = load_base(str(folder), None, torch.float32, "cpu")
    one, other = (Beside(base, steps).ours(saved, "ddim") for steps in (60, 61))
    assert share(one, other) < 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_zero_snr_is_finite_said_or_not(beside: Beside, sampler: str, kind: str) -> None:
    said = SD | {"rescale_betas_zero_snr": True, "prediction_type": kind, "timestep_spacing": "trailing"}
    unsaid = {"trained_betas": [*LINEAR[:-1], 1.0], "prediction_type": kind, "timestep_spacing": "linspace"}
    for config in (said, unsaid):
        assert torch.isfinite(beside.ours(Saved("DDIMScheduler", config), sampler)).all()
        assert float(NoiseSchedule(process_of(config, xl=False)).alpha_bar[-1]) == 0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_guidance_is_on_in_its_interval_alone(beside: Beside, sampler: str) -> None:
    """A step outside is one pass and not two, and does what an unguided one does."""
    base, process = beside.base, process_of(SD, xl=False)
    rows: list[int] = []

    def drawn(guidance: float, interval: tuple[float, float] | None) -> torch.Tensor:
        def predict(latents: torch.Tensor, times: torch.Tensor, text: TextStates) -> torch.Tensor:
            rows.append(len(latents))
            return base.predict(latents, times, text)

        streams, scheduler = picture_streams([5]), make_scheduler(sampler, process)
        noise, text = initial_latents(streams, base.latent_shape), (beside.text, beside.empty)
        return denoise(predict, scheduler, noise, 6, guidance, *text, streams=streams, interval=interval)

    scheduler = make_scheduler(sampler, process)
    set_steps(scheduler, 6, CPU)
    levels = noise_levels(scheduler)
    assert levels == sorted(levels, reverse=True)
    assert torch.equal(drawn(7.5, None), drawn(7.5, (0.0, 1e3)))
    rows.clear()
    assert share(drawn(7.5, (1e3, 1e4)), drawn(1.0, None)) < 1e-5
    rows.clear()
    drawn(7.5, (levels[4], levels[1]))
    assert rows == [1, 2, 2, 2, 1, 1]
    asked = {"sampler": sampler, "steps": 6, "guidance": 7.5, "guidance_interval": [levels[4], levels[1]]}
    assert unet_passes(Generate.model_validate(asked), process) == 9


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_interval_without_a_step_is_refused(sampler: str) -> None:
    """It would draw everything unguided, whatever guidance says."""
    scheduler = make_scheduler(sampler, process := process_of(SD, xl=False))
    set_steps(scheduler, 4, CPU)
    first, second, *_ = noise_levels(scheduler)
    asked: dict[str, Any] = {"sampler": sampler, "steps": 4, "guidance": 7.5}
    holding = Generate.model_validate(asked | {"guidance_interval": [second, first]})
    assert unet_passes(holding, process) == 5
    between = Generate.model_validate(asked | {"guidance_interval": [second, (first + second) / 2]})
    with pytest.raises(SpecError, match=rf"none of the 4 steps of {re.escape(sampler)}, whose noise levels are "):
        unet_passes(between, process)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_training_levels_are_those_that_diffusers_noises_with(name: str) -> None:
    process = process_of(CONFIGURATIONS[name].config, xl=False)
    alpha_bar = make_scheduler("ddim", process).alphas_cumprod.double()
    levels = training_levels(process)
    assert len(levels) == len(alpha_bar)
    wanted = ((1 - alpha_bar) / alpha_bar).sqrt().numpy()
    np.testing.assert_allclose(levels, wanted, rtol=1e-3)  # diffusers counts betas in float32


def test_an_interval_beside_all_noise_of_the_base_is_refused_before_work() -> None:
    process = process_of(SD, xl=False)
    for interval, fits in (([0.28, 5.42], True), ([20.0, 30.0], False), ([0.0, 0.01], False)):
        asked = {"source": {"uri": "a"}, "output": "b", "generate": {"guidance_interval": interval}}
        spec = JobSpec.model_validate(asked)
        if fits:
            check_interval(spec, process)
        else:
            with pytest.raises(SpecError, match=r"holds no noise level of models\.base, which go from 0\.029 to 14\.6"):
                check_interval(spec, process)


def test_noise_levels_are_those_of_the_process() -> None:
    """0.03 to 14.6 for Stable Diffusion; Euler's own sigmas are the same numbers."""
    scheduler = make_scheduler("euler", process_of(SD, xl=False))
    set_steps(scheduler, 1000, CPU)
    levels = noise_levels(scheduler)
    assert levels[0] == pytest.approx(14.61, abs=0.01)
    assert levels[-1] == pytest.approx(0.029, abs=0.001)
    set_steps(scheduler, 9, CPU)
    assert noise_levels(scheduler) == pytest.approx(scheduler.sigmas[:-1].tolist(), rel=1e-4)


def test_noise_between_steps_is_the_pictures_own(beside: Beside) -> None:
    """Without its stream a sampler would take torch's, which everybody draws from."""
    base, scheduler = beside.base, make_scheduler("lcm", process_of(SD, xl=False))
    with pytest.raises(ValueError, match="the stream of each picture"):
        denoise(base.predict, scheduler, initial_latents([5], base.latent_shape), 2, 1.0, beside.text, None)


REFUSED = {
    "zero SNR, epsilon": (SD | {"rescale_betas_zero_snr": True}, "prediction_type epsilon, which divides by zero; set"),
    "betas to 1, epsilon": (
        {"trained_betas": [*LINEAR[:-1], 1]},
        "prediction_type epsilon, which divides by zero; set",
    ),
    "too few betas": ({"trained_betas": LINEAR[:500]}, "has 500 trained_betas for 1000 num_train_timesteps; correct"),
    "no betas": ({"trained_betas": []}, "has 0 trained_betas for 1000 num_train_timesteps; correct"),
    "odd betas": ({"trained_betas": [*LINEAR[:-1], 1.5]}, "not numbers between 0 and 1; write"),
    "words for betas": ({"trained_betas": ["x"] * 1000}, "not numbers between 0 and 1; write"),
    "unknown betas": (SD | {"beta_schedule": "sigmoid"}, "says beta_schedule 'sigmoid', which not all .*; write its"),
    "unknown spacing": (SD | {"timestep_spacing": "karras"}, "says timestep_spacing 'karras', .*; write one of"),
    "a word for a number": (SD | {"num_train_timesteps": "1000"}, "says num_train_timesteps '1000', which is no int"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sampled_is_refused_before_work_starts(folder: Path, tmp_path: Path, name: str) -> None:
    config, sentence = REFUSED[name]
    base = saved_as(folder, tmp_path / "base", **config)
    for ask in (lambda: check_base(tiny_spec(base)), lambda: load_base(str(base), None, torch.float32, "cpu")):
        with pytest.raises(SpecError, match=rf"^models\.base: {CONFIG} of .*{sentence}") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_more_steps_than_timesteps_are_refused(folder: Path, tmp_path: Path) -> None:
    base = saved_as(folder, tmp_path / "base", **SD | {"num_train_timesteps": 50})
    fine: JobSpec = tiny_spec(base, generate={"steps": 48})
    assert check_base(fine) == 64
    with pytest.raises(SpecError, match=r"^generate\.steps: 49 steps do not fit on the 50 timesteps .*48 or fewer$"):
        check_base(tiny_spec(base, generate={"steps": 49}))
    with pytest.raises(SpecError, match=r"^extract\.prior\.steps: 60 steps"):
        check_base(tiny_spec(base, extract={"prior": {"steps": 60}}))
    assert check_base(tiny_spec(base, extract={"prior": {"steps": 60, "weight": 0}})) == 64
