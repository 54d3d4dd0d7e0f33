"""The prior term and the noise schedule against plain numbers. The other terms: tests/golden/test_pieces.py."""

from __future__ import annotations

import pytest
import torch

from stages.extract.method.losses import diffusion_loss, prior_loss
from stages.models.base.noise_schedule import NoiseSchedule

S, C, H = 3, 4, 6


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_unknown_masked_loss_is_named() -> None:
    with pytest.raises(ValueError, match="huber"):
        diffusion_loss(random(1, 1, 2, 2), random(1, 1, 2, 2), torch.ones(1, 2, 2), "huber")


def test_prior_loss_is_unmasked() -> None:
    a, b = random(S, C, H, H), random(S, C, H, H, seed=1)
    for scene, value in enumerate(prior_loss(a, b).tolist()):
        pairs = zip(a[scene].flatten().tolist(), b[scene].flatten().tolist(), strict=True)
        assert value == pytest.approx(sum((x - y) ** 2 for x, y in pairs) / (C * H * H), rel=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_noise_schedule(kind: str) -> None:
    config = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": kind,
    }
    schedule = NoiseSchedule(config)
    x, noise, steps = random(2, 1, 2, 2), random(2, 1, 2, 2, seed=1), torch.tensor([3, 800])
    noisy, target = schedule.noisy(x, noise, steps), schedule.target(x, noise, steps)
    for row, step in enumerate(steps.tolist()):
        alpha = 1.0
        for t in range(step + 1):
            alpha *= 1.0 - (0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * t / 999) ** 2
        a, b = alpha**0.5, (1 - alpha) ** 0.5
        clean, grain = float(x[row, 0, 0, 0]), float(noise[row, 0, 0, 0])
        wanted = {"epsilon": grain, "v_prediction": a * grain - b * clean, "sample": clean}[kind]
        assert float(noisy[row, 0, 0, 0]) == pytest.approx(a * clean + b * grain, rel=1e-4, abs=1e-5)
        assert float(target[row, 0, 0, 0]) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
