"""`--json` of status and plan: the same numbers as the lines, under the names that docs/outputs.md gives."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from pipeline.commands import estimate, facts, timing
from pipeline.commands.facts import plan_facts, status_facts
from pipeline.commands.scenes import list_scenes
from pipeline.commands.status import status_lines
from pipeline.ledger.lease import held
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.watching.counts import JobCounts, Outlook, StageState
from pipeline.watching.snapshot import write_snapshot
from schemas.spec_file import load_spec
from tests.support import ROOT
from tests.support.sample_output import SampleOutput


def shape(tree: object) -> object:
    """Names and kinds of values of a JSON tree."""
    if isinstance(tree, dict):
        return {name: shape(value) for name, value in tree.items()}
    return [shape(tree[0])] if isinstance(tree, list) and tree else type(tree).__name__


def documented(command: str) -> object:
    """The example that docs/outputs.md shows for a command."""
    text = (ROOT / "docs" / "outputs.md").read_text()
    found = re.search(rf"`unscene {command} \w+ --json`.*?```json\n(.*?)```", text, re.DOTALL)
    assert found is not None, command
    return json.loads(found[1])


def test_status_of_a_finished_job(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out")
    facts = json.loads(json.dumps(status_facts(sample.storage)))
    assert (facts["state"], facts["files"], facts["scenes"]) == ("finished", 6, 5)
    assert facts["shards"] == {"count": 2, "to_go": 0}
    assert facts["stages"]["extract"] == {"done": 3, "failed": 1, "shards": 2, "live": None, "unpacked": 0}
    assert (facts["failed"], len(facts["failures"])) == (2, 2)
    assert any(line.startswith("2 failed") for line in status_lines(sample.storage))
    assert facts["failures"][1]["message"] == "diverged at phase 1 step 7 <b>"


def test_status_of_a_job_at_work_and_of_one_that_stopped(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT))
    assert (status_facts(sample.storage)["state"], status_facts(sample.storage)["heard_at"]) == ("stopped", None)
    write_snapshot(sample.storage, JobCounts([kind.name for kind in (INGEST, SEGMENT)], 5))
    assert status_facts(sample.storage)["state"] == "stopped"  # it was killed: nobody holds the lease
    with held(sample.storage):
        facts = status_facts(sample.storage)
        assert facts["text"] in status_lines(sample.storage)
    assert facts["state"] == "running"
    assert facts["job"]["left_s"] is None
    assert facts["stages"]["segment"]["live"]["left"] == 5
    assert facts["stages"]["extract"]["live"] is None


def test_the_documented_shapes_are_these(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out")
    status, shown = status_facts(sample.storage), documented("status")
    assert isinstance(shown, dict)
    assert list(status) == list(shown)
    assert shape(status["failures"]) == shape(shown["failures"])
    assert shape(status["stages"]["ingest"]) == shape(shown["stages"]["ingest"])
    assert list(shown["stages"]["extract"]["live"]) == [field.name for field in fields(StageState)]
    assert list(shown["job"]) == [field.name for field in fields(Outlook)]
    spec = load_spec(ROOT / "jobs" / "demo.yaml", [f"output={tmp_path / 'new'}"])
    plan, shown = json.loads(json.dumps(plan_facts(spec))), documented("plan")
    assert isinstance(shown, dict)
    assert list(plan) == list(shown)
    (scene,) = json.loads(json.dumps(documented("scenes")))["scenes"]
    assert list(scene) == list(next(list_scenes(sample.storage)).facts())
    for name in ("scenes", "concepts_per_scene", "tflop", "least_memory", "bytes_to_come"):
        assert shape(plan[name]) == shape(shown[name]), name
    assert plan["here"] is None  # nothing has run there
    assert plan["cards"] == []  # the seedling's FLOPs tell nothing of a card
    assert plan["gpu_hours"] is None


@pytest.mark.parametrize(("limit", "count"), [(None, 14), (3, 3)])
def test_plan_counts_what_there_is_to_do(tmp_path: Path, limit: int | None, count: int) -> None:
    spec = load_spec(
        ROOT / "jobs" / "demo.yaml", [f"output={tmp_path / 'new'}", *([f"source.limit={limit}"] if limit else [])]
    )
    facts = plan_facts(spec)
    to_do = dict.fromkeys(("to_segment", "to_learn", "to_draw", "to_score"), count)
    assert facts["scenes"] == {"planned": 0, "new_files": count, **to_do}
    assert facts["shards"] == -(-count // 5)
    tflop = facts["tflop"]
    scene = sum(tflop[f"scene_{what}"] for what in ("segment", "handles", "variations", "scores"))
    assert tflop["total"] == pytest.approx(count * scene + tflop["prior"])
    assert not (tmp_path / "new").exists()


def test_plan_has_every_card_and_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a base large enough: what plan tells in words."""
    monkeypatch.setattr(timing, "LEAST_PASS", 0.0)
    spec = load_spec(ROOT / "jobs" / "demo.yaml", [f"output={tmp_path / 'new'}", "source.limit=2"])
    facts = plan_facts(spec, lambda spec, bill, work: timing.Times("here", {"segment": 1.0, "extract": 2.0}))
    assert facts["here"] == {
        "scene_s": {"segment": 1.0, "extract": 2.0},
        "total_s": 6.0,
        "unknown": ["ingest", "generate", "evaluate", "pack"],
    }
    assert {stage: sum(call["times"] * call["tflop"] for call in calls) for stage, calls in facts["calls"].items()} == {
        "segment": pytest.approx(facts["tflop"]["scene_segment"]),
        "extract": pytest.approx(facts["tflop"]["scene_handles"]),
        "generate": pytest.approx(facts["tflop"]["scene_variations"]),
        "evaluate": pytest.approx(facts["tflop"]["scene_scores"]),
    }
    shown = documented("plan")
    assert isinstance(shown, dict)
    assert shape(facts["gpu_hours"]) == shape(shown["gpu_hours"])
    assert [shape(card) for card in facts["cards"]] == [shape(shown["cards"][0])] * 4
    assert set(facts["here"]) == set(shown["here"])
    h100 = next(card for card in facts["cards"] if card["card"] == "H100")
    assert h100["hours"] == facts["gpu_hours"]["total"] > 0


def test_a_card_without_room_for_one_scene_has_no_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LEAST_PASS", 0.0)
    cards = [replace(card, memory=0) if card.name == facts.HOURS_OF.name else card for card in facts.CARDS]
    monkeypatch.setattr(facts, "CARDS", cards)
    plan = plan_facts(load_spec(ROOT / "jobs" / "demo.yaml", [f"output={tmp_path / 'new'}"]))
    *others, h100 = plan["cards"]
    assert (h100["hours"], h100["scenes_side_by_side"], plan["gpu_hours"]) == (None, 0, None)
    assert all(card["hours"] > 0 for card in others)


def test_plan_of_new_pictures_alone_has_no_memory_for_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "revisions", lambda spec: {})  # the sample's were learned with no base
    sample = SampleOutput(tmp_path / "out")
    changes = [f"source.handles={sample.storage.url}", "source.uri=null", f"output={tmp_path / 'more'}"]
    spec = load_spec(ROOT / "jobs" / "augment.yaml", changes)
    assert set(plan_facts(spec)["least_memory"]) == {"generate", "evaluate"}
