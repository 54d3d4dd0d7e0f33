"""The least memory of learning: against the one true-size step that was measured, and as a line in what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.job import JobSpec
from stages.handles.cost import base_cost
from stages.handles.memory import base_memory, saved_numbers
from tests.support.config_only import config_only_sd21

GIB = 1 << 30


@pytest.fixture(scope="module")
def sd21(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configurations of a base of true size, without its weights."""
    return config_only_sd21(tmp_path_factory.mktemp("sd21"))


def spec_of(base: Path, **extract: object) -> JobSpec:
    tree = {"source": {"uri": "/photos"}, "output": "/out", "models": {"base": str(base)}, "extract": extract}
    return JobSpec.model_validate(tree)


def test_a_scene_of_sd21_costs_and_takes_what_was_measured(sd21: Path) -> None:
    """docs/engine.md: 2.05 PFLOP of the UNet for a scene, 10.4 GiB for one step in float32 on a CPU."""
    spec = spec_of(sd21)
    cost = base_cost(spec)
    assert cost.forward == pytest.approx(0.804, abs=0.001)
    unet = 400 * (1.67 + 2 * 1.73)
    assert unet == pytest.approx(2050, rel=0.01)
    assert unet < cost.learn_tflop < 1.05 * unet  # and a little for the text encoder and the VAE
    assert 60 * cost.forward + cost.decode == pytest.approx(60 * 0.804 + 2.51, abs=0.05)
    whole = base_memory(spec, cost, low=False)
    assert (whole.weights + whole.scene) / GIB == pytest.approx(10.4, abs=0.3)
    half = base_memory(spec, cost, low=True)
    assert half.weights == whole.weights / 2
    assert half.scene < 0.6 * whole.scene


def test_what_is_left_out_takes_no_memory(sd21: Path) -> None:
    with_prior = saved_numbers(spec_of(sd21))
    assert saved_numbers(spec_of(sd21, prior={"weight": 0})) == pytest.approx(with_prior / 2, rel=0.02)
    assert saved_numbers(spec_of(sd21, phase2={"steps": 0})) < 0.45 * with_prior  # no factors: their inputs go too
    spec = spec_of(sd21, gradient_checkpointing=True)
    cost = base_cost(spec)
    assert base_memory(spec, cost, low=True).scene < 0.4 * base_memory(spec_of(sd21), cost, low=True).scene
