"""The extract stage end to end on a tiny model: rows, files, failures, the prior set; and the base model's
errors.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.errors import OutputError, SpecError
from schemas.outcomes import SceneTask
from schemas.records import HANDLES
from stages.extract.method.prior import load_prior, prior_name
from stages.extract.stage import ExtractStage, shorten_curves
from stages.extract.training import trainer as trainer_module
from stages.extract.training.batch import TrainedScene, TrainingScene
from stages.handles.cost import scene_cost
from stages.handles.weights import unpack_scene
from stages.models.base.layout import model_side
from stages.models.base.loading import load_base
from stages.models.place import bundled, model_revision
from stages.stage import StageContext
from stages.telling import listened
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def stage(model_dir: Path, tmp_path: Path) -> ExtractStage:
    made = ExtractStage(tiny_spec(model_dir, extract={"batch": 2}), StageContext(str(tmp_path / "shared")))
    made.prepare()
    made.setup()
    return made


def test_rows_and_files_and_failures_in_one_go(stage: ExtractStage) -> None:
    good = tiny_task(0, 2, word="cat")
    tasks = [
        good,
        SceneTask("empty", {"concepts": []}, good.files),
        tiny_task(1, 3),
        replace(tiny_task(2, 1), files={"png": b"no picture"}),
        tiny_task(3, 1, side=32),
    ]
    outputs = {o.scene_id: o for o in stage.process(tasks)}
    assert set(outputs) == {"scene0", "empty", "scene1", "scene2", "scene3"}
    assert {k for k, o in outputs.items() if o.failure} == {"empty", "scene2", "scene3"}
    assert "no concepts" in outputs["empty"].failure.message
    rows = outputs["scene0"].rows
    assert [row["token"] for row in rows] == ["<asset0>", "<asset1>"]
    assert [row["word"] for row in rows] == ["cat", "cat"]
    assert outputs["scene1"].rows[0]["word"] == "object"
    assert all(set(row) == set(HANDLES.names) for row in rows)
    assert all(math.isfinite(rows[0][f"{name}_loss"]) for name in ("diffusion", "attention", "prior"))
    assert list(outputs["scene0"].files) == ["scene0.safetensors", "scene0.json"]
    weights = unpack_scene(outputs["scene0"].files["scene0.safetensors"])
    assert weights.tokens == ["<asset0>", "<asset1>"]
    torch.testing.assert_close(weights.handles, torch.tensor([row["embedding"] for row in rows]))
    assert any(name.startswith("text_encoder.text_model.") for name in weights.lora)
    info = json.loads(outputs["scene0"].files["scene0.json"])
    assert info["words"] == ["cat", "cat"]
    assert len(info["curves"]["diffusion"]) == 6


def test_a_word_of_several_tokens_starts_from_their_mean_and_says_so(
    model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is trained here, so what comes out is where the handles start."""
    still = {"phase1": {"steps": 0}, "phase2": {"steps": 0}, "prior": {"weight": 0}}
    stage = ExtractStage(tiny_spec(model_dir, extract=still), StageContext(str(tmp_path)))
    stage.setup()
    task = tiny_task(0, 4)
    words = ["wooden floor", "cat", "catx", "cat 猫"]
    for row, word in zip(task.rows["concepts"], words, strict=True):
        row["word"] = word
    (output,) = stage.process([task])
    assert [(row["word"], row["word_tokens"]) for row in output.rows] == [
        ("wooden floor", 2),
        ("cat", 1),
        ("catx", 3),
        ("object", 1),
    ]
    base = load_base(str(model_dir), None, torch.float32, "cpu")
    table = base.text_encoder.get_input_embeddings().weight
    for row in output.rows:
        ids = base.tokenizer(row["word"], add_special_tokens=False).input_ids
        assert len(ids) == row["word_tokens"]
        torch.testing.assert_close(torch.tensor(row["embedding"]), table[ids].mean(0), rtol=1e-6, atol=1e-7)
    assert "does not know the word 'cat 猫' of concept 3; its handle starts from 'object'" in caplog.text


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_learns_nearly_the_same(stage: ExtractStage, model_dir: Path, tmp_path: Path, dtype: str) -> None:
    low = ExtractStage(tiny_spec(model_dir), stage.context)
    low.spec.models.dtype = dtype
    low.prepare()
    low.setup()
    (exact,) = stage.process([tiny_task(0, 2)])
    (rough,) = low.process([tiny_task(0, 2)])
    assert rough.failure is None
    for one, two in zip(exact.rows, rough.rows, strict=True):
        assert one["diffusion_loss"] == pytest.approx(two["diffusion_loss"], rel=0.02)
        assert one["attention_loss"] == pytest.approx(two["attention_loss"], rel=0.02)


def test_a_batch_that_raises_is_split_until_the_culprit_is_alone(
    stage: ExtractStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.extract import stage as module

    class Brittle(module.Trainer):
        def train(self, scenes: Sequence[TrainingScene]) -> list[TrainedScene]:
            if any(s.scene_id == "scene1" for s in scenes):
                raise MemoryError("too large")
            return super().train(scenes)

    monkeypatch.setattr(module, "Trainer", Brittle)
    outputs = list(stage.process([tiny_task(0, 1), tiny_task(1, 1), tiny_task(2, 1)]))
    assert {o.scene_id: o.failure and o.failure.error for o in outputs} == {
        "scene0": None,
        "scene1": "MemoryError",
        "scene2": None,
    }


def test_the_prior_set_is_made_once_and_named_by_its_content(model_dir: Path, tmp_path: Path) -> None:
    shared, spec = tmp_path / "shared", tiny_spec(model_dir)
    ExtractStage(spec, StageContext(str(shared))).prepare()
    (file,) = shared.iterdir()
    stamp, latents = file.stat().st_mtime_ns, load_prior(str(shared), file.name)
    assert latents.shape == (3, 4, 16, 16)
    assert torch.isfinite(latents).all()
    ExtractStage(spec, StageContext(str(shared))).prepare()
    assert [f.stat().st_mtime_ns for f in shared.iterdir()] == [stamp]
    ExtractStage(tiny_spec(model_dir, seed=1), StageContext(str(shared))).prepare()
    assert len(list(shared.iterdir())) == 2
    heavier = spec.extract.prior.model_copy(update={"weight": 2.0})
    assert prior_name(heavier, "r", "auto", 0) == prior_name(spec.extract.prior, "r", "auto", 0)
    without = tiny_spec(model_dir, extract={"prior": {"weight": 0}})
    ExtractStage(without, StageContext(str(tmp_path / "none"))).prepare()
    assert not (tmp_path / "none").exists()


def test_a_scene_that_diverges_is_a_failure_with_its_step(stage: ExtractStage) -> None:
    stage.spec.extract.phase1.lr = 1e30
    (output,) = stage.process([tiny_task(0, 1)])
    assert output.failure is not None
    assert "diverged at phase 1 step" in output.failure.message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"phase1": {"steps": 1, "lr": 1e39}, "phase2": {"steps": 0}},
            r"not finite \(handles\); lower extract\.phase1",
        ),
        (
            {"phase1": {"steps": 0}, "phase2": {"steps": 1, "lr": 1e6}},
            r"not finite \(.*lora_.\.weight\); lower extract",
        ),
    ],
)
def test_what_the_last_step_made_is_looked_at_before_it_is_kept(
    stage: ExtractStage, settings: dict[str, dict[str, float]], message: str
) -> None:
    """Its losses were those of the step before. A factor of 1e6 is no number in float16, in which it is kept."""
    for phase, values in settings.items():
        for name, value in values.items():
            setattr(getattr(stage.spec.extract, phase), name, value)
    (output,) = stage.process([tiny_task(0, 1)])
    assert output.failure is not None
    assert not output.files
    assert re.search(message, output.failure.message), output.failure.message


def test_a_base_that_draws_no_numbers_is_found_with_the_prior_set(model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "base"
    shutil.copytree(model_dir, broken)
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"conv_out.bias": torch.full((4,), float("inf"))}, file, metadata={"format": "pt"})
    shared = StageContext(str(tmp_path / "shared"))
    with pytest.raises(SpecError, match=r"models\.base: it draws pictures that are not finite .*models\.dtype"):
        ExtractStage(tiny_spec(broken), shared).prepare()
    stage = ExtractStage(tiny_spec(model_dir), shared)
    stage.prepare()
    (kept,) = (tmp_path / "shared").iterdir()
    save_file({"latents": torch.full((3, 4, 16, 16), float("nan"))}, kept)
    with pytest.raises(OutputError, match=rf"{kept.name}: the prior set is not finite; delete the file"):
        stage.setup()


def test_settings_that_do_not_fit_the_base_are_found_at_set_up(model_dir: Path, tmp_path: Path) -> None:
    long = tiny_spec(model_dir, extract={"template": "a photo " * 20 + "{handles}", "prior": {"weight": 0}})
    with pytest.raises(SpecError, match=r"extract\.template.*shorten"):
        ExtractStage(long, StageContext(str(tmp_path))).setup()
    unknown = tiny_spec(model_dir, extract={"init_word": "猫", "prior": {"weight": 0}})
    with pytest.raises(SpecError, match=r"extract\.init_word"):
        ExtractStage(unknown, StageContext(str(tmp_path))).setup()
    sideless = tiny_spec(model_dir, extract={"attention_maps": 7, "prior": {"weight": 0}})
    with pytest.raises(SpecError, match=r"extract\.attention_maps.*side 7"):
        ExtractStage(sideless, StageContext(str(tmp_path))).setup()


def test_curves_have_at_most_a_hundred_points() -> None:
    curves = torch.arange(801.0)[:, None].expand(-1, 3)
    short = shorten_curves(curves)
    assert len(short["step"]) == len(short["prior"]) == 89
    assert short["diffusion"][0] == 4.0
    assert short["step"][1] == 9


def test_what_can_be_said_of_a_base_without_loading_it(model_dir: Path, tmp_path: Path) -> None:
    assert model_side(str(model_dir)) == 64
    revision = model_revision(str(model_dir), "models.base")
    assert revision == model_revision(str(model_dir), "models.base")
    assert revision != model_revision(str(build_tiny_model(tmp_path / "other", seed=1)), "models.base")
    assert bundled("owner/model", "models.base") == "owner/model"
    cost = scene_cost(tiny_spec(model_dir))
    forward = cost["forward_tflop"]
    passes = forward * (3 + 3 * 2)
    assert 1.5 * passes < cost["train_tflop"] < 2.5 * passes, "what it is to the last product: test_cost.py"
    assert 6 * forward < cost["generate_tflop_picture"] < 8 * forward, "and the decoder"


def test_wrong_bases_are_one_readable_error(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"models\.base: there is no directory /no/such/place"):
        model_side("/no/such/place")
    index = json.loads((model_dir / "model_index.json").read_text())
    for number, (change, message) in enumerate(
        (
            ({"text_encoder": [None, None]}, r"not in StableDiffusionPipeline layout .*lacks text_encoder\)"),
            ({"text_encoder_2": ["transformers", "X"]}, r"StableDiffusionXLPipeline layout .*lacks tokenizer_2\)"),
            (
                {
                    "text_encoder": [None, None],
                    "tokenizer": [None, None],
                    "tokenizer_2": ["transformers", "X"],
                    "text_encoder_2": ["transformers", "X"],
                },
                "SDXL refiner",
            ),
        )
    ):
        broken = tmp_path / f"broken{number}"
        broken.mkdir()
        (broken / "model_index.json").write_text(json.dumps(index | change))
        with pytest.raises(SpecError, match=rf"models\.base: .*{message}"):
            ExtractStage(tiny_spec(broken), StageContext(str(tmp_path))).setup()
    pickled = build_tiny_model(tmp_path / "pickled")
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(SpecError, match=r"models\.base: .*pickled.*safetensors"):
        ExtractStage(tiny_spec(pickled), StageContext(str(tmp_path))).setup()


def test_the_size_of_a_scene_s_file_is_foretold(stage: ExtractStage, model_dir: Path) -> None:
    (output,) = stage.process([tiny_task(0, 2)])
    size = len(output.files["scene0.safetensors"])
    assert scene_cost(stage.spec)["handle_bytes"] == pytest.approx(size, rel=0.02)


def test_progress_is_of_the_unit_and_not_of_the_batch(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three scenes in batches of two, three steps and three: shares rise from batch to batch, and end at one."""
    monkeypatch.setattr(trainer_module, "PROGRESS_EVERY_S", 0.0)
    told: list[dict] = []
    settings = {"batch": 2, "phase1": {"steps": 3}, "phase2": {"steps": 3}, "prior": {"weight": 0}}
    stage = ExtractStage(tiny_spec(model_dir, extract=settings), StageContext(str(tmp_path), told.append))
    stage.setup()
    assert len(list(stage.process([tiny_task(n, 1) for n in range(3)]))) == 3
    assert [(word["phase"], word["step"], word["steps"]) for word in told] == 2 * [
        (phase, step, 3) for phase in (1, 2) for step in (1, 2, 3)
    ]
    first, second = ([word["share"] for word in part] for part in (told[:6], told[6:]))
    assert first == pytest.approx([2 / 3 * n / 6 for n in range(1, 7)])
    assert second == pytest.approx([2 / 3 + 1 / 3 * n / 6 for n in range(1, 7)])


def test_the_prior_set_is_told_of_while_it_is_drawn(model_dir: Path, tmp_path: Path) -> None:
    told: list[str] = []
    settings = {"prior": {"images": 10, "steps": 1}}
    with listened(told.append):
        ExtractStage(tiny_spec(model_dir, extract=settings), StageContext(str(tmp_path / "shared"))).prepare()
    drawing = [text for text in told if text.startswith("drawing")]
    assert drawing == [f"drawing the prior set, picture {n} of 10" for n in (0, 8)]
