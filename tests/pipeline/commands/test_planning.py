"""Pictures drawn from the handles of an earlier OUTPUT follow when that learns them anew."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.planning import plan_given
from pipeline.ledger.commits import Commit, commit
from pipeline.ledger.retries import request_round, requested_rounds
from pipeline.ledger.rounds import Ledger
from pipeline.stage_kinds import LEARNING
from pipeline.storage.folder import Storage
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
