"""Pictures drawn from the handles of an earlier OUTPUT follow when that learns them anew; a limit below the plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands.planning import plan_given, plan_source
from pipeline.commands.survey import survey
from pipeline.ledger.commits import Commit, commit
from pipeline.ledger.retries import request_round, requested_rounds
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.ledger.withdrawals import withdraw
from pipeline.shards.pack import pack_rows
from pipeline.stage_kinds import LEARNING, kinds_of
from pipeline.storage.folder import Storage
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.outcomes import Failure
from stages.ingest.census import take_census
from tests.support.sample_output import SampleOutput


def committed(storage: Storage, stage: str, shard: int, round_: int, done: list[str]) -> None:
    assert commit(storage, Commit(stage, shard, round_, f"attempt{round_}", [], done, []))


def test_handles_learned_anew_are_followed_in_their_shards_alone(tmp_path: Path) -> None:
    earlier = SampleOutput(tmp_path / "earlier")
    storage = Storage(str(tmp_path / "out"))

    def plan() -> list[str]:
        return plan_given(storage, earlier.storage, ["generate"], Ledger(earlier.storage, LEARNING), False).remarks

    assert plan() == []
    scenes = [earlier.plan.scenes(shard) for shard in (0, 1)]
    for shard in (0, 1):
        committed(storage, "generate", shard, 0, scenes[shard])
    assert plan() == []
    assert list(requested_rounds(storage)) == [], "nothing was learned anew"

    request_round(earlier.storage, [1], {1: scenes[1][:1]})
    committed(earlier.storage, "extract", 1, 1, scenes[1])
    (said,) = plan()
    assert "handles of 1 shard were learned anew" in said
    (wanted,) = requested_rounds(storage)
    assert (wanted.shards, wanted.again) == ([1], {1: scenes[1][:1]})
    assert plan() == [], "once"


def test_a_limit_below_a_finished_plan_takes_no_picture_for_one_that_left(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    for name in "abc":
        (source / f"{name}.jpg").write_text(name)
    spec = JobSpec.model_validate({"source": {"uri": str(source)}, "output": str(tmp_path / "out")})
    few = spec.model_copy(update={"source": spec.source.model_copy(update={"limit": 1})})
    storage, stages = Storage(spec.output), [kind.name for kind in kinds_of(spec)]
    planned = plan_source(spec, take_census(spec), storage, stages, False, False)
    with pytest.raises(SpecError, match=r"source.limit: 1: .* has planned 2 pictures beyond it already"):
        survey(few, storage)
    for stage in (*stages, FAILURES):
        committed(storage, stage, 0, 0, planned.plan.scenes(0))
    listed = survey(few, storage)
    assert (listed.scenes, listed.new) == (3, 0)
    assert not any("no longer listed" in line for line in listed.lines)
    assert not plan_source(few, take_census(few), storage, stages, False, False).remarks


def test_a_retry_asks_for_no_round_of_scenes_that_are_withdrawn(tmp_path: Path) -> None:
    """Ray was started, and a round made, in which each of them was withdrawn once more."""
    source = tmp_path / "photos"
    source.mkdir()
    for name in "abcd":
        (source / f"{name}.jpg").write_text(name)
    tree = {"source": {"uri": str(source)}, "output": str(tmp_path / "out"), "pack": {"scenes_per_shard": 2}}
    spec = JobSpec.model_validate(tree)
    storage, stages = Storage(spec.output), [kind.name for kind in kinds_of(spec)]

    def asked() -> tuple[list[list[int]], list[str]]:
        planned = plan_source(spec, take_census(spec), storage, stages, retry=True, refresh=False)
        return [found.shards for found in requested_rounds(storage)], planned.remarks

    plan = plan_source(spec, take_census(spec), storage, stages, retry=False, refresh=False).plan
    storage.write("run.json", json.dumps({"spec": spec.model_dump(mode="json")}).encode())
    failures = {
        shard: [Failure(one, "SceneError", "no").row(stages[0]) for one in plan.scenes(shard)] for shard in (0, 1)
    }
    for shard in (0, 1):
        assert commit(storage, Commit(stages[0], shard, 0, "attempt0", [], [], failures[shard]))
    for stage in stages[1:]:
        committed(storage, stage, 0, 0, [])  # the other shard is half made
    pack_rows(storage, FAILURES, 0, 0, {"failures": failures[0]})
    for scene in (scene for shard in (0, 1) for scene in plan.scenes(shard)):
        withdraw(storage, scene)
    stay = "failed and withdrawn, and not tried again: 4 scenes; `unscene withdraw --undo` takes a mark back"
    assert asked() == ([], [stay])
    withdraw(storage, plan.scenes(0)[1], undo=True)
    assert asked() == ([[0]], [stay.replace("4", "3")])
    withdraw(storage, plan.scenes(1)[0], undo=True)
    assert asked() == ([[0], [0, 1]], [stay.replace("4", "2")])
