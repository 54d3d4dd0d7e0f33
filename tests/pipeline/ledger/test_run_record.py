"""A place that is no OUTPUT is told in one sentence, with the one that was meant where it lies near."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.ledger.run_record import read_identity, read_record, recorded_spec, revisions, start_record
from pipeline.ledger.settings import mark_begun
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from schemas.errors import OutputError, SpecError
from schemas.job import JobSpec
from tests.support.tiny_models import build_tiny_model


def test_the_folder_above_is_named(tmp_path: Path) -> None:
    (tmp_path / "variations").mkdir()
    record = {"spec": {"source": {"uri": "/photos"}, "output": "out"}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert read_record(Storage(str(tmp_path))) == record
    with pytest.raises(OutputError, match=rf"variations: no run.json there; name {tmp_path}, the folder above"):
        read_record(Storage(str(tmp_path / "variations")))


def test_the_jobs_of_an_evaluation_are_named(tmp_path: Path) -> None:
    for name in ("protocol", "scenes", "ti_m"):
        (tmp_path / "night" / name).mkdir(parents=True)
    for name in ("scenes", "ti_m"):
        (tmp_path / "night" / name / "run.json").touch()
    with pytest.raises(OutputError, match=r"name one of the jobs below it: \S+/night/scenes, \S+/night/ti_m$"):
        read_record(Storage(str(tmp_path / "night")))


def test_a_bucket_without_a_job() -> None:
    fsspec.filesystem("memory").pipe("/records/other/x", b"")
    with pytest.raises(OutputError, match="memory://records: no run.json there; name the output folder of"):
        read_record(Storage("memory://records"))
    fsspec.filesystem("memory").rm("/records", recursive=True)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run.json cannot be read \(\w+: .*\); check access, or put it back"):
        read_record(Storage(str(tmp_path)))


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({}, "was written by another Unscene, and .* cannot read it \\(`spec` is missing\\); use the version"),
        ({"spec": {}}, "`output` is missing"),
        ({"spec": []}, "`spec` is a list"),
        (
            {"spec": {"source": {"uri": "x"}, "output": "o", "later": 1}, "versions": {"unscene": "9.1"}},
            r"run.json was written by Unscene 9\.1, and \S+ cannot read it \(spec: unknown key `later`\); use the ",
        ),
    ],
)
def test_a_record_of_another_version_is_named(tmp_path: Path, record: dict[str, Any], sentence: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record))
    for read in (read_record, read_identity, recorded_spec):
        with pytest.raises(OutputError, match=sentence):
            read(Storage(str(tmp_path)))


def test_what_a_later_version_adds_beside_the_spec_is_no_reason(tmp_path: Path) -> None:
    record = {"spec": {"source": {"uri": "/photos"}, "output": "out"}, "mood": "fine"}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert read_record(Storage(str(tmp_path))) == record
    with pytest.raises(OutputError, match="`fingerprint` is missing"):
        read_identity(Storage(str(tmp_path)))


def test_what_was_scored_before_judges_had_a_grid_was_with_that_of_segment(tmp_path: Path) -> None:
    tree = {"source": {"uri": "/p"}, "output": "out", "models": {"sam": "sam_vit_h.pth"}, "evaluate": {"enabled": True}}
    (tmp_path / "run.json").write_text(json.dumps({"spec": tree}))
    assert recorded_spec(Storage(str(tmp_path))).judging.points_per_side == 32
    tree["evaluate"] = {"enabled": True, "points_per_side": "auto"}
    (tmp_path / "run.json").write_text(json.dumps({"spec": tree}))
    assert recorded_spec(Storage(str(tmp_path))).judging.points_per_side == 18


def test_judges_with_their_own_segmenter_leave_the_jobs_own_in_the_fingerprint(tmp_path: Path) -> None:
    """It finds the concepts of pictures without masks, wherever those of others come from."""
    model = build_tiny_model(tmp_path / "base")
    sam = str(model / "model_index.json")
    names = {"base": str(model), "sam": sam, "clip": str(model), "identity": str(model)}
    tree = {"source": {"uri": "/p", "masks": "beside"}, "output": "out", "models": names}
    spec = JobSpec.model_validate({**tree, "evaluate": {"enabled": True, "sam": "seedling"}})
    found = revisions(spec)
    assert found["models.sam"].startswith("sha256:")
    assert found["evaluate.sam"] != found["models.sam"]
    with pytest.raises(SpecError, match=r"models\.sam: /nope\.pth: no such file"):
        revisions(spec.model_copy(update={"models": spec.models.model_copy(update={"sam": "/nope.pth"})}))


def test_a_file_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").touch()
    with pytest.raises(OutputError, match="job.yaml is a file; name the output folder of an Unscene job"):
        read_record(Storage(str(tmp_path / "job.yaml")))


def test_a_smaller_limit_leaves_planned_what_was_planned(tmp_path: Path) -> None:
    """`retry` after `run --limit 1` with nothing to do took the other pictures to be beyond it, and skipped them."""
    model = build_tiny_model(tmp_path / "base")
    storage = Storage(str(tmp_path / "out"))

    def start(limit: int | None) -> int | None:
        models = {"base": str(model), "sam": str(model / "model_index.json")}
        tree = {"source": {"uri": "/photos", "limit": limit}, "output": storage.url, "models": models}
        start_record(storage, JobSpec.model_validate(tree), ["ingest"])
        return recorded_spec(storage).source.limit

    assert [start(limit) for limit in (2, 1, 3, None, 1)] == [2, 2, 3, None, None]


def test_what_auto_left_open_may_be_answered_later(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "base")

    def start(drawn_on: str, **more: int) -> None:
        source = {"uri": "/photos", "masks_drawn_on": drawn_on}
        models = {"base": str(model), "sam": str(model / "model_index.json")}
        tree = {"source": source, "output": str(tmp_path / "out"), "models": models, **more}
        start_record(storage, JobSpec.model_validate(tree), ["ingest"])

    storage = Storage(str(tmp_path / "out"))
    start("auto")
    storage.write("_commits/ingest/000000.json", b"{}")
    with pytest.raises(OutputError, match=r"other settings \(seed: 0 -> 4\)"):
        start("shown", seed=4)
    start("shown")
    assert recorded_spec(storage).source.masks_drawn_on == "shown"
    with pytest.raises(OutputError, match=r"source\.masks_drawn_on: 'shown' -> 'stored'"):
        start("stored")


class TestSettingsOfStagesToCome:
    """`run --until segment`, a look at the masks, and then the prompts and the training that suit them."""

    @staticmethod
    def start(folder: Path, **sections: Any) -> list[str]:
        models = {"base": "seedling", "sam": "seedling", "clip": "seedling", "identity": "seedling"}
        tree = {"source": {"uri": "/photos"}, "output": str(folder), "models": models, **sections}
        spec = JobSpec.model_validate(tree)
        return start_record(Storage(str(folder)), spec, [kind.name for kind in kinds_of(spec)])

    def test_what_no_stage_has_read_may_change(self, tmp_path: Path) -> None:
        self.start(tmp_path, evaluate={"enabled": False})
        Storage(str(tmp_path)).create("_commits/segment/000000.json", b"{}")
        later: dict[str, Any] = {"extract": {"lora": {"rank": 2}}, "generate": {"images_per_prompt": 7}}
        said = self.start(tmp_path, **later, evaluate={"enabled": True})
        assert len(said) == 1
        assert said[0].startswith("set anew for the stages to come: ")
        for change in (
            "extract.lora.rank: 16 -> 2",
            "generate.images_per_prompt: 4 -> 7",
            "evaluate.enabled: False -> True",
        ):
            assert change in said[0]
        record = read_identity(Storage(str(tmp_path)))
        assert record["stages"][-1] == "evaluate"
        assert (record["spec"]["extract"]["lora"]["rank"], record["fields"]["extract.lora.rank"]) == (2, 2)
        assert self.start(tmp_path, **later, evaluate={"enabled": True}) == [], "it is the same job now"

    def test_what_a_stage_that_has_begun_has_read_may_not(self, tmp_path: Path) -> None:
        self.start(tmp_path)
        Storage(str(tmp_path)).create("_work/segment/000000.r0/part", b"")
        for locked in ({"segment": {"max_concepts": 2}}, {"seed": 4}, {"ingest": {"square": "pad"}}):
            with pytest.raises(OutputError, match="made with other settings") as refused:
                self.start(tmp_path, **locked, extract={"lora": {"rank": 2}})
            assert "lora" not in str(refused.value), "which would be right"
        Storage(str(tmp_path)).create("_work/extract/000000.r0/part", b"")
        with pytest.raises(OutputError, match=r"extract\.lora\.rank: 16 -> 2"):
            self.start(tmp_path, extract={"lora": {"rank": 2}})

    def test_a_settled_shard_is_looked_at_by_no_added_stage(self, tmp_path: Path) -> None:
        self.start(tmp_path, evaluate={"enabled": False})
        Storage(str(tmp_path)).create("_commits/failures/000000.json", b"{}")
        with pytest.raises(OutputError, match=r"evaluate\.enabled: False -> True"):
            self.start(tmp_path, evaluate={"enabled": True})

    def test_a_stage_has_begun_once_a_worker_was_given_something(self, tmp_path: Path) -> None:
        """A driver that was taken over had workers at it yet, who left their parts among those by other settings."""
        self.start(tmp_path)
        Storage(str(tmp_path)).create("_commits/ingest/000000.json", b"{}")
        mark_begun(Storage(str(tmp_path)), "extract")
        with pytest.raises(OutputError, match=r"extract\.lora\.rank: 16 -> 2"):
            self.start(tmp_path, extract={"lora": {"rank": 2}})
        assert self.start(tmp_path, generate={"images_per_prompt": 7}), "which has not begun"

    def test_a_segmenter_with_other_bytes_is_another_whatever_masks_there_are(self, tmp_path: Path) -> None:
        """It takes pictures without masks apart; with evaluate off it went by its name alone."""
        sam = tmp_path / "sam"
        sam.mkdir()
        (sam / "weights.safetensors").write_bytes(b"one")
        own: dict[str, Any] = {"source": {"uri": "/photos", "masks": "beside"}}
        models = {"base": "seedling", "sam": str(sam), "clip": "seedling", "identity": "seedling"}
        self.start(tmp_path / "out", **own, models=models, evaluate={"enabled": True})
        Storage(str(tmp_path / "out")).create("_commits/segment/000000.json", b"{}")
        self.start(tmp_path / "unjudged", **own, models=models, evaluate={"enabled": False})
        Storage(str(tmp_path / "unjudged")).create("_commits/segment/000000.json", b"{}")
        (sam / "weights.safetensors").write_bytes(b"two")
        for output, judged in (("out", True), ("out", False), ("out", True), ("unjudged", False)):
            with pytest.raises(OutputError, match=r"models\.sam: 'sha256:"):
                self.start(tmp_path / output, **own, models=models, evaluate={"enabled": judged})

    def test_what_judges_read_may_change_on_given_handles_until_they_begin(self, tmp_path: Path) -> None:
        self.start(tmp_path / "learned")
        given: dict[str, Any] = {"source": {"handles": str(tmp_path / "learned")}}
        self.start(tmp_path / "drawn", **given, evaluate={"enabled": True})
        mark_begun(Storage(str(tmp_path / "drawn")), "generate")
        assert (
            "evaluate.enabled: True -> False" in self.start(tmp_path / "drawn", **given, evaluate={"enabled": False})[0]
        )
        assert self.start(tmp_path / "drawn", **given, evaluate={"enabled": True}, segment={"max_concepts": 3})
        mark_begun(Storage(str(tmp_path / "drawn")), "evaluate")
        with pytest.raises(OutputError, match=r"segment\.max_concepts: 3 -> "):
            self.start(tmp_path / "drawn", **given, evaluate={"enabled": True})

    def test_handles_stay_what_they_are_where_their_job_draws_otherwise(self, tmp_path: Path) -> None:
        """The fingerprint of all its settings changes with the prompts, and the job on its handles was refused."""
        learned, drawn = tmp_path / "learned", tmp_path / "drawn"
        given: dict[str, Any] = {"source": {"handles": str(learned)}}
        self.start(learned)
        mark_begun(Storage(str(learned)), "extract")
        self.start(drawn, **given)
        mark_begun(Storage(str(drawn)), "generate")
        self.start(learned, generate={"images_per_prompt": 7})
        assert self.start(drawn, **given) == []
        record = json.loads((drawn / "run.json").read_text())
        whole = read_identity(Storage(str(learned)))["fingerprint"]
        record["fields"]["source.handles"] = record["fingerprint"] = whole  # as it was written before
        (drawn / "run.json").write_text(json.dumps(record))
        assert self.start(drawn, **given) == []
        assert read_identity(Storage(str(drawn)))["fields"]["source.handles"] != whole
        (learned / "run.json").unlink()
        (learned / "_begun" / "extract").unlink()
        self.start(learned, extract={"lora": {"rank": 2}})
        with pytest.raises(OutputError, match=r"source\.handles"):
            self.start(drawn, **given)
