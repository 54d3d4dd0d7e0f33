"""Mistakes that people make in a spec, each with the sentence that tells it: what was meant, by what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from schemas.errors import SpecError
from schemas.field_paths import section_of
from schemas.job import JobSpec
from schemas.nearest import ABSENT
from schemas.spec_file import load_spec

MINIMAL = "source: {uri: bucket}\noutput: out\n"

UNKNOWN = {
    "extract: {steps: 5}": "`extract.steps`; did you mean `extract.phase1.steps` or `extract.phase2.steps`?",
    "steps: 5": "`steps`; did you mean `extract.phase1.steps`, `extract.phase2.steps` or `generate.steps`?",
    "extract: {stpes: 5}": (
        "`extract.stpes`; did you mean `extract.phase1.steps`, `extract.phase2.steps` or `extract.prior.steps`?"
    ),
    "lr: 1": "`lr`; did you mean `extract.phase1.lr` or `extract.phase2.lr`?",
    "extract: {learning_rate: 1}": (
        "`extract.learning_rate`; did you mean `extract.phase1.lr` or `extract.phase2.lr`?"
    ),
    "extract: {phase1: {learning_rate: 1}}": "`extract.phase1.learning_rate`; did you mean `lr`?",
    "extract: {rank: 4}": "`extract.rank`; did you mean `extract.lora.rank`?",
    "network_dim: 4": "`network_dim`; did you mean `extract.lora.rank`?",
    "extract: {num_class_images: 4}": "`extract.num_class_images`; did you mean `extract.prior.images`?",
    "extract: {prompts: [x]}": "`extract.prompts`; did you mean `generate.prompts`?",
    "generate: {num_images: 3}": "`generate.num_images`; did you mean `images_per_prompt`?",
    "generate: {num_inference_steps: 3}": "`generate.num_inference_steps`; did you mean `steps`?",
    "generate: {guidance_scale: 3}": "`generate.guidance_scale`; did you mean `guidance`?",
    "generate: {scheduler: ddim}": "`generate.scheduler`; did you mean `sampler`?",
    "generate: {images-per-prompt: 3}": "`generate.images-per-prompt`; did you mean `images_per_prompt`?",
    "generate: {seed: 1}": "`generate.seed`; did you mean `seed`?",
    "Seed: 1": "`Seed`; did you mean `seed`?",
    "prompts: [x]": "`prompts`; did you mean `generate.prompts`?",
    "batch_size: 3": "`batch_size`; did you mean `extract.batch`, `generate.batch` or `evaluate.batch`?",
    "extract: {train_batch_size: 3}": "`extract.train_batch_size`; did you mean `batch`?",
    "models: {sam_checkpoint: x}": "`models.sam_checkpoint`; did you mean `sam`?",
    "pretrained_model_name_or_path: x": "`pretrained_model_name_or_path`; did you mean `models.base`?",
    "mixed_precision: fp16": "`mixed_precision`; did you mean `models.dtype`?",
    "segment: {min_size: 0.1}": "`segment.min_size`; did you mean `min_area`?",
    "evaluate: {min_prompt_similarity: 0.1}": "`evaluate.min_prompt_similarity`; did you mean `min_prompt`?",
    "train: {steps: 5}": "`train`; did you mean `extract`?",
    "num_gpus: 1": "`num_gpus`; did you mean `cluster.gpus`?",
    "limit: 3": "`limit`; did you mean `source.limit`?",
    "source.limit: 3": "`source.limit`; a dotted name is for --set, and here it is `source: {limit: ...}`",
    "resolution: 512": "`resolution`; pictures have the size of the base model's own",
    "generate: {width: 512}": "`generate.width`; pictures have the size of the base model's own",
    "evaluate: {complete_only: true}": "`evaluate.complete_only`; `evaluate.concepts` says it: `complete` for true",
    "extract: {lr_scheduler: cosine}": "`extract.lr_scheduler`; rates are constant; take it out",
    "hf_token: abc": "`hf_token`; credentials belong in the environment",
}


def told(tmp_path: Path, text: str, *overrides: str) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(file, overrides)
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("line", UNKNOWN)
def test_the_field_that_is_meant_is_named(tmp_path: Path, line: str) -> None:
    assert told(tmp_path, MINIMAL + line).startswith(f"{tmp_path}/job.yaml:3: unknown key {UNKNOWN[line]}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("input_dir: photos\noutput: out\n", "job.yaml:1: unknown key `input_dir`; did you mean `source.uri`?"),
        (
            "source: {path: photos}\noutput_dir: out\n",
            "2 mistakes: (1) job.yaml:1: unknown key `source.path`; did you mean `uri`? "
            "(2) job.yaml:2: unknown key `output_dir`; did you mean `output`?",
        ),
    ],
)
def test_what_is_there_under_another_name_is_not_missing_too(tmp_path: Path, text: str, sentence: str) -> None:
    assert told(tmp_path, text).replace(f"{tmp_path}/", "") == sentence


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "generate: {prompts: [{handles}]}",
            "put it in quotes, as YAML reads `{handles}` without them as the key of a",
        ),
        ("extract: {template: {handles}}", "put it in quotes, as YAML reads `{handles}` without them as the key of a"),
        ("generate: {prompts: [{0}]}", "put it in quotes, as YAML reads `{0}` without them as the key of a"),
        ("generate: {prompts: {handles}}", "put it in a list and in quotes, as YAML reads `{handles}` without them as"),
        ("models: {base: }", "models.base: input should be a valid string (got None); give it a value, or take its"),
        ("segment: {max_concepts: null}", "(got None); give it a value, or take its line out"),
        ("generate:\n  prompts:\n    - {handles} on grass", 'stands in quotes: "{handles} on grass"'),
        ("generate:\n  prompts: [{handles} on grass]", 'stands in quotes: "{handles} on grass"'),
        ("extract:\n  template: {handles} at dawn", 'stands in quotes: "{handles} at dawn"'),
        ("generate:\n  prompts:\n    - a {handles}: sunny", "as YAML reads what stands before a `: ` as the key of a"),
        (
            "generate:\n  negative_prompt: bad: blurry",
            "put a text with `: ` in it in quotes, or look at the indentation",
        ),
        ("generate:\n  prompts: a photo of {handles}", 'put it in a list: ["a photo of {handles}"]'),
        ("generate: {subsets: union}", 'put it in a list: ["union"]'),
        ("segment:\n  vocabulary: dog, teddy bear", 'put it in a list: ["dog", "teddy bear"]'),
        ("extract: {template: [a, b]}", "got ['a', 'b']); give one text and no list"),
        ("models: seedling", "models: input should be a valid dictionary or instance of Models (got 'seedling'); give"),
        ("evaluate: true", "evaluate: it is a section: evaluate: {enabled: true}"),
        ("extract: {phase1: {lr: '0,005'}}", "(got '0,005'); write a point for a comma"),
        ("seed 3", "not valid YAML: could not find expected ':'; a key ends in `:`"),
        ("generate:\n\tsteps: 3", "indent with spaces, YAML takes no tabs"),
        ("1: x", "1: keys should be strings (got 1); take it out"),
    ],
)
def test_a_value_of_the_wrong_kind_comes_with_its_remedy(tmp_path: Path, line: str, sentence: str) -> None:
    assert sentence in told(tmp_path, MINIMAL + line + "\n")


def test_what_every_spec_has_to_have_comes_with_a_line_to_write(tmp_path: Path) -> None:
    required = {name for name, info in JobSpec.model_fields.items() if info.is_required()}
    lines = re.findall(r"is missing; say where .*?, such as `(.*?)`", told(tmp_path, "seed: 1\n"))
    assert {line.partition(":")[0] for line in lines} == required


def test_mistakes_of_every_kind_are_told_at_once(tmp_path: Path) -> None:
    text = "source: {limit: 0}\nextract:\n  steps: 4\nseed: many\nseed: 1\nsegment: {min_area: 0.9, points: 3}\n"
    said = told(tmp_path, text, "generate", "sed=1", "extract.batch=", "generate.prompts=a photo of {handles}")
    wanted = [
        "11 mistakes: ",
        "--set generate: write it as --set section.field=value",
        "--set extract.batch=: no value",
        "--set sed=1: unknown key `sed`; did you mean `seed`?",
        "--set generate.prompts=a photo of {handles}: generate.prompts: ",
        "`output` is missing; say where everything is to land, such as `output: out/photos`",
        ":1: source.limit: ",
        ":1: source: give exactly one of source.uri",
        ":3: unknown key `extract.steps`",
        ":5: `seed` stands there twice, first in line 4",
        ":6: unknown key `segment.points`; did you mean `points_per_side`?",
        ":6: segment: segment.min_area (0.9) is above segment.max_area (0.6)",
    ]
    assert [part for part in wanted if part not in said] == []


def test_a_file_that_is_no_yaml_and_an_override_that_is_none_are_told_at_once(tmp_path: Path) -> None:
    said = told(tmp_path, "source: [\n", "output=", "seed=1")
    assert said.startswith("2 mistakes: (1) --set output=: no value")
    assert "(2) " in said
    assert "not valid YAML" in said


def test_an_override_without_a_value_is_not_missing_too(tmp_path: Path) -> None:
    assert told(tmp_path, "source: {uri: bucket}\n", "output=").startswith("--set output=: no value")


def test_fields_are_held_against_each_other_only_where_both_are_right(tmp_path: Path) -> None:
    """A source whose `uri` is misspelt has one, and of an area that is no number none is too large."""
    said = told(tmp_path, "source: {path: a, limit: 0}\noutput: out\nsegment: {min_area: x, max_area: 0.001}\n")
    assert said.startswith("3 mistakes: ")
    assert "exactly one of" not in said
    assert "is above" not in said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("demo.yml", "cannot read the job spec (No such file or directory); did you mean {0}/demo.yaml?"),
        ("demo", "cannot read the job spec (No such file or directory); did you mean {0}/demo.yaml?"),
        (
            "other",
            "cannot read the job spec (No such file or directory); name a file, or one of the jobs that ship with "
            "Unscene: augment, demo",
        ),
        ("", "cannot read the job spec (Is a directory); it is a folder; name a YAML file, such as {0}/demo.yaml"),
        ("out", "cannot read the job spec (Is a directory); this folder is the output of a job; name the YAML file of"),
    ],
)
def test_a_spec_that_is_none_is_told_with_the_one_beside(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "demo.yaml").write_text(MINIMAL)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / name)
    assert sentence.format(tmp_path) in str(caught.value)


def test_no_name_of_another_script_is_a_field_here_or_means_two_things() -> None:
    """A synonym that is a field of the same section would never be told; one that has no field has none."""
    absent = {name for names in ABSENT for name in names}

    def look(section: type[BaseModel]) -> None:
        named: list[str] = []
        for name, info in section.model_fields.items():
            extra = info.json_schema_extra
            assert isinstance(extra, dict)
            also = [str(word) for word in extra.get("also", []) if word != name]
            assert absent.isdisjoint([name, *also])
            named += also
            if inner := section_of(info):
                look(inner)
        assert len(set(named)) == len(named)
        assert set(named).isdisjoint(section.model_fields)

    look(JobSpec)
