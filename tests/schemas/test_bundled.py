"""A bundled model brings the settings that suit it, under what the spec and its method say themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.protocol.jobs import method_spec
from pipeline.report.settings import changed_settings
from schemas.bundled import SETTINGS
from schemas.errors import SpecError
from schemas.fingerprint import fingerprint
from schemas.job import Extract, Generate, JobSpec, Models, Segment
from schemas.spec_file import load_spec, spec_from

BASE, SAM = SETTINGS["base"]["seedling"], SETTINGS["sam"]["seedling"]
PHASE1, PHASE2 = BASE["extract"]["phase1"], BASE["extract"]["phase2"]


def spec(**sections: Any) -> JobSpec:
    return JobSpec.model_validate({"source": {"uri": "bucket"}, "output": "out", **sections})


def leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def test_every_setting_is_a_field_s_and_is_not_its_default() -> None:
    bare = leaves(JobSpec.model_construct().model_dump(exclude={"models"}))
    models = [(role, name) for role, bundles in SETTINGS.items() for name in bundles]
    every = [leaves(SETTINGS[role][name]) for role, name in models]
    assert len({name for one in every for name in one}) == sum(map(len, every)), "two models set the same field"
    for (role, name), settings in zip(models, every, strict=True):
        others = dict.fromkeys(SETTINGS, "other/model")
        found = leaves(spec(models=others | {role: name}).model_dump())
        assert {key: found[key] for key, value in bare.items() if found[key] != value} == settings


def test_each_model_answers_for_itself() -> None:
    neither = spec(models={"base": "own/base", "sam": "sam.pth"})
    assert (neither.extract, neither.generate, neither.segment) == (Extract(), Generate(), Segment())
    masks = spec(models={"base": "own/base"})
    assert (masks.extract, masks.segment) == (Extract(), Segment(**SAM["segment"]))
    base = spec(models={"sam": "sam.pth"})
    assert (base.extract.phase1.steps, base.segment) == (PHASE1["steps"], Segment())


def test_the_spec_s_own_words_win_field_by_field() -> None:
    said = spec(
        extract={"phase1": {"lr": 0.25}, "prior": {"images": 3}},
        generate={"guidance": 7.5},
        segment={"points_per_side": 32},
    )
    assert (said.extract.phase1.lr, said.extract.phase1.steps) == (0.25, PHASE1["steps"])
    assert (said.extract.prior.images, said.extract.prior.steps) == (3, BASE["extract"]["prior"]["steps"])
    assert (said.generate.guidance, said.generate.steps) == (7.5, BASE["generate"]["steps"]), "also to say the default"
    assert (said.segment.points_per_side, said.segment.pred_iou_thresh) == (32, SAM["segment"]["pred_iou_thresh"])


@pytest.mark.parametrize(("method", "steps"), [
    ("break_a_scene", (PHASE1["steps"], PHASE2["steps"])), ("ti_m", (PHASE1["steps"], 0)),
    ("db_m", (0, PHASE2["steps"])), ("cd_m", (0, PHASE2["steps"])),
])  # fmt: skip
def test_a_method_goes_before_the_model_and_the_spec_before_both(method: str, steps: tuple[int, int]) -> None:
    found = spec(extract={"method": method}).extract
    assert (found.phase1.steps, found.phase2.steps) == steps
    assert (found.phase1.lr, found.phase2.lr) == (PHASE1["lr"], PHASE2["lr"]), "the model's where a method is silent"
    said = spec(extract={"method": method, "phase1": {"steps": 7}, "phase2": {"steps": 9}}).extract
    assert (said.phase1.steps, said.phase2.steps) == (7, 9)
    assert (said.picture, said.lora.targets) == (found.picture, found.lora.targets)


@pytest.mark.parametrize("name", JobSpec.model_fields["protocol"].default.methods)
def test_a_job_of_the_protocol_differs_by_its_method_alone(name: str) -> None:
    whole = leaves(spec().model_dump())
    taken = {"phase1.steps": 0} if name in ("db_m", "cd_m", "no_phase1") else {}
    taken |= {"phase2.steps": 0} if name == "ti_m" else {}
    taken |= {"picture": "pasted"} if name.endswith("_m") else {}
    taken |= {"lora.targets": "cross_kv", "full.targets": "cross_kv"} if name == "cd_m" else {}
    taken |= {"masked_loss": "none"} if name.endswith("_m") or name == "no_masked_loss" else {}
    taken |= {"attention_loss": "none"} if name.endswith("_m") or name == "no_attention_loss" else {}
    taken |= {"union_sampling": False} if name == "no_union_sampling" else {}
    found = leaves(method_spec(spec(), name).model_dump())
    aside = ("output", "evaluate.enabled", "extract.method")
    assert {key: value for key, value in found.items() if value != whole[key] and key not in aside} == {
        f"extract.{key}": value for key, value in taken.items()
    }


def test_a_spec_means_the_same_however_it_is_made(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("source: {uri: bucket}\noutput: out\nextract: {method: ti_m}\n")
    made = spec(extract={"method": "ti_m"})
    assert made == load_spec(file) == load_spec(file, ["models.base=seedling", "models.sam=seedling"])
    assert made == spec(models=Models(), extract={"method": "ti_m"})
    assert made == JobSpec.model_validate_json(made.model_dump_json()), "as run.json is read again"
    kept = made.model_dump(mode="json") | {"models": Models(base="own/base", sam="sam.pth").model_dump()}
    assert spec_from(kept, "run.json").extract == made.extract, "a recorded spec brings its own words for everything"
    assert spec(models=Models(base="own/base")).extract == Extract()
    assert spec(extract=Extract()).extract == Extract(), "an object is a whole section"


def test_what_is_filled_in_counts_as_if_the_spec_said_it() -> None:
    said = spec(**BASE, **SAM)
    assert fingerprint(spec(), {}) == fingerprint(said, {})
    other = {"models.base": "x", "models.sam": "x"}  # the same weights, under a name that brings nothing
    named = spec(models={"base": "own/base", "sam": "sam.pth"})
    assert fingerprint(spec(), other) != fingerprint(named, other)
    assert ("extract.phase1.steps", str(PHASE1["steps"]), "400") in changed_settings(spec())


@pytest.mark.parametrize(("section", "message"), [
    ({"extract": 5}, r"here: extract: .*dictionary.*got 5"),
    ({"extract": {"phase1": 5}}, r"here: extract.phase1: .*dictionary.*got 5"),
    ({"generate": None}, r"here: generate: .*dictionary.*got None"),
    ({"models": [1]}, r"here: models: .*dictionary"),
    ({"models": {"base": 3}}, r"here: models.base: .*valid string.*got 3"),
    ({"extract": {"phase3": {}}}, r"unknown key `extract.phase3`; did you mean"),
])  # fmt: skip
def test_what_is_no_section_is_refused_as_before(section: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec_from({"source": {"uri": "bucket"}, "output": "out", **section}, "here")
