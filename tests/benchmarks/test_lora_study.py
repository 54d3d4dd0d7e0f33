"""The LoRA study: its instruments tell concepts apart, its shortcut changes nothing, and the script runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import lora
from benchmarks.lora_instruments import check
from benchmarks.lora_study import Sizes, Study
from schemas.job import Extract
from stages.extract.training.trainer import Trainer

STEPS = 2
# No attention loss: it makes much of rounding on maps of 4 x 4 (docs/engine.md, "Many scenes in one batch").
SETTINGS = Extract.model_validate(
    {"phase1": {"steps": STEPS, "lr": 5e-3}, "prior": {"images": 2, "steps": 2}, "attention_loss": "none"}
)


@pytest.fixture(scope="module")
def study() -> Study:
    study = Study(2, SETTINGS, Sizes(pairs=2, drawn=4, contexts=1, steps=2))
    study.phase1()
    return study


def test_instruments_tell_concepts_from_others_and_noise(study: Study) -> None:
    seen = check(study.eyes, study.roster)
    assert seen["same"] > 0.5
    assert max(seen["other"], seen["noise"]) < 0.25
    assert seen["nearest"] >= 0.6, "chance is 1 in 24"
    assert seen["background"] == 1.0, "chance is 1 in 14"


@pytest.mark.parametrize("changes", [lora.lora(4, "attention", 1e-3, STEPS), lora.full(1e-4, STEPS)])
def test_a_shared_phase_1_is_the_scene_s_own(study: Study, changes: dict[str, Any]) -> None:
    """Phase 2 from phase 1's kept handles, both scenes, against both phases of the second scene alone."""
    shared, _ = study.phase2(**changes)
    study.model.start = None
    settings = Extract.model_validate(SETTINGS.model_dump() | changes)
    (alone,) = Trainer(study.model, settings, study.seed, study.prior).train(study.training[1:])
    assert shared[1] is not None
    torch.testing.assert_close(shared[1].handles, alone.handles, rtol=1e-4, atol=1e-5)
    assert (shared[1].handles - study.handles[1]).abs().max() > 1e-4, "phase 2 trained the handles on"
    expected = alone.lora | alone.full
    for name, tensor in (shared[1].lora | shared[1].full).items():
        torch.testing.assert_close(tensor.float(), expected[name].float(), rtol=2e-3, atol=1e-4)


def test_measures_see_the_weights_and_leave_the_base_as_it_was(study: Study) -> None:
    plain = study.untrained()[1]
    before = study.measure(1, plain)
    assert before["prior"] == before["other"] == 1.0, "handles alone forget nothing"
    tuned = study.phase2(**lora.full(1e-2, STEPS))[0][1]
    factors = study.phase2(**lora.lora(4, "attention_ff_conv", 1e-2, STEPS))[0][1]
    assert tuned is not None
    assert factors is not None
    for weights in (tuned, factors):
        after = study.measure(1, weights)
        assert all(after[name] != before[name] for name in ("fit", "prior", "other"))
    assert study.measure(1, plain) == before


def test_contexts_are_never_the_scene_s_own_background(study: Study) -> None:
    assert all(scene.ground not in study.contexts(i) for i, scene in enumerate(study.scenes))


def scene(value: float) -> dict[str, float]:
    return dict.fromkeys(lora.COLUMNS, value)


def test_best_is_the_closest_fit_that_forgets_little() -> None:
    table = lora.Table(None, {})
    for name, fit, other, lost in (
        ("near", 0.2, 1.2, 0),
        ("mild", 0.4, 1.04, 0),
        ("far", 0.6, 1.0, 0),
        ("lost", 0.1, 1.0, 1),
    ):
        measures = scene(0.0) | {"fit": fit, "other": other}
        table.add(name, {"seconds": 1.0, "megabytes": 2.0, "scenes": [measures, None if lost else measures]})
    assert table.best(["near", "mild", "far", "lost"]) == "mild"
    assert table.best(["near"]) == "near"


def test_rows_are_means_with_errors_and_differences_scene_by_scene(tmp_path: Path) -> None:
    assert lora.mean_and_error([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / math.sqrt(3)))
    table = lora.Table(tmp_path / "out.json", {"steps": 1})
    for name, values in (("low", [0.1, 0.5]), ("high", [0.3, 0.7]), ("lost", [0.9, None])):
        table.add(
            name,
            {"seconds": 1.0, "megabytes": 2.0, "scenes": [None if value is None else scene(value) for value in values]},
        )
    assert "+0.200 +-0.000" in table.against("high", "low"), "the scenes' own spread falls out"
    assert table.line("lost").endswith("1 lost")
    assert lora.Table(tmp_path / "out.json", {"steps": 1}).rows == table.rows
    with pytest.raises(SystemExit, match="another file"):
        lora.Table(tmp_path / "out.json", {"steps": 2})


def test_the_quick_study_runs_and_goes_on(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lora.json"
    lora.main(["--quick", "--out", str(out)])
    content = json.loads(out.read_text())
    assert list(content["rows"]) == [
        "untrained",
        "phase 1 only",
        "full, 0.0003",
        "attention, rank 8, 0.003",
        "attention_ff_conv, rank 8, 0.003",
    ]
    assert all(math.isfinite(v) for row in content["rows"].values() for v in row["scenes"][0].values())
    assert "scene by scene, less full, 0.0003" in capsys.readouterr().out
    monkeypatch.setattr(Study, "phase2", lambda *_, **__: pytest.fail("a finished row was trained again"))
    assert lora.search(study, lora.Table(out, content["setting"]), STEPS, 8, quick=True) == "full, 0.0003"


def test_rows_can_be_named_in_place_of_the_search(tmp_path: Path) -> None:
    out = tmp_path / "lora.json"
    lora.main(
        [
            "--quick",
            "--guidance",
            "3",
            "--row",
            "cross_kv:2:1e-3",
            "--row",
            "attention_ff_conv:3:2e-3",
            "--out",
            str(out),
        ]
    )
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == [
        "untrained",
        "phase 1 only",
        "cross_kv, rank 2, 0.001, UNet only",
        "attention_ff_conv, rank 3, 0.002, UNet only",
    ]
    assert rows["cross_kv, rank 2, 0.001, UNet only"]["changes"]["phase2"] == {"steps": 2, "lr": 1e-3}
    with pytest.raises(SystemExit):
        lora.main(["--quick", "--row", "everything:2:1e-3"])


def test_guidance_is_that_of_the_pictures_and_of_nothing_else(tmp_path: Path) -> None:
    found = []
    for guidance in ("1", "8"):
        out = tmp_path / f"{guidance}.json"
        lora.main(["--quick", "--guidance", guidance, "--row", "cross_kv:2:1e-3", "--out", str(out)])
        found.append(json.loads(out.read_text())["rows"]["phase 1 only"]["scenes"][0])
    weak, strong = found
    assert weak["fit"] == strong["fit"]
    assert weak["identity"] != strong["identity"]
