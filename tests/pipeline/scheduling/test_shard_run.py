"""A shard's way through the stages, as far as the driver itself works for it: the less it asks the store, the more
workers it can keep at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger import committed, rounds
from pipeline.ledger.plan import Plan, extend_plan
from pipeline.ledger.rounds import Ledger
from pipeline.scheduling.packer import PackerImpl
from pipeline.scheduling.shard_run import ShardRun
from pipeline.shards.parts import part_name, write_part
from pipeline.storage.folder import Storage
from schemas.outcomes import Failure, SceneOutput
from stages.ingest.census import Picked, Read
from stages.ingest.source.hashing import Hashed
from tests.support.toy_stages import TOY_KINDS

STAGES = [kind.name for kind in TOY_KINDS]


def planned(storage: Storage, scenes: int) -> Plan:
    def read(picked: Picked) -> Read:
        return Read(picked, Hashed(picked.uri, 1, f"{int(picked.uri):064x}"[::-1], None), None, None)

    return extend_plan(storage, [Picked(str(number)) for number in range(scenes)], 64, read)


def do(storage: Storage, run: ShardRun, sizes: dict[str, int], packer: PackerImpl) -> None:
    """One stage of the shard, in which the first scene of each unit fails; told as the scheduler tells it."""
    for unit in run.advance(sizes) or ():
        for place, scene in enumerate(unit.scene_ids):
            row: dict[str, Any] = {"scene_id": scene, "uri": scene, "status": "ok"}
            if unit.stage != "ingest":
                row = {"scene_id": scene, "index": 0, "token": "<a>", "word": "thing", "embedding": [0.0]}
                row |= {"word_tokens": 1, "tuning": "lora", "steps": [1], "file": f"{scene}.safetensors"}
            output = (
                SceneOutput(scene, [row]) if place else SceneOutput(scene, failure=Failure(scene, "SceneError", "no"))
            )
            write_part(storage, part_name(unit.stage, unit.shard, unit.round, scene), output)
    assert run.order is not None
    run.ledger.note(run.order.stage, run.shard, run.target, packer.pack(run.order))


def test_what_a_packer_has_told_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver read the commits of all stages before it at each of a shard's steps, one after the other, and gave
    nobody work meanwhile."""
    storage, sizes = Storage(str(tmp_path)), dict.fromkeys(STAGES, 3)
    run = ShardRun(0, TOY_KINDS, planned(storage, 6), Ledger(storage, STAGES))
    read: list[str] = []
    real = rounds.read_sized
    for module in (rounds, committed):
        monkeypatch.setattr(module, "read_sized", lambda *place: read.append(place[1]) or real(*place))
    for _ in STAGES:
        do(storage, run, sizes, PackerImpl(str(tmp_path)))
    assert run.advance(sizes) is None
    assert [(row["stage"], row["error"]) for row in run.failures()] == [("ingest", "SceneError")] * 2 + [
        ("extract", "SceneError")
    ] * 2
    run.ledger.committed.roll_up()
    assert read == []
    later = ShardRun(0, TOY_KINDS, run.plan, Ledger(storage, STAGES))  # of another run, which has to look
    assert later.advance(sizes) is None
    assert later.failures() == run.failures()
    assert sorted(read) == sorted(STAGES), "each once"


def test_parts_are_looked_for_where_an_earlier_run_has_left_some(tmp_path: Path) -> None:
    storage, sizes = Storage(str(tmp_path)), dict.fromkeys(STAGES, 4)
    plan, ledger = planned(storage, 6), Ledger(storage, STAGES)
    for begun, looks in (
        ({"ingest": {"000000.r0"}}, True),
        ({"ingest": {"000000.r1", "000001.r0"}}, False),
        (None, True),
    ):
        units = ShardRun(0, TOY_KINDS, plan, ledger, begun=begun).advance(sizes)
        assert [unit.begun for unit in units or ()] == [looks, looks]
    assert units is not None
    assert units[0].of(units[0].scene_ids[:1], 1).begun, "one that was tried may have left some"


def test_rows_of_the_plan_go_with_the_units_that_are_made_of_them(tmp_path: Path) -> None:
    """They went with every unit of every stage, and were half of what a driver of a thousand workers held."""
    storage, sizes = Storage(str(tmp_path)), dict.fromkeys(STAGES, 3)
    plan = planned(storage, 6)
    run = ShardRun(0, TOY_KINDS, plan, Ledger(storage, STAGES))
    rows = {row["scene_id"]: row for row in plan.all_rows()}
    asked = [unit for unit in run.advance(sizes) or () if unit.stage == "ingest"]
    assert [set(unit.plan) for unit in asked] == [set(unit.scene_ids) for unit in asked]
    assert {scene: row for unit in asked for scene, row in unit.plan.items()} == rows
    do(storage, run, sizes, PackerImpl(str(tmp_path)))
    later = [(unit.stage, len(unit.scene_ids), unit.plan) for unit in run.advance(sizes) or ()]
    assert later == [("extract", 3, {}), ("extract", 1, {})]
    assert run.order is not None
    assert run.order.uris == {scene: row["uri"] for scene, row in rows.items()}, "for its failures"
