"""How the base is trained: an autoencoder that grows, shards of encoded scenes, runs of many sittings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn.functional import avg_pool2d

from models.training.base import encoding, unet
from models.training.base import parts as base
from models.training.base.arriving import ArrivingScenes, open_encoded
from models.training.base.encoding import Encoding, encode_world
from models.training.base.growing import build as build_vae
from models.training.base.growing import grown
from models.training.base.latents import CAPTIONS
from models.training.base.vae import CHANNELS
from models.training.world.places.backgrounds import paint
from models.training.world.tokenizer import build as build_tokenizer
from models.training.world.world import ToySettings
from tests.support import ROOT

SEEDLING = ROOT / "models/seedling"


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Shards of eight scenes, and a UNet that a test can train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SHARD", 8)
        patch.setattr(encoding, "_BATCH", 4)
        patch.setattr(base, "SIZE", base.Size((8, 16, 16), 16, 1))
        yield


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder")
    torch.manual_seed(0)
    build_vae(CHANNELS).half().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return folder


def test_the_latents_of_toys_are_as_large_as_the_unet_takes(autoencoder: Path) -> None:
    vae = build_vae(CHANNELS)
    with torch.no_grad():
        latents = vae.encode(torch.zeros(1, 3, ToySettings().height, ToySettings().width)).latent_dist.mean
    side = base.build_unet().config.sample_size
    assert latents.shape == (1, 4, side, side)


def test_a_grown_autoencoder_begins_where_the_small_one_stands() -> None:
    """An autoencoder of 64x64 pictures, and what it is grown to, of 128x128: a place's latents agree, and what is drawn
    from them is the same at half the size."""
    small = AutoencoderKL.from_pretrained(SEEDLING / "base/vae", torch_dtype=torch.float32).eval()
    large = grown(small).eval()
    places = np.stack([paint(i, 128, 128, np.random.default_rng(i)) for i in (0, 1, 12)])
    pictures = torch.from_numpy(places).permute(0, 3, 1, 2) * 2 - 1
    with torch.no_grad():
        latents = small.encode(avg_pool2d(pictures, 2)).latent_dist.mode()
        grown_latents = large.encode(pictures).latent_dist.mode()
        drawn, grown_drawn = small.decode(latents).sample, large.decode(latents).sample
    assert (grown_latents - latents).std() < 0.1 * latents.std()
    assert grown_drawn.shape == pictures.shape
    assert (avg_pool2d(grown_drawn, 2) - drawn).square().mean().sqrt() < 0.05


def test_shards_are_made_once_and_more_scenes_leave_them_as_they_are(
    autoencoder: Path, tokenizer: Path, tmp_path: Path
) -> None:
    settings = ToySettings(seed=5)
    encode_world(settings, 10, autoencoder, tokenizer, tmp_path, workers=1)
    first = open_encoded(tmp_path, 10, 1.0, "cpu")
    assert first.moments.shape == (16, 8, 16, 16), "whole shards"
    assert first.token_ids.shape == (16, CAPTIONS, 32)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    encode_world(settings, 20, autoencoder, tokenizer, tmp_path, workers=1)
    more = open_encoded(tmp_path, 20, 1.0, "cpu")
    assert torch.equal(more.moments[:16], first.moments)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in written} == written
    covered = [scene.masks.any(0).mean() for scene in map(settings.open().scene, range(16))]
    assert torch.allclose(first.covered.float().mean((1, 2, 3)), torch.tensor(covered, dtype=torch.float32), atol=1e-3)
    with pytest.raises(ValueError, match="differ in: world"):
        encode_world(ToySettings(seed=6), 8, autoencoder, tokenizer, tmp_path, workers=1)


def test_training_sees_the_shards_that_are_there_and_those_that_come(
    autoencoder: Path, tokenizer: Path, tmp_path: Path
) -> None:
    settings, noise = ToySettings(seed=5), torch.Generator().manual_seed(0)
    scenes = ArrivingScenes(tmp_path, 24, 1.0, "cpu")
    with pytest.raises(RuntimeError, match="no scenes yet"):
        scenes.draw(2, noise)
    encode_world(settings, 8, autoencoder, tokenizer, tmp_path, workers=1)
    scenes.look()
    assert scenes.there == 8
    encode_world(settings, 24, autoencoder, tokenizer, tmp_path, workers=1)
    (tmp_path / "00001.npz").rename(tmp_path / "later")
    scenes.look()
    assert scenes.there == 8, "a shard waits for those before it"
    (tmp_path / "later").rename(tmp_path / "00001.npz")
    scenes.look()
    assert scenes.there == 24
    whole = open_encoded(tmp_path, 24, 1.0, "cpu")
    drawn, again = (of.draw(6, torch.Generator().manual_seed(1)) for of in (scenes, whole))
    assert torch.equal(drawn.latents, again.latents)
    assert torch.equal(drawn.token_ids, again.token_ids)


def test_a_process_that_cannot_encode_ends_the_training(tokenizer: Path, tmp_path: Path) -> None:
    """And does not leave it to scenes that never come."""
    world = (ToySettings(seed=5), 8, tmp_path / "no autoencoder", tokenizer, tmp_path / "scenes")
    with Encoding(*world, workers=1) as making:
        with pytest.raises(BrokenProcessPool):
            making.wait_for(8)
        with pytest.raises(BrokenProcessPool):
            ArrivingScenes(tmp_path / "scenes", 8, 1.0, "cpu", making)


def test_a_stopped_run_goes_on_where_it_was(
    autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second sitting starts from the first one's weights, at the rate of the scenes seen, and ends the run."""
    monkeypatch.setattr(unet, "publish", lambda *_: None)
    command = ["unet", "--vae", str(autoencoder), "--work", str(tmp_path), "--out", str(tmp_path)]
    command += ["--batch", "4", "--scenes", "8", "--total-scenes", "80", "--workers", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--stop-after", "0.00001"])
    unet.main()
    first = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < first["step"] < 20
    rates: list[tuple[int, float]] = []
    plain = unet.set_learning_rate
    monkeypatch.setattr(unet, "set_learning_rate", lambda *given: (rates.append(given[2:4]), plain(*given)))
    monkeypatch.setattr(sys, "argv", command)
    unet.main()
    assert rates[0] == (first["step"], first["step"] * 4 / 80)
    assert rates[-1][0] == 19
    last = torch.load(tmp_path / "state.pt", weights_only=True)
    assert last["step"] == 20
    assert last["optimizer"]["state"][0]["step"] == 20, "the optimizer went on too"
    said = capsys.readouterr().out
    assert "unet stopped" in said
    assert f"goes on from step {first['step']}" in said
    assert "unet done: 20 steps, 80 scenes" in said


@pytest.mark.parametrize(("pictures", "size"), [(3, (12, 4)), (8, (32, 4)), (11, (32, 8))])
def test_a_sheet_shows_every_picture(tmp_path: Path, pictures: int, size: tuple[int, int]) -> None:
    """Also where they fill no row, or not the last one."""
    images = np.stack([np.full((4, 4, 3), 10 * number, np.uint8) for number in range(pictures)])
    base.save_sheet(images, tmp_path / "sheet.png", zoom=1)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == size
        seen = set(np.asarray(sheet).ravel().tolist())
    assert seen - {255} == {10 * number for number in range(pictures)}
