"""Whatever happens to the files of a source between runs, after a refresh the output is that of the files as they are.

The real census, plan, ledger, packer and account, with two stages that only write down what they were given; no Ray.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.commands import planning
from pipeline.commands.planning import Planned, plan_source
from pipeline.ledger import changes
from pipeline.ledger.repair import repair
from pipeline.ledger.retries import requested_rounds
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.scheduling.packer import PackerImpl
from pipeline.scheduling.shard_run import ShardRun
from pipeline.shards.parts import part_name, write_part
from pipeline.shards.reader import OutputReader
from pipeline.shards.tables import read_rows
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput
from stages.ingest.census import read_picked, take_census
from tests.support.toy_stages import TOY_KINDS

STAGES = ["ingest", "extract"]


class Job:
    """A job over `folder`/in. Its handles' `word` and its scenes' `format` say which masks they were made with."""

    def __init__(self, folder: Path, per_shard: int = 4) -> None:
        self.source, self.out = folder / "in", folder / "out"
        self.source.mkdir(parents=True)
        self.storage, self.per_shard = Storage(str(self.out)), per_shard
        self.away = False

    @property
    def spec(self) -> JobSpec:
        source = {"uri": str(self.source), "masks": "beside"}
        pack = {"scenes_per_shard": self.per_shard}
        return JobSpec.model_validate({"source": source, "output": str(self.out), "pack": pack})

    def write(self, **texts: str) -> None:
        """`a="bytes"` is a.jpg, `a_mask="bytes"` is a.mask0.png."""
        for name, text in texts.items():
            stem, mask, _ = name.partition("_mask")
            (self.source / (f"{stem}.mask0.png" if mask else f"{stem}.jpg")).write_text(text)

    def run(self, refresh: bool = False, packs: int = 1000) -> Planned:
        """packs: after so many shards of a stage the driver is gone."""
        planned = plan_source(self.spec, take_census(self.spec), self.storage, STAGES, False, refresh)
        repair(self.storage, [*STAGES, FAILURES])
        ledger, packer = Ledger(self.storage, STAGES), PackerImpl(str(self.out))
        for shard in ledger.unsettled(planned.plan.shards):
            run = ShardRun(shard, TOY_KINDS, planned.plan, ledger)
            while (units := run.advance({"ingest": 4, "extract": 4})) is not None:
                if not packs:
                    return planned
                for unit in units:
                    self._do(unit)
                assert run.order is not None
                assert run.kind is not None
                packer.pack(run.order)
                ledger.note(run.kind.name, shard, run.target)
                packs -= 1
            packer.pack_failures(shard, run.target, run.failures(), planned.plan.rows(shard), None)
            ledger.note(FAILURES, shard, run.target)
        return planned

    def _do(self, unit: Unit) -> None:
        for scene in unit.scene_ids:
            name = part_name(unit.stage, unit.shard, unit.round, scene)
            if unit.stage == "ingest":
                plan = unit.plan[scene]
                fault = self._fault(plan)
                if fault is not None:
                    write_part(self.storage, name, SceneOutput(scene, failure=Failure(scene, fault, "")))
                    continue
                row = {name: plan[name] for name in ("scene_id", "uri", "sha256", "bytes")}
                row |= {"status": "ok", "format": str(plan["masks_sha256"])}
            else:
                made_with = OutputReader(self.storage).rows("scenes", unit.shard, [scene])[scene][0]["format"]
                row = {"scene_id": scene, "index": 0, "token": "<asset0>", "word": made_with, "embedding": [0.0]}
                row |= {"tuning": "lora", "steps": [1, 1], "file": f"{scene}.bin"}
            write_part(self.storage, name, SceneOutput(scene, [row], {f"{scene}.bin": b"x"}))

    def _fault(self, plan: dict[str, Any]) -> str | None:
        file = Path(plan["uri"])
        if self.away and not file.name.startswith("b"):
            return "FileUnreadable"
        return None if hashlib.sha256(file.read_bytes()).hexdigest() == plan["sha256"] else "FileChanged"

    def rows(self, table: str) -> list[dict[str, Any]]:
        shards = OutputReader(self.storage).shards(table)
        return [row for shard in shards for row in read_rows(self.storage, table, shard)]

    def failures(self) -> list[dict[str, Any]]:
        """As the last commits have them."""
        ledger = Ledger(self.storage, STAGES)
        shards = ledger.rounds["ingest"]
        return [row for shard in shards if (commit := ledger.commit("ingest", shard)) for row in commit.failures]

    def made_with(self) -> dict[str, str]:
        """Scene -> the masks that its handles were made with."""
        return {row["scene_id"]: row["word"] for row in self.rows("handles")}

    def account(self) -> Counter[str]:
        files = sorted((self.out / "account").glob("*.parquet"))
        lines = [row for file in files for row in pq.read_table(file).to_pylist()]
        return Counter(Path(row["uri"]).name for row in lines if row["kind"] == "file")

    def check(self) -> None:
        """Against the files as they are now."""
        read = [read_picked(picked, self.spec) for picked in take_census(self.spec).pictures]
        masks: dict[str, set[str]] = {}
        for one in read:
            masks.setdefault(str(one.hashed.sha256)[:16], set()).add(str(one.masks_sha256))
        scenes = {row["scene_id"]: row["format"] for row in self.rows("scenes") if row["status"] == "ok"}
        for scene, possible in masks.items():
            assert self.made_with()[scene] == scenes[scene], "handles and scene were made with the same masks"
            assert scenes[scene] in (possible - {"None"} or possible), "with masks that lie beside such a picture now"
        there = {str(file) for file in self.source.iterdir()}
        of_file = {row["uri"]: row["scene_id"] for row in self.rows("scenes") if row["uri"] in there}
        assert of_file == {one.picked.uri: str(one.hashed.sha256)[:16] for one in read}
        assert self.account() == {file.name: 1 for file in self.source.iterdir()}


def test_pictures_that_were_exchanged_are_made_with_their_own_masks(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", b="two", a_mask="x", b_mask="y")
    job.run()
    before = job.made_with()
    job.write(a="two", b="one")
    assert len(job.run().stale) == 2
    assert job.made_with() == before
    job.run(refresh=True)
    assert job.made_with() == dict(zip(before, reversed(before.values()), strict=True))
    job.check()


def test_a_renamed_picture_keeps_its_results_and_is_called_by_its_new_name(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", b="two", a_mask="x")
    job.run()
    for name in ("a.jpg", "a.mask0.png"):
        (job.source / name).rename(job.source / name.replace("a.", "z.", 1))
    before = (job.out / "handles" / "handles-000000.parquet").stat().st_mtime_ns
    planned = job.run()
    assert planned.stale == []
    assert "by another file of the same bytes now: 1 scene" in planned.remarks
    job.check()
    assert (job.out / "handles" / "handles-000000.parquet").stat().st_mtime_ns == before


def test_a_renamed_picture_with_a_corrected_mask_is_stale(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", a_mask="x")
    job.run()
    (job.source / "a.jpg").rename(job.source / "z.jpg")
    (job.source / "a.mask0.png").unlink()
    job.write(z_mask="corrected")
    assert len(job.run().stale) == 1
    job.run(refresh=True)
    job.check()


def test_a_source_that_was_moved_goes_on(tmp_path: Path) -> None:
    job = Job(tmp_path, per_shard=2)
    job.write(a="one", b="two", c="three", d="four")
    job.run(packs=1)
    job.source = job.source.rename(tmp_path / "elsewhere")
    job.run()
    job.check()


def gone(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_driver_that_is_gone_between_round_and_plan_forgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path)
    job.write(a="one", a_mask="x")
    job.run()
    job.write(a_mask="corrected")
    for name in ("request_round", "revise_plan"):
        with monkeypatch.context() as patched:
            patched.setattr(planning, name, gone)
            with pytest.raises(KeyboardInterrupt):
                job.run(refresh=True)
        assert len(job.run().stale) == 1, name
    job.run(refresh=True)
    job.check()


def test_what_an_interrupted_refresh_had_begun_does_not_come_back(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", a_mask="x")
    job.run()
    job.write(a="other")
    job.run(refresh=True, packs=1)
    job.write(a="one", a_mask="corrected")
    job.run(refresh=True)
    job.check()


def test_a_tar_of_what_is_no_more_goes(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one")
    job.run()
    assert (job.out / "handles" / "handles-000000.tar").exists()
    job.write(a="two", b="one")
    job.run(refresh=True)
    job.check()
    (job.source / "a.jpg").unlink()
    assert "no longer there; what was made of them stays: 1 file" in " ".join(job.run().remarks)
    assert not any("no longer there" in remark for remark in job.run().remarks), "once"
    job.check()


def test_a_file_that_is_away_for_a_run_is_not_looked_at_anew(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", b="two", a_mask="x")
    job.run()
    (job.source / "a.jpg").rename(tmp_path / "a.jpg")
    assert "no longer there; what was made of them stays: 1 file" in " ".join(job.run().remarks)
    job.write(b="three")  # or nothing would have to be done
    (tmp_path / "a.jpg").rename(job.source / "a.jpg")
    planned = job.run()
    assert [Path(said.partition(": ")[0]).name for said in planned.stale] == ["b.jpg"]
    assert Storage(str(job.out)).names("_work") == {}
    assert all(not found.again and not found.reread for found in requested_rounds(job.storage))
    job.run(refresh=True)
    job.check()


def test_a_change_that_no_listing_shows_is_found_once_ingest_has_met_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same size and time, as within a second on some stores. `run the job again` met the same hash for ever."""
    monkeypatch.setattr(changes, "_looks_changed", lambda row, listed: False)
    job = Job(tmp_path)
    job.write(a="one", b="two")
    job.run(packs=0)
    job.write(a="new")
    job.run(packs=1)  # ingest is committed, the shard not settled
    assert [row["error"] for row in job.failures()] == ["FileChanged"]
    remarks = " ".join(job.run().remarks)
    assert "changed since the plan, to be made anew: 1 scene: " in remarks
    assert not job.failures()
    job.check()
    job.run()
    assert len(list(requested_rounds(job.storage))) == 1


def test_a_file_that_is_as_planned_again_is_made_by_the_next_run(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", b="two")
    job.away = True
    job.run()
    assert [row["error"] for row in job.failures()] == ["FileUnreadable"]
    job.away = False
    before = sorted((job.out / "_plan").glob("*.parquet"))
    job.run()
    assert not job.failures()
    assert sorted((job.out / "_plan").glob("*.parquet")) == before, "the plan is as it was"
    job.check()
    assert len(list(requested_rounds(job.storage))) == 1


def test_a_shard_with_work_in_hand_is_not_begun_anew_for_it(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", b="two")
    job.away = True
    job.run(packs=1)
    job.away = False
    job.run()
    assert not list(requested_rounds(job.storage)), "its other scenes have gone on; the next run has the time"
    job.run()
    assert not job.failures()
    job.check()


def test_a_mask_under_another_name_is_the_same_mask(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.write(a="one", a_mask="x")
    job.run()
    (job.source / "a.mask0.png").rename(job.source / "a.jpg.mask5.png")
    assert job.run().stale == []
    job.check()


@pytest.mark.parametrize("seed", range(24))
def test_after_any_sequence_of_changes(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    job = Job(tmp_path, chance.choice([1, 2, 8]))
    for stem in "abc":
        job.write(**{stem: chance.choice("PQR")})
        if chance.random() < 0.6:
            job.write(**{f"{stem}_mask": chance.choice("xyz")})
    job.run()
    for _ in range(chance.randint(2, 6)):
        pictures = sorted(job.source.glob("*.jpg"))
        one, other = chance.choice(pictures), chance.choice(pictures)
        match chance.choice(["picture", "mask", "unmask", "new", "swap", "rename", "run", "refresh", "killed"]):
            case "picture":
                one.write_text(chance.choice("PQR"))
            case "mask":
                one.with_suffix(".mask0.png").write_text(chance.choice("xyzuvw"))
            case "unmask":
                one.with_suffix(".mask0.png").unlink(missing_ok=True)
            case "new":
                job.write(**{chance.choice("defg"): chance.choice("PQR")})
            case "swap":
                texts = one.read_text(), other.read_text()
                other.write_text(texts[0])
                one.write_text(texts[1])
            case "rename":
                one.rename(one.with_name(f"z{one.name}"))
                if one.with_suffix(".mask0.png").exists():
                    one.with_suffix(".mask0.png").rename(one.with_name(f"z{one.stem}.mask0.png"))
            case "run":
                job.run()
            case "refresh":
                job.run(refresh=True)
            case "killed":
                job.run(refresh=True, packs=chance.randint(0, 3))
    job.run(refresh=True)
    job.check()
    assert job.run().stale == []
