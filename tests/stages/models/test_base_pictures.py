"""What the VAE makes is looked at: not finite in half precision is made again in float32, and what stays so is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.errors import SceneError
from stages.extract.method.latents import encode_scene
from stages.models.base.base_model import BaseModel
from stages.models.base.loading import load_base
from stages.models.base.pictures import decode_sound, encode_pictures
from tests.support.tiny_models import build_tiny_model

NAN = float("nan")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


def half(model_dir: Path, dtype: torch.dtype = torch.float16) -> BaseModel:
    return load_base(str(model_dir), None, dtype, "cpu")


def raised(model_dir: Path) -> BaseModel:
    """The float16 weights, computed in float32: what a picture that overflows falls back on."""
    base = half(model_dir)
    base.vae.float()
    base.dtype = torch.float32
    return base


def overflowing(work: Callable[..., Any], base: BaseModel, where: str) -> Callable[..., Any]:
    """What a VAE does whose activations leave float16's range for some pictures: those with a corner over 1."""

    def through(rows: torch.Tensor, **settings: Any) -> Any:
        # The weights' own type says what it is computed in; the corner, which picture it is.
        low = base.vae.conv_in_of(where).dtype != torch.float32
        bad = (rows[:, 0, 0, 0] > 1) & low
        scale = torch.where(bad, NAN, 1.0)[:, None, None, None].to(rows.dtype)
        return work(rows * scale, **settings)

    return through


@pytest.fixture
def sick(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> BaseModel:
    """A base in float16 whose VAE overflows there, and not in float32."""
    base = half(model_dir)
    first = {"decode": base.vae.decoder.conv_in.weight, "encode": base.vae.encoder.conv_in.weight}
    monkeypatch.setattr(base.vae, "conv_in_of", lambda name: first[name], raising=False)
    for name in first:
        monkeypatch.setattr(base.vae, name, overflowing(getattr(base.vae, name), base, name))
    return base


def marked(rows: torch.Tensor, *numbers: int) -> torch.Tensor:
    rows[:, 0, 0, 0] = 0.0
    rows[list(numbers), 0, 0, 0] = 1.5
    return rows


def test_a_decoding_that_overflows_is_made_again_in_float32_alone(
    sick: BaseModel, model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exact, well = raised(model_dir), half(model_dir)
    factor = sick.vae.config.scaling_factor
    latents = marked(torch.randn(6, *sick.latent_shape), 1, 5) * factor
    before = {name: (p.dtype, p.data_ptr()) for name, p in sick.vae.named_parameters()}
    with caplog.at_level(logging.WARNING):
        pictures, sound = decode_sound(sick, latents)
    assert sound.all()
    right, low = decode_sound(exact, latents)[0], decode_sound(well, latents)[0]
    away = {
        name: np.abs(pictures.astype(int) - other).max((1, 2, 3)) for name, other in (("right", right), ("low", low))
    }
    assert max(away["right"][[1, 5]]) <= 1  # the same but for how many go through the VAE at once
    assert not away["low"][[0, 2, 3, 4]].any(), "the others stay as they were"
    assert "models.base: its VAE is not finite in models.dtype for 1 of 4 pictures; decoding them in float32" in (
        caplog.text
    )
    assert {name: (p.dtype, p.data_ptr()) for name, p in sick.vae.named_parameters()} == before


def test_an_encoding_that_overflows_is_made_again_in_float32(sick: BaseModel, model_dir: Path) -> None:
    pictures = marked(torch.rand(2, 3, 64, 64), 1)
    mean, std = encode_pictures(sick, pictures)
    right, low = (encode_pictures(base, pictures) for base in (raised(model_dir), half(model_dir)))
    for found, exact, rough in zip((mean, std), right, low, strict=True):
        assert torch.equal(found[0], rough[0])
        torch.testing.assert_close(found[1], exact[1], rtol=1e-5, atol=1e-6)
        assert (found[1] - rough[1]).abs().max() > 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_in_float32_either_is_told(model_dir: Path, dtype: torch.dtype) -> None:
    base = half(model_dir, dtype)
    base.vae.decoder.conv_out.bias.data[1] = NAN
    pictures, sound = decode_sound(base, torch.randn(3, *base.latent_shape))
    assert not sound.any()
    assert not pictures[..., 1].any(), "black where it is not finite"
    base.vae.encoder.conv_out.bias.data[0] = float("inf")
    with pytest.raises(SceneError, match=r"the picture's latents are not finite: the VAE of models\.base"):
        encode_scene(base, torch.rand(3, 64, 64), torch.ones(1, 64, 64), 4)
