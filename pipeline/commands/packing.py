"""How long it takes to pack a scene's results into its shards: as the shards of an OUTPUT were packed, or by packing
made-up ones on this machine."""

from __future__ import annotations

import os
import tempfile
import time

from pipeline.commands.bill import Bill
from pipeline.ledger.commits import read_commit, rounds
from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import part_name, write_part
from pipeline.stage_kinds import StageKind, kinds_of
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput

FEW = 4
"""Shards of a stage that are looked at, and scenes of one that is made up."""


def packed_seconds(storage: Storage, spec: JobSpec) -> float | None:
    """Seconds a scene, in all its stages together, by the first shards of each; None before every stage has one."""
    total = 0.0
    for kind in kinds_of(spec):
        first = sorted(rounds(storage, kind.name).items())[:FEW]
        commits = [read_commit(storage, kind.name, shard, round_) for shard, round_ in first]
        scenes = sum(len(commit.scenes()) for commit in commits)
        if not scenes:
            return None
        total += sum(commit.seconds for commit in commits) / scenes
    return total


def probed_seconds(bill: Bill, spec: JobSpec) -> float:
    """The same by files of the sizes on the bill, on this machine's own disk; nothing is left of them."""
    sizes = {
        "ingest": bill.prepared_bytes,
        "extract": bill.handle_bytes,
        "generate": bill.variation_bytes,
        "evaluate": bill.score_bytes,
    }
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        return sum(_packed(storage, kind, round(sizes.get(kind.name, 0.0))) for kind in kinds_of(spec)) / FEW


def _packed(storage: Storage, kind: StageKind, size: int) -> float:
    """Seconds for a shard of `FEW` scenes with so many bytes each."""
    scenes = tuple(f"{number:016x}" for number in range(FEW))
    for scene in scenes:
        files = {f"{scene}.bin": os.urandom(size)} if kind.tar else {}
        write_part(storage, part_name(kind.name, 0, 0, scene), SceneOutput(scene, [], files))
    began = time.perf_counter()
    pack(storage, PackOrder(kind.name, kind.table, kind.tar, 0, 0, scenes, scenes))
    return time.perf_counter() - began
