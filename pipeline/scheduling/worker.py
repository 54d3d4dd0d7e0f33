"""The Ray actor that runs a stage in a process of its own."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import Any

import ray

from pipeline.ledger.withdrawals import withdrawn_scenes
from pipeline.scheduling.hearing import Hearing
from pipeline.shards.inputs import Inputs
from pipeline.shards.parts import PartsWriter, find_parts, part_name, work_folder
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import load_stage
from pipeline.storage.folder import SHARED, Storage
from pipeline.watching.watcher import Said
from schemas.errors import JobError, StoreAway, Withdrawn
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput
from stages.retrying import AWAY_S, FIRST_S, within_units
from stages.stage import Parting, Stage, StageContext
from stages.telling import listened
from stages.transient import comes_of_network_failure


@dataclass(frozen=True)
class Outcome:
    """What the driver learns of one scene: a few bytes, never its pictures (invariant 8).

    retry: set when the failure is not certainly the scene's own; the worker has written no part for it. said: what was
    warned of meanwhile, with the first scene of a unit what is all scenes'.
    """

    scene_id: str
    failed: bool
    retry: Failure | None = None
    said: tuple[Said, ...] = ()


@dataclass(frozen=True)
class SetupError:
    """Why a worker could not start. final: the job is wrong, not the machine, and another try would be too. patience_s:
    where a store or the network did not answer, for how long workers of a stage may fail so before the job stops; 0
    where that is not the reason."""

    message: str
    trace: str
    final: bool
    patience_s: float = 0.0


class StageWorkerImpl:
    """A stage in a process of its own."""

    def __init__(self, factory: str, spec: JobSpec, output: str, earlier: str | None) -> None:
        within_units()
        self.storage = Storage(output)
        self.earlier = Storage(earlier) if earlier else None
        self.inputs = Inputs(self.storage, self.earlier)
        self.factory, self.spec = factory, spec
        self.stage: Stage | None = None
        self.latest: dict[str, Any] = {}
        self.hearing = Hearing()
        self.parting = Parting()

    def setup(self, prepare: bool) -> SetupError | None:
        """Imports the stage and loads its models; `prepare` also makes what all workers share."""

        def doing(text: str) -> None:
            self.latest = {"doing": text}

        doing("loading models")
        try:
            context = StageContext(self.storage.url_of(SHARED), self._note, self._withdrawn, self.parting)
            self.stage = load_stage(self.factory)(self.spec, context)
            with listened(doing), self.hearing.open():  # what is said here goes with the first unit
                if prepare:
                    self.stage.prepare()
                    doing("loading models")
                self.stage.setup()
            self.latest = {}
        except Exception as error:
            patience_s = 0.0
            if isinstance(error, StoreAway) or comes_of_network_failure(error):  # a JobError may be made of one
                # The driver has spoken to the stores. Where a model comes from may be misspelt, until a worker had it.
                patience_s = FIRST_S if prepare and not isinstance(error, StoreAway) else AWAY_S
            return SetupError(
                f"{type(error).__name__}: {error}" if not isinstance(error, JobError) else str(error),
                traceback.format_exc()[-8000:],
                isinstance(error, JobError) and not patience_s,
                patience_s,
            )
        return None

    def run(self, unit: Unit) -> list[Outcome]:
        """Does the unit and leaves the parts of its scenes on storage. Does nothing when they are all there already.

        A unit is done as a whole or not at all: scenes that went side by side once go side by side again after a
        crash, so the numbers come out the same to the last digit.
        """
        folder = work_folder(unit.stage, unit.shard, unit.round)
        if unit.begun:
            with self.hearing.open(unit.scene_ids):
                there = find_parts(self.storage, folder, unit.scene_ids)
            if there.keys() >= set(unit.scene_ids):
                return [Outcome(scene_id, there[scene_id].failure is not None) for scene_id in unit.scene_ids]
            for scene_id, part in there.items():
                if part.failure is not None:  # what a driver found that is gone would go before what comes of it now
                    self.storage.delete(part_name(unit.stage, unit.shard, unit.round, scene_id))
        assert self.stage is not None, "setup() comes before run()"
        self.latest = {}
        outcomes: dict[str, Outcome] = {}
        parts = PartsWriter(self.storage, folder)
        gone = self._withdrawn().intersection(unit.scene_ids)
        for scene_id in gone:
            reason = Failure(scene_id, Withdrawn.__name__, f"withdrawn before {unit.stage}", attempt=0)
            outcomes[scene_id] = _keep(parts, SceneOutput(scene_id, failure=reason))
        wanted = tuple(scene_id for scene_id in unit.scene_ids if scene_id not in gone)
        tasks = self.inputs.tasks(unit.of(wanted, unit.attempt), self.stage.needs, self.stage.files)
        with self.hearing.open(unit.scene_ids):
            for output in self.stage.process(tasks):
                outcomes[output.scene_id] = _keep(parts, output)
        missing = [scene_id for scene_id in unit.scene_ids if scene_id not in outcomes]
        if missing:
            raise RuntimeError(f"stage {unit.stage} gave no output for {', '.join(missing)}")
        parts.close()
        self.latest = {}
        self.parting.answer(True)  # what the unit has made is on storage
        first, *others = outcomes.values()
        return [replace(first, said=self.hearing.take()), *others]

    def node(self) -> str:
        """The node of the cluster that this process lives on."""
        return str(ray.get_runtime_context().get_node_id())

    def progress(self) -> dict[str, Any]:
        """The stage's last word on the unit in hand."""
        return self.latest

    def part(self, within_s: float) -> bool:
        """Has the stage keep the state of the unit in hand, as this process is about to be ended; whether it has, or
        there is none. Unit: seconds."""
        return "step" not in self.latest or self.parting.ask(within_s)

    def _withdrawn(self) -> frozenset[str]:
        """Scenes that are withdrawn from this job, or from the one whose handles it uses."""
        return withdrawn_scenes(self.storage).union(withdrawn_scenes(self.earlier) if self.earlier else ())

    def _note(self, word: dict[str, Any]) -> None:
        self.latest = word


def _keep(parts: PartsWriter, output: SceneOutput) -> Outcome:
    """Adds what is final to the unit's parts."""
    if output.failure is None:
        parts.add(output)
        return Outcome(output.scene_id, False)
    if not output.failure.final:
        return Outcome(output.scene_id, True, output.failure)
    parts.add(output)
    return Outcome(output.scene_id, True)


StageWorker = ray.remote(StageWorkerImpl)
