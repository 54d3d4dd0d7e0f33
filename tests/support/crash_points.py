"""Ends a process between any two changes that it makes on disk, and has the same command run again.

A job in small with everything of the real one that writes: probe, lease, plan, parts, packer, commits, rounds and
sweeping. Its processes are forked, so that each is ended as a kill ends it; run as `python -m
tests.support.crash_points FOLDER SHARE`, as a process with threads is not to be forked. It prints how many points there
were and how many were tried.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.commands.planning import plan_source
from pipeline.ledger import committed, hashed, manifest
from pipeline.ledger.lease import held
from pipeline.ledger.repair import repair
from pipeline.ledger.rounds import FAILURES
from pipeline.scheduling.packer import PackerImpl
from pipeline.scheduling.shard_run import ShardRun
from pipeline.shards.leftovers import cleared, sweep
from pipeline.shards.parts import part_name, write_part
from pipeline.shards.reader import OutputReader
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput
from stages.ingest.census import take_census
from tests.support.toy_stages import TOY_KINDS

STAGES = [kind.name for kind in TOY_KINDS]
ALL = [*STAGES, FAILURES]
TABLES = [*(kind.table for kind in TOY_KINDS), FAILURES, "account"]
CHANGES = ("link", "replace", "rename", "unlink", "remove", "rmdir", "fsync", "mkdir")
"""What changes a disk, of the functions of `os`."""


def command(source: Path, out: Path, retry: bool) -> None:
    """What `unscene run` and `unscene retry` do to an OUTPUT, with stages that only note what they were given."""
    pack = {"scenes_per_shard": 2}
    spec = JobSpec.model_validate({"source": {"uri": str(source)}, "output": str(out), "pack": pack})
    storage = Storage(str(out))
    check_writable(storage)
    with held(storage) as lease, cleared(storage, ALL, TABLES):
        planned = plan_source(spec, take_census(spec), storage, STAGES, retry, False)
        plan, ledger, packer = planned.plan, planned.ledger, PackerImpl(str(out), lease.epoch)
        repair(storage, ALL, ledger.committed)
        sweep(storage, ALL)
        ledger.committed.roll_up()
        for shard in ledger.unsettled(plan.shards):
            run = ShardRun(shard, TOY_KINDS, plan, ledger)
            while (units := run.advance(dict.fromkeys(STAGES, 2))) is not None:
                for unit in units:
                    work(storage, unit)
                assert run.order is not None
                packer.pack(run.order)
                ledger.note(run.order.stage, shard, run.target)
            packer.pack_failures(shard, run.target, run.failures(), plan.rows(shard), None)
            ledger.note(FAILURES, shard, run.target)
        sweep(storage, ALL)
        ledger.committed.roll_up()


def work(storage: Storage, unit: Unit) -> None:
    """One scene fails in extract until it is tried again."""
    for scene in unit.scene_ids:
        name = part_name(unit.stage, unit.shard, unit.round, scene)
        if storage.exists(name):
            continue
        row: dict[str, Any]
        if unit.stage == "ingest":
            made_of = unit.plan[scene]
            row = {key: made_of[key] for key in ("scene_id", "uri", "sha256", "bytes")} | {"status": "ok"}
        else:
            (made_of,) = OutputReader(storage).rows("scenes", unit.shard, [scene], round_=unit.rounds["scenes"])[scene]
            row = {"scene_id": scene, "index": 0, "token": "<asset0>", "word": made_of["sha256"], "embedding": [0.0]}
            row |= {"tuning": "lora", "steps": [1, 1], "file": f"{scene}.bin"}
        found = SceneOutput(scene, [row], {f"{scene}.bin": f"{unit.stage} of {scene}".encode() * 50})
        if unit.stage == "extract" and not unit.round and made_of["uri"].endswith("a.jpg"):
            found = SceneOutput(scene, failure=Failure(scene, "Bad", "because"))
        write_part(storage, name, found)


def forked(call: Callable[[], None], die_before: int | None = None) -> tuple[int, int]:
    """(exit code, changes made) of `call` in a process of its own, which ends as if killed before that change."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code, made = 1, 0

        def counted(plain: Any) -> Any:
            def change(*args: Any, **options: Any) -> Any:
                nonlocal made
                if made == die_before:
                    os._exit(9)
                made += 1
                return plain(*args, **options)

            return change

        try:
            for name in CHANGES:
                setattr(os, name, counted(getattr(os, name)))
            call()
            code = 0
        finally:
            os.write(writing, str(made).encode())
            os._exit(code)
    os.close(writing)
    told = os.read(reading, 100)
    os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), int(told or 0)


def content(out: Path) -> dict[str, str]:
    """Plain file -> the hash of its bytes."""
    files = [file for file in sorted(out.rglob("*")) if file.is_file() and file.relative_to(out).parts[0][0] != "_"]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def left_behind(out: Path) -> list[str]:
    """What is there besides plain files, the ledger, and the lease that was released."""
    names = [str(file.relative_to(out)) for file in sorted(out.rglob("*")) if file.is_file()]
    wrong = [name for name in names if name.startswith(("_work", "_attempts", "_probe")) or name.endswith(".tmp")]
    leases = [name for name in names if name.startswith("_lease")]
    return wrong + (leases if len(leases) != 1 else [])


def main(folder: Path, share: float) -> None:
    committed.EVERY, manifest.MOST, hashed.ROWS = 3, 2, 2
    source, calm, first = folder / "in", folder / "calm", folder / "first"
    source.mkdir()
    for name in "abc":
        (source / f"{name}.jpg").write_text(name)
    rounds: dict[bool, int] = {}
    for retry in (False, True):
        code, rounds[retry] = forked(partial(command, source, calm, retry))
        assert code == 0, "the calm run"
        if not retry:
            shutil.copytree(calm, first)
    whole, chosen, tried = content(calm), random.Random(17), 0
    for retry, changes in rounds.items():
        for point in range(changes):
            if chosen.random() >= share:
                continue
            out = folder / f"{'retry' if retry else 'run'}-{point}"
            if retry:
                shutil.copytree(first, out)
            code, _ = forked(partial(command, source, out, retry), point)
            assert code == 9, f"{out.name}: it was to be killed"
            for again in dict.fromkeys((retry, True)):
                code, _ = forked(partial(command, source, out, again))
                assert code == 0, f"{out.name}: the same command does not go on"
            assert content(out) == whole, f"{out.name}: other bytes"
            assert not left_behind(out), f"{out.name}: {left_behind(out)}"
            shutil.rmtree(out)
            tried += 1
    print(f"{tried} of {sum(rounds.values())} points")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
