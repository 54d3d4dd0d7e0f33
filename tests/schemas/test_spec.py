"""The job spec: strict, helpful when wrong, and fingerprinted by exactly what changes results (invariant 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SpecError
from schemas.fingerprint import changed_fields, fingerprint, result_fields
from schemas.job import JobSpec
from schemas.spec_file import load_spec

MINIMAL = "source:\n  uri: bucket\noutput: out\n"

RESULT_FIELDS = [
    "evaluate.concepts",
    "evaluate.enabled",
    "evaluate.found_at",
    "evaluate.max_copy",
    "evaluate.min_contrast",
    "evaluate.min_identity",
    "evaluate.min_prompt",
    "extract.adam_beta2",
    "extract.attention_loss",
    "extract.attention_maps",
    "extract.attention_weight",
    "extract.clip_norm",
    "extract.flip",
    "extract.full.targets",
    "extract.init_word",
    "extract.lora.rank",
    "extract.lora.targets",
    "extract.lora.text_encoder",
    "extract.masked_loss",
    "extract.phase1.lr",
    "extract.phase1.steps",
    "extract.phase2.lr",
    "extract.phase2.steps",
    "extract.picture",
    "extract.placeholder",
    "extract.prior.guidance",
    "extract.prior.images",
    "extract.prior.prompt",
    "extract.prior.steps",
    "extract.prior.weight",
    "extract.template",
    "extract.tuning",
    "extract.union_sampling",
    "extract.weight_decay",
    "generate.format",
    "generate.guidance",
    "generate.images_per_prompt",
    "generate.negative_prompt",
    "generate.prompts",
    "generate.sampler",
    "generate.steps",
    "generate.subsets",
    "ingest.square",
    "models.base",
    "models.clip",
    "models.dtype",
    "models.identity",
    "models.revision",
    "models.sam",
    "seed",
    "segment.background",
    "segment.crop_n_layers",
    "segment.duplicate_iou",
    "segment.max_area",
    "segment.max_border",
    "segment.max_concepts",
    "segment.min_area",
    "segment.part_containment",
    "segment.points_per_side",
    "segment.pred_iou_thresh",
    "segment.stability_score_thresh",
    "segment.vocabulary",
    "source.crowds",
    "source.masks",
    "source.masks_drawn_on",
]
"""Every field that changes results: a new field is put here, or marked `result=False`, by decision."""


def write(folder: Path, text: str) -> Path:
    file = folder / "job.yaml"
    file.write_text(text)
    return file


def spec(**changes: Any) -> JobSpec:
    return JobSpec.model_validate({"source": {"uri": "bucket"}, "output": "out", **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            MINIMAL + "extract:\n  phase1:\n    stpes: 3\n",
            r"job.yaml:6: unknown key `extract.phase1.stpes`; did you mean `steps`",
        ),
        (MINIMAL + "generate: {subsets: [[]]}\n", r"generate.subsets.*\[\] names no concept"),
        (MINIMAL + "generate: {subsets: [[0], [1, -1]]}\n", r"generate.subsets.*\[1, -1\] has a negative index"),
        (MINIMAL + "generate: {subsets: [[0, 2, 0]]}\n", r"generate.subsets.*\[0, 2, 0\] names a concept twice"),
        (MINIMAL + "generat: {}\n", r"job.yaml:4: unknown key `generat`; did you mean `generate`"),
        (MINIMAL + "zzz: 1\n", r"known here: source, output"),
        (MINIMAL + "extract:\n  phase2: {steps: many}\n", r"job.yaml:5: extract.phase2.steps: .*valid integer.*'many'"),
        (
            MINIMAL + "generate: {prompts: ['a photo']}\n",
            r"job.yaml:4: generate.prompts: the prompt 'a photo' needs {handles}",
        ),
        (
            MINIMAL + "generate: {prompts: ['{handles} and {0}']}\n",
            r"job.yaml:4: generate.prompts: the prompt .* has {handles} and \{0\}; have all of a subset",
        ),
        (MINIMAL + "extract: {template: '{handles} and {0}'}\n", r"extract.template: .* has braces beside {handles}, "),
        ("output: out\n", r"`source` is missing; say where the pictures are, such as `source: {uri: photos}`"),
        ("source: {uri: bucket}\nouput: out\n", r"^\S*job.yaml:2: unknown key `ouput`; did you mean `output`\?$"),
        (MINIMAL + "extract:\n", r"job.yaml:4: extract: .*got None\); give the section fields, or take its line out"),
        (
            MINIMAL + "extract: [1]\n",
            r"job.yaml:4: extract: .*valid dictionary.*got",
        ),
        (MINIMAL + "generate: {prompts: [{handles}]}\n", r"generate.prompts.0: .*valid string; put it in quotes"),
        (MINIMAL + "models: {revision: 123}\n", r"models.revision: .*valid string \(got 123\); put it in quotes"),
        (
            MINIMAL + "cluster: {ingest: {workers: some}}\n",
            r"ingest.workers: .*valid integer.* or .*'auto' \(got 'some'\)$",
        ),
        (MINIMAL + "generate: {subsets: [one]}\n", r"generate.subsets.0: .*'singles'.* or .*valid list \(got 'one'\)$"),
        ("output: out\nsource: {}\n", r"exactly one of source.uri .* and source.handles"),
        (MINIMAL.replace("uri: bucket", "uri: bucket\n  masks: coco"), r"source.coco .* go together"),
        (
            MINIMAL + "segment:\n  min_area: 0.7\n",
            r"job.yaml:4: segment: segment.min_area \(0.7\) is above segment.max_area \(0.6\)",
        ),
        ("source: [\n", r"job.yaml:2: not valid YAML"),
        ("- a\n", r"a job spec is a mapping"),
        (MINIMAL + "cluster: {extract: {workers: 0}}\n", r"cluster.extract.workers.*greater than or equal to 1"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load_spec(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "ouput: out\nextract:\n  batch: 0\n  phase1: {stpes: 1}\nseed: 1\nsource: {uri: bucket}\nseed: 2\n"
    with pytest.raises(SpecError) as caught:
        load_spec(write(tmp_path, text), ["segment.min_area=2"])
    told = str(caught.value)
    wanted = [
        "5 mistakes: (1) ",
        "job.yaml:1: unknown key `ouput`; did you mean `output`?",
        "--set segment.min_area=2: segment.min_area: ",
        "job.yaml:3: extract.batch: ",
        "job.yaml:4: unknown key `extract.phase1.stpes`",
        "job.yaml:7: `seed` stands there twice, first in line 5",
    ]
    assert [part for part in wanted if part not in told] == []
    assert "\n" not in told
    assert told.index(":3: ") < told.index(":4: ") < told.index(":7: ")


def test_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing.yaml: cannot read the job spec"):
        load_spec(tmp_path / "nothing.yaml")


def test_overrides_reach_any_field_and_are_named_when_wrong(tmp_path: Path) -> None:
    file = write(tmp_path, MINIMAL)
    loaded = load_spec(
        file,
        ["extract.phase1.steps=7", "generate.subsets=[[0], [0, 1]]", "source.masks=beside", "cluster.extract.gpus=0.5"],
    )
    assert loaded.extract.phase1.steps == 7
    assert loaded.generate.subsets == [[0], [0, 1]]
    assert loaded.cluster.extract.gpus == 0.5
    with pytest.raises(
        SpecError, match=r"--set extract.phse1.steps=7: unknown key `extract.phse1`; did you mean `phase1`"
    ):
        load_spec(file, ["extract.phse1.steps=7"])
    with pytest.raises(SpecError, match="write it as --set section.field=value"):
        load_spec(file, ["extract"])


def test_a_section_given_in_part_keeps_its_own_defaults() -> None:
    given = spec(extract={"phase2": {"steps": 9}}, cluster={"ingest": {"workers": 2}})
    whole = spec()
    assert given.extract.phase2.lr == whole.extract.phase2.lr != whole.extract.phase1.lr
    assert given.cluster.ingest.deadline_s == whole.cluster.ingest.deadline_s != whole.cluster.extract.deadline_s


def test_fingerprint_covers_exactly_the_fields_that_change_results() -> None:
    assert sorted(result_fields(spec(), {})) == RESULT_FIELDS


@pytest.mark.parametrize(
    ("section", "change", "same"),
    [
        ("extract", {"phase1": {"lr": 1e-3}}, False),
        ("extract", {"batch": 3}, True),
        ("output", "elsewhere", True),
        ("cluster", {"extract": {"workers": 9}}, True),
        ("seed", 1, False),
        ("generate", {"guidance": 2.0}, False),
    ],
)
def test_fingerprint_moves_with_results_only(section: str, change: Any, same: bool) -> None:
    assert (fingerprint(spec(), {}) == fingerprint(spec(**{section: change}), {})) is same


def test_fingerprint_knows_weights_by_content_not_by_path() -> None:
    here, there = spec(models={"base": "a"}), spec(models={"base": "b"})
    assert fingerprint(here, {"models.base": "x"}) == fingerprint(there, {"models.base": "x"})
    assert fingerprint(here, {"models.base": "x"}) != fingerprint(here, {"models.base": "y"})


def test_new_pictures_of_given_handles_depend_on_segmentation_only_where_they_are_scored() -> None:
    given = {"source": {"handles": "earlier"}, "output": "out"}
    plain, scored = ({**given, "evaluate": {"enabled": enabled}} for enabled in (False, True))

    def moves(fields: dict[str, Any], section: str, change: dict[str, Any]) -> bool:
        prints = [fingerprint(JobSpec.model_validate(one), {}) for one in (fields, {**fields, section: change})]
        return prints[0] != prints[1]

    for section, change in (("segment", {"points_per_side": 5}), ("models", {"sam": "x"}), ("models", {"clip": "x"})):
        assert not moves(plain, section, change)
        assert moves(scored, section, change)
    assert not moves(scored, "extract", {"phase1": {"steps": 1}})
    assert moves(scored, "evaluate", {"enabled": True, "found_at": 0.5})


def test_what_places_has_prompts_and_subsets_of_its_own_unless_told() -> None:
    placed = spec(generate={"mode": "place"}).generate
    assert (placed.prompts, placed.subsets) == (["a photo of {handles}"], ["singles"])
    told = spec(generate={"mode": "place", "prompts": ["a {handles}"], "subsets": ["pairs"]}).generate
    assert (told.prompts, told.subsets) == (["a {handles}"], ["pairs"])
    again = JobSpec.model_validate(spec(generate={"mode": "place"}).model_dump(mode="json"))
    assert again.generate == placed


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        ({"format": "jpg"}, r"generate\.format: jpg does not; write png"),
        ({"format": "webp"}, r"generate\.format: webp does not; write png"),
        ({"place": {"region": "given"}}, r"generate\.place\.region: given and generate\.place\.given .* go together"),
        ({"place": {"given": "rooms"}}, r"generate\.place\.region: given and generate\.place\.given .* go together"),
        ({"subsets": ["union"]}, r"generate\.subsets: union asks for all; take subsets: \[singles\], or place"),
    ],
)
def test_what_cannot_be_placed_is_refused(generate: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec(generate={"mode": "place"} | generate)
    if "place" not in generate:
        assert spec(generate=generate), "it is, where all of the picture is new"


def test_placing_moves_the_fingerprint_only_where_something_is_placed() -> None:
    grown = {"place": {"grow": 0.1}}
    with pytest.raises(ValueError, match=r"generate\.place is read with generate\.mode: place alone; set it"):
        spec(generate=grown)
    assert not [name for name in result_fields(spec(), {}) if name.startswith(("generate.mode", "generate.place"))]
    prints = {
        fingerprint(spec(generate={"mode": "place"} | more), {}) for more in ({}, grown, {"place": {"hide": False}})
    }
    rooms = {"mode": "place", "place": {"region": "given", "given": "rooms"}}
    earlier = {"source": {"handles": "earlier"}, "output": "out", "generate": rooms}
    padded = {**earlier, "ingest": {"square": "pad"}}
    moved = {**earlier, "generate": {**rooms, "place": {"region": "given", "given": "moved"}}}
    one, two, three = (fingerprint(JobSpec.model_validate(each), {}) for each in (earlier, padded, moved))
    assert one == three != two
    assert len(prints | {fingerprint(spec(generate={"prompts": ["a photo of {handles}"]}), {})}) == 4


def test_changed_fields_are_named_with_both_values() -> None:
    old, new = result_fields(spec(), {}), result_fields(spec(extract={"phase1": {"lr": 1e-3}}), {})
    assert changed_fields(old, new) == ["extract.phase1.lr: 0.005 -> 0.001"]
