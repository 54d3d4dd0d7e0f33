"""The benchmarks: the yardstick computes the same loss as the engine, and the scripts run to their end."""

from __future__ import annotations

import json
import math
import weakref
from pathlib import Path

import pytest
import torch

from benchmarks import extract, generate
from benchmarks.models import build_base, held_gib
from benchmarks.scenes import make_prior_pictures, make_scenes
from benchmarks.training import DivergedError, Options, TrainingBench
from benchmarks.yardstick import Yardstick
from schemas.job import Extract
from stages.extract.method.draws import SceneDraws
from stages.extract.method.latents import encode_scene
from stages.extract.method.step import PriorSource, build_inputs, loss_terms
from stages.handles.scene_model import SceneModel
from stages.models.base.base_model import BaseModel
from stages.models.base.loading import load_base
from tests.support.tiny_sdxl import build_tiny_sdxl

CPU = torch.device("cpu")
SETTINGS = Extract.model_validate({"lora": {"rank": 4}, "phase1": {"steps": 1, "lr": 5e-3}})


@pytest.fixture(scope="module")
def saved_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its tokenizers differ in size, so handles have other ids in each."""
    return build_tiny_sdxl(tmp_path_factory.mktemp("xl"))


def make_base(name: str, saved_xl: Path) -> BaseModel:
    return (
        load_base(str(saved_xl), None, torch.float32, CPU)
        if name == "saved-xl"
        else build_base(name, torch.float32, CPU)
    )


def make_yardstick(kind: str, base: BaseModel) -> Yardstick:
    return Yardstick(base, kind, SETTINGS, torch.float32, make_prior_pictures(2, base.side))


@pytest.mark.parametrize(("name", "number"), [("tiny", 0), ("tiny", 2), ("saved-xl", 2)])
def test_the_yardstick_computes_the_engine_s_losses(name: str, number: int, saved_xl: Path) -> None:
    plain, model = (
        make_yardstick("full", make_base(name, saved_xl)),
        SceneModel(make_base(name, saved_xl), "<asset{index}>"),
    )
    scene = make_scenes(number + 1, model.base.side)[number]
    word = model.tokens.pick_word(None, "object")[1]
    words = [tuple(i + j for i in word) for j in range(len(scene.masks))]
    plain.begin(scene, words)
    latents = encode_scene(model.base, scene.picture, scene.masks, model.recorder.side)
    draws = SceneDraws(0, scene.scene_id, 2, len(words), model.base.latent_shape, 1000, prior_images=2)
    handles = model.initial_handles([words]).requires_grad_()
    assert len(plain.tables) == len(word) == (2 if name == "saved-xl" else 1)
    flips = set()
    for _ in range(4):
        draw = draws.next()
        flips.add(draw.flip)
        noise = torch.randn(model.base.latent_shape, generator=torch.Generator().manual_seed(3))
        prior = torch.cat(
            [plain.encode(plain.prior_pictures[[i, i]], torch.stack([noise, noise]))[:1] for i in range(2)]
        )
        tables = [table.requires_grad_() for table in plain.tables]
        theirs = plain.losses(draw, noise)
        model.bind(handles)
        inputs = build_inputs(
            [draw],
            [latents],
            model.tokens,
            SETTINGS,
            len(words),
            PriorSource(prior, model.tokens.ids(SETTINGS.prior.prompt)),
        )
        terms = loss_terms(model, inputs, SETTINGS)
        mine = (terms.diffusion[0], terms.attention[0], terms.prior[0])
        torch.testing.assert_close(torch.stack(theirs), torch.stack(mine), rtol=1e-4, atol=1e-6)
        # The tables of the plain loop hold the handles, so their gradients there are the handles' own.
        theirs_grads = torch.autograd.grad(theirs[0] + 0.01 * theirs[1], tables)
        (mine_grad,) = torch.autograd.grad(mine[0] + 0.01 * mine[1], handles)
        theirs_grad = torch.cat(
            [
                grad[first : first + len(words)]
                for grad, first in zip(theirs_grads, plain.tokens.first_ids, strict=True)
            ],
            dim=1,
        )
        torch.testing.assert_close(theirs_grad, mine_grad[0], rtol=1e-3, atol=1e-6)
        model.release()
    assert flips == {True, False}


@pytest.mark.parametrize("name", ["tiny", "saved-xl"])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_yardstick_trains_what_is_published_and_starts_each_scene_afresh(
    kind: str, name: str, saved_xl: Path
) -> None:
    plain = make_yardstick(kind, make_base(name, saved_xl))
    scene, words = make_scenes(2, plain.base.side)[1], [(5,) * len(plain.encoders), (6,) * len(plain.encoders)]
    unet = plain.base.unet
    before = {name: p.clone() for name, p in unet.named_parameters()}
    plain.begin(scene, words)
    starts = [table.detach().clone() for table in plain.tables]
    plain.phase(1)()
    for table, start, first in zip(plain.tables, starts, plain.tokens.first_ids, strict=True):
        moved = (table != start).any(1).nonzero().flatten().tolist()
        assert set(moved) <= {first, first + 1}
        assert moved
    assert all(torch.equal(p, before[name]) for name, p in unet.named_parameters())
    plain.phase(2)()
    for module in plain.modules:
        trained = {name for name, p in module.named_parameters() if p.requires_grad and "token_embedding" not in name}
        factors = {name for name in trained if "lora_" in name}
        assert trained
        assert factors == (trained if kind == "lora" else set())
    changed = [name for name, p in unet.named_parameters() if name not in before or not torch.equal(p, before[name])]
    assert changed
    assert all("lora_" in name or "base_layer" in name for name in changed) == (kind == "lora")
    plain.begin(scene, words)
    assert all(torch.equal(table, start) for table, start in zip(plain.tables, starts, strict=True))
    assert all(torch.equal(p, before[name]) for name, p in unet.named_parameters())


@pytest.mark.parametrize(("name", "unet", "texts"), [("sd21", 865.9, [340.4]), ("sdxl", 2567.5, [123.1, 694.7])])
def test_true_sizes_have_the_released_models_parameters(name: str, unet: float, texts: list[float]) -> None:
    """As the released safetensors files have them. Unit: millions. On the meta device, so nothing is allocated."""
    base = build_base(name, torch.bfloat16, torch.device("meta"))

    def millions(part: torch.nn.Module) -> float:
        return round(sum(p.numel() for p in part.parameters()) / 1e6, 1)

    assert millions(base.unet) == unet
    assert [millions(encoder) for encoder in base.text_encoders.values()] == texts
    assert millions(base.vae) == 83.7
    assert base.side == {"sd21": 512, "sdxl": 1024}[name]
    assert {
        p.device.type for part in (base.unet, base.vae, *base.text_encoders.values()) for p in part.parameters()
    } == {"meta"}
    assert held_gib(base) == pytest.approx(2 * (unet + sum(texts) + 83.7) / 2**30 * 1e6, rel=0.01)


def test_one_side_is_in_memory_at_a_time() -> None:
    bench = TrainingBench(Options("tiny", rank=4, steps1=1, steps2=1, warm=1))
    bench.engine(1)
    engine = weakref.ref(bench.held[1].base.unet)
    bench.yardstick("lora")
    plain = weakref.ref(bench.held[1].base.unet)
    assert engine() is None
    assert bench.engine(1)["wall2"] > 0
    assert plain() is None


def test_a_scene_that_diverges_gives_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = TrainingBench(Options("tiny", rank=4, steps1=1, steps2=1, warm=1))
    model = bench._engine()
    with torch.no_grad():
        next(model.base.unet.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match="bench0"):
        bench.engine(1)


@pytest.mark.parametrize(
    ("model", "workers", "dtype", "scenes", "kinds"),
    [
        ("tiny-xl", 0, "float32", "1,2", "full,lora"),
        ("tiny-xl", 0, "bfloat16", "1", "none"),
        ("tiny", 0, "bfloat16", "1", "lora"),
        ("tiny", 2, "float32", "2", "full"),
    ],
)
def test_extract_runs_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, workers: int, dtype: str, scenes: str, kinds: str
) -> None:
    out = tmp_path / "extract.json"
    extract.main(
        [
            "--model",
            model,
            "--device",
            "cpu",
            "--dtype",
            dtype,
            "--scenes",
            scenes,
            "--rounds",
            "1",
            "--steps1",
            "1",
            "--steps2",
            "1",
            "--warm",
            "1",
            "--rank",
            "4",
            "--yardstick",
            kinds,
            "--workers",
            str(workers),
            "--loop-threads",
            "1",
            "--out",
            str(out),
        ]
    )
    result = json.loads(out.read_text())
    rows = {row["configuration"]: row for row in result["rows"]}
    assert sum(name.startswith("engine") for name in rows) == len(scenes.split(","))
    for kind in ("full", "lora"):
        assert any(name.startswith(f"yardstick {kind}") for name in rows) == (kind in kinds)
    for name, row in rows.items():
        assert row["peak_gib"] > 0, name
        assert row["tflops"] > 0, name
        assert row["scenes_hour"] == pytest.approx(3600 / row["scene_seconds"]), name
    plain = [row["ratio"] for name, row in rows.items() if "yardstick full" in name and "processes" not in name]
    assert max(plain) == 1 if "full" in kinds else all(row["ratio"] is None for row in rows.values())
    assert "| ratio" in capsys.readouterr().out
    assert result["machine"]["torch"] == torch.__version__


@pytest.mark.parametrize("name", ["tiny", "saved-xl"])
def test_both_sides_of_generate_make_the_same_pictures(name: str, saved_xl: Path) -> None:
    mixed = generate.MixedBatches(make_base(name, saved_xl), 2, 4, 3, 5.0)
    plain = generate.SceneByScene(make_base(name, saved_xl), mixed)
    jobs, seeds = generate.make_jobs(4, 2), [5, 6, 7, 8]
    mine = mixed.latents(jobs, seeds)
    first, second = plain.pictures(jobs, seeds, "latent")
    theirs = torch.stack([first[0], second[0], first[1], second[1]])
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    other = mixed.latents([(1 - scene, prompt) for scene, prompt in jobs], seeds)
    assert (other - mine).abs().max() > 1e-2, "the scenes differ enough to be told apart"


@pytest.mark.parametrize(("model", "dtype"), [("tiny", "float32"), ("tiny-xl", "bfloat16")])
def test_generate_runs_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, dtype: str) -> None:
    out = tmp_path / "generate.json"
    few = model == "tiny-xl"  # PEFT takes its time over every scene
    generate.main(
        [
            "--model",
            model,
            "--device",
            "cpu",
            "--dtype",
            dtype,
            "--batches",
            "2" if few else "1,4",
            "--scene-pictures",
            "1" if few else "2",
            "--steps",
            "2",
            "--rank",
            "4",
            "--rounds",
            "1",
            "--out",
            str(out),
        ]
    )
    rows = {row["configuration"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == (
        {"diffusers, 1 a scene", "engine, batch 2"}
        if few
        else {"diffusers, 1 a scene", "diffusers, 2 a scene", "engine, batch 1", "engine, batch 4"}
    )
    for name, row in rows.items():
        pictures = int(name.split()[-1]) if name.startswith("engine") else int(name.split()[1])
        assert row["pictures_second"] == pytest.approx(pictures / row["seconds"]), name
    assert max(row["ratio"] for name, row in rows.items() if name.startswith("diffusers")) == 1
    assert "| ratio" in capsys.readouterr().out
