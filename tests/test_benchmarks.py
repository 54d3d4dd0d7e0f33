"""The benchmarks: the yardstick computes the same loss as the engine, and both scripts run to their end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import extract, generate
from benchmarks.models import build_base
from benchmarks.scenes import make_prior_pictures, make_scenes
from benchmarks.yardstick import Yardstick
from schemas.job import Extract
from stages.extract.draws import SceneDraws
from stages.extract.latents import encode_scene
from stages.extract.scene_model import SceneModel
from stages.extract.step import PriorSource, build_inputs, loss_terms

CPU = torch.device("cpu")
SETTINGS = Extract.model_validate({"lora": {"rank": 4}, "phase1": {"steps": 1, "lr": 5e-3}})


def make_yardstick(kind: str) -> Yardstick:
    base = build_base("tiny", torch.float32, CPU)
    return Yardstick(base, kind, SETTINGS, torch.float32, make_prior_pictures(2, base.side))


@pytest.mark.parametrize("number", [0, 2])
def test_the_yardstick_computes_the_engine_s_losses(number: int) -> None:
    plain, model = make_yardstick("full"), SceneModel(build_base("tiny", torch.float32, CPU), "<asset{index}>")
    scene = make_scenes(number + 1, model.base.side)[number]
    word = model.tokens.pick_word(None, "object")[1]
    words = [word + j for j in range(len(scene.masks))]
    plain.begin(scene, words)
    latents = encode_scene(model.base, scene.picture, scene.masks, model.recorder.side)
    draws = SceneDraws(0, scene.scene_id, 2, len(words), model.base.latent_shape, 1000, prior_images=2)
    handles = model.initial_handles([words]).requires_grad_()
    flips = set()
    for _ in range(4):
        draw = draws.next()
        flips.add(draw.flip)
        noise = torch.randn(model.base.latent_shape, generator=torch.Generator().manual_seed(3))
        prior = torch.cat([plain.encode(plain.prior_pictures[[i, i]], torch.stack([noise, noise]))[:1]
                           for i in range(2)])
        table = plain.tables[0].requires_grad_()
        theirs = plain.losses(draw, noise)
        model.bind(handles)
        inputs = build_inputs([draw], [latents], model.tokens, SETTINGS, len(words),
                              PriorSource(prior, model.tokens.ids(SETTINGS.prior.prompt)))
        terms = loss_terms(model, inputs, SETTINGS)
        mine = (terms.diffusion[0], terms.attention[0], terms.prior[0])
        torch.testing.assert_close(torch.stack(theirs), torch.stack(mine), rtol=1e-4, atol=1e-6)
        # The table of the plain loop holds the handles, so its gradient there is the handles' own.
        theirs_grad, = torch.autograd.grad(theirs[0] + 0.01 * theirs[1], table)
        mine_grad, = torch.autograd.grad(mine[0] + 0.01 * mine[1], handles)
        first = plain.tokens.first_id
        torch.testing.assert_close(theirs_grad[first:first + len(words)], mine_grad[0], rtol=1e-3, atol=1e-7)
        model.release()
    assert flips == {True, False}


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_yardstick_trains_what_is_published_and_starts_each_scene_afresh(kind: str) -> None:
    plain = make_yardstick(kind)
    scene, first = make_scenes(2, plain.base.side)[1], plain.tokens.first_id
    unet = plain.base.unet
    before = {name: p.clone() for name, p in unet.named_parameters()}
    plain.begin(scene, [5, 6])
    start = plain.tables[0].detach().clone()
    plain.phase(1)()
    moved = (plain.tables[0] != start).any(1).nonzero().flatten().tolist()
    assert set(moved) <= {first, first + 1}
    assert moved
    assert all(torch.equal(p, before[name]) for name, p in unet.named_parameters())
    plain.phase(2)()
    changed = [name for name, p in unet.named_parameters() if name not in before or not torch.equal(p, before[name])]
    assert changed
    assert all("lora_" in name or "base_layer" in name for name in changed) == (kind == "lora")
    plain.begin(scene, [5, 6])
    assert torch.equal(plain.tables[0], start)
    assert all(torch.equal(p, before[name]) for name, p in unet.named_parameters())


@pytest.mark.parametrize("workers", [0, 2])
def test_extract_runs_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    out = tmp_path / "extract.json"
    extract.main(["--model", "tiny", "--device", "cpu", "--scenes", "1,2", "--rounds", "1", "--steps1", "2", "--steps2",
                  "2", "--warm", "1", "--rank", "4", "--yardstick", "full" if workers else "full,lora", "--workers",
                  str(workers), "--loop-threads", "1", "--out", str(out)])
    result = json.loads(out.read_text())
    rows = {row["configuration"]: row for row in result["rows"]}
    assert sum(name.startswith("engine") for name in rows) == 2
    assert sum(name.startswith("yardstick full") for name in rows) >= 1
    for name, row in rows.items():
        assert row["peak_gib"] > 0, name
        assert row["tflops"] > 0, name
        assert row["scenes_hour"] == pytest.approx(3600 / row["scene_seconds"]), name
    assert max(row["ratio"] for name, row in rows.items() if "yardstick full" in name and "processes" not in name) == 1
    assert "| ratio" in capsys.readouterr().out
    assert result["machine"]["torch"] == torch.__version__


def test_both_sides_of_generate_make_the_same_pictures() -> None:
    mixed = generate.MixedBatches(build_base("tiny", torch.float32, CPU), 2, 4, 3, 5.0)
    plain = generate.SceneByScene(build_base("tiny", torch.float32, CPU), mixed)
    jobs, seeds = generate.make_jobs(4, 2), [5, 6, 7, 8]
    mine = mixed.latents(jobs, seeds)
    first, second = plain.pictures(jobs, seeds, "latent")
    theirs = torch.stack([first[0], second[0], first[1], second[1]])
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    other = mixed.latents([(1 - scene, prompt) for scene, prompt in jobs], seeds)
    assert (other - mine).abs().max() > 1e-2, "the scenes differ enough to be told apart"


def test_generate_runs_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "generate.json"
    generate.main(["--model", "tiny", "--device", "cpu", "--batches", "1,4", "--scene-pictures", "2", "--steps", "2",
                   "--rank", "4", "--rounds", "1", "--out", str(out)])
    rows = {row["configuration"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == {"diffusers, 1 a scene", "diffusers, 2 a scene", "engine, batch 1", "engine, batch 4"}
    for name, row in rows.items():
        pictures = int(name.split()[-1]) if name.startswith("engine") else int(name.split()[1])
        assert row["pictures_second"] == pytest.approx(pictures / row["seconds"]), name
    assert max(row["ratio"] for name, row in rows.items() if name.startswith("diffusers")) == 1
    assert "| ratio" in capsys.readouterr().out


def test_a_base_that_cannot_be_measured_is_said_so(capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.models.dataclasses.fields", lambda _: ())
    with pytest.raises(SystemExit):
        generate.main(["--model", "tiny-xl", "--device", "cpu"])
    assert "text_encoder_2" in capsys.readouterr().err
