"""One shard's way through the stages: what is committed, what is left, and the next step."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.ledger.plan import Plan
from pipeline.ledger.rounds import Ledger
from pipeline.shards.pack import PackOrder
from pipeline.shards.parts import work_folder
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import AFTER_HANDLES, STAGE_OF, StageKind


@dataclass
class ShardRun:
    """A shard on its way.

    left: scenes of the current stage that have no part yet. given: ledger of the earlier OUTPUT whose handles are used.
    begun: stage -> the folders of parts that an earlier run has left; None: not known.
    """

    shard: int
    kinds: list[StageKind]
    plan: Plan
    ledger: Ledger
    given: Ledger | None = None
    kind: StageKind | None = None
    left: set[str] = field(default_factory=set)
    order: PackOrder | None = None
    begun: Mapping[str, Container[str]] | None = None

    @property
    def target(self) -> int:
        """The round that the shard is wanted in."""
        return self.ledger.target(self.shard)

    def advance(self, unit_size: dict[str, int]) -> list[Unit] | None:
        """Moves on to the next stage with something to do; returns its units, or None when all stages are through.

        An empty list means that the stage has nothing to run but its (empty) shard is to be packed.
        """
        uris = self.plan.uris(self.shard)
        round_ = self.target
        for kind in self.kinds:
            committed = self.ledger.commit(kind.name, self.shard)
            if committed is not None and committed.round >= round_:
                continue
            wanted = self._ready(kind, uris)
            again = set() if committed is None else self.ledger.again(kind.name, self.shard, committed.round)
            ready = [scene for scene in wanted if committed is None or scene in again or scene not in committed.done]
            kept = [scene for scene in uris if scene in wanted or scene not in again]
            rewritten = committed is not None and _reads_plan(kind) and self.ledger.revised(self.shard, committed.round)
            if committed is not None and not ready and not rewritten and committed.scenes() <= set(kept):
                continue
            self.kind, self.left = kind, set(ready)
            own = {scene: uris[scene] for scene in kept}
            self.order = self._order(kind, round_, ready, own, None if committed is None else committed.round)
            return list(self._units(kind, round_, ready, unit_size[kind.name]))
        self.kind, self.order = None, None
        return None

    def _units(self, kind: StageKind, round_: int, ready: list[str], size: int) -> Iterator[Unit]:
        """The scenes in units of that size. Rows of the plan go with those alone that are made of them: a thousand
        workers' units wait in the memory of the driver."""
        folder = work_folder(kind.name, self.shard, round_)
        begun = self.begun is None or folder.rsplit("/", 1)[1] in self.begun[kind.name]
        rows = {}
        if _reads_plan(kind):
            rows = {row["scene_id"]: row for row in self.plan.rows(self.shard) if row["duplicate_of"] is None}
        rounds = self._rounds()
        for start in range(0, len(ready), size):
            scenes = tuple(ready[start : start + size])
            plan = {scene: rows[scene] for scene in scenes} if rows else {}
            yield Unit(kind.name, self.shard, round_, scenes, plan, rounds, begun=begun)

    def failures(self) -> list[dict[str, Any]]:
        """Rows of FAILURES over all stages."""
        rows: list[dict[str, Any]] = []
        for kind in self.kinds:
            committed = self.ledger.commit(kind.name, self.shard)
            rows.extend(committed.failures if committed else [])
        return rows

    def _ready(self, kind: StageKind, uris: dict[str, str]) -> list[str]:
        """Scenes that the stage before has results for, in plan order."""
        position = self.kinds.index(kind)
        if position:
            before = self.ledger.commit(self.kinds[position - 1].name, self.shard)
        elif self.given:
            before = self.given.commit("extract", self.shard)
        else:
            return list(uris)
        done = set(before.done) if before else set()
        return [scene for scene in uris if scene in done]

    def _rounds(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for table, stage in STAGE_OF.items():
            ledger = self.given if self.given and table not in AFTER_HANDLES else self.ledger
            round_ = ledger.round(stage, self.shard)
            if round_ is not None:
                found[table] = round_
        return found

    def _order(
        self, kind: StageKind, round_: int, ready: list[str], uris: dict[str, str], earlier: int | None
    ) -> PackOrder:
        fallback: dict[str, dict[str, Any]] = {}
        extra: list[dict[str, Any]] = []
        if _reads_plan(kind):  # one row a source file, whatever became of it
            for row in self.plan.rows(self.shard):
                base = {name: row[name] for name in ("scene_id", "uri", "sha256", "bytes")}
                if row["gone"] and row["duplicate_of"] is not None:
                    continue
                if row["duplicate_of"] is None:
                    fallback[row["scene_id"]] = {**base, "status": "failed"}
                else:
                    own = "; its own masks are not used" if row["masks"] else ""
                    extra.append({**base, "status": "duplicate", "error": f"same bytes as {row['duplicate_of']}{own}"})
        return PackOrder(
            kind.name,
            kind.table,
            kind.tar,
            self.shard,
            round_,
            tuple(ready),
            tuple(uris),
            earlier,
            uris,
            fallback,
            tuple(extra),
        )


def _reads_plan(kind: StageKind) -> bool:
    """Whether a stage's rows repeat those of the plan; no other asks for them."""
    return kind.table == "scenes"
