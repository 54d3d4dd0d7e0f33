"""The worker around a stage: what it hands to it, and what it makes of the failures that come out. Without Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.ledger.withdrawals import FOLDER
from pipeline.scheduling.worker import StageWorkerImpl
from pipeline.shards.parts import find_parts, part_name, work_folder, write_part
from pipeline.shards.unit import Unit
from pipeline.storage.folder import SHARED, Storage
from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput, SceneTask
from stages.stage import StageContext, failed
from stages.telling import tell

ERRORS = {
    "slow": TimeoutError("storage is slow today"),
    "odd": SceneError("no picture"),
    "cuda": RuntimeError("CUDA error: device-side assert triggered"),
}


class Attentive:
    """A stage that keeps what it was given, and fails with a scene's error."""

    needs: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.context = context

    def prepare(self) -> None: ...

    def setup(self) -> None: ...

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        for task in tasks:
            yield failed(task.scene_id, ERRORS[task.scene_id])


@pytest.fixture
def worker(tmp_path: Path) -> StageWorkerImpl:
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": str(tmp_path / "out")})
    made = StageWorkerImpl(f"{__name__}:Attentive", spec, str(tmp_path / "out"), None)
    assert made.setup(prepare=True) is None
    return made


def test_the_worker_builds_the_stage_s_context(worker: StageWorkerImpl, tmp_path: Path) -> None:
    context, storage = worker.stage.context, Storage(str(tmp_path / "out"))
    assert context.shared == storage.url_of(SHARED)
    context.progress({"step": 3})
    assert worker.progress() == {"step": 3}
    assert context.withdrawn() == frozenset()
    storage.create(f"{FOLDER}/scene5", b"")
    assert context.withdrawn() == {"scene5"}


def test_what_is_withdrawn_where_the_handles_are_is_not_drawn_here(tmp_path: Path) -> None:
    """A job of another's handles drew its withdrawn scenes all the same."""
    spec = JobSpec.model_validate({"source": {"handles": str(tmp_path / "first")}, "output": str(tmp_path / "out")})
    made = StageWorkerImpl(f"{__name__}:Attentive", spec, str(tmp_path / "out"), str(tmp_path / "first"))
    assert made.setup(prepare=True) is None
    Storage(str(tmp_path / "first")).create(f"{FOLDER}/odd", b"")
    assert made.stage.context.withdrawn() == {"odd"}
    made.run(Unit("generate", 0, 0, ("odd",), {"odd": {}}, {}))
    failure = find_parts(Storage(str(tmp_path / "out")), work_folder("generate", 0, 0))["odd"].failure
    assert failure is not None
    assert (failure.error, failure.attempt) == ("Withdrawn", 0), "nobody has tried it"


def test_a_worker_that_is_to_part_waits_for_the_state_of_what_trains(worker: StageWorkerImpl) -> None:
    parting = worker.stage.context.parting
    assert worker.part(60.0), "nothing trains, and nothing is waited for"
    assert not parting.due
    worker.stage.context.progress({"step": 3})
    assert not worker.part(0.0)
    assert parting.due
    worker.run(Unit("extract", 0, 0, ("odd",), {"odd": {}}, {}))
    assert worker.part(0.0), "the unit's parts are there"


def test_only_a_failure_of_the_scene_s_own_is_not_tried_again(worker: StageWorkerImpl, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    names = ("slow", "odd", "cuda")
    slow, odd, cuda = worker.run(Unit("extract", 0, 0, names, {name: {} for name in names}, {}))
    assert slow.retry is not None
    assert slow.retry.error == "TimeoutError"
    assert not slow.retry.suspect, "the network is nobody's fault"
    assert cuda.retry is not None
    assert cuda.retry.suspect
    parts = find_parts(storage, work_folder("extract", 0, 0))
    assert list(parts) == ["odd"], "what is kept is final"
    assert odd.failed
    assert odd.retry is None
    failure = parts["odd"].failure
    assert failure is not None
    assert failure.error == "SceneError"


def test_what_a_driver_that_is_gone_found_does_not_go_before_what_a_new_attempt_makes(
    worker: StageWorkerImpl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had given a scene up, and was killed before the others of the unit were made."""
    storage = Storage(str(tmp_path / "out"))
    given_up = SceneOutput("bb", failure=Failure("bb", "ProcessDied", "its process died"))
    write_part(storage, part_name("extract", 0, 0, "bb"), given_up)
    monkeypatch.setattr(Attentive, "process", lambda self, tasks: (SceneOutput(task.scene_id) for task in tasks))
    outcomes = worker.run(Unit("extract", 0, 0, ("aa", "bb"), {"aa": {}, "bb": {}}, {}))
    assert [outcome.failed for outcome in outcomes] == [False, False]
    parts = find_parts(storage, work_folder("extract", 0, 0))
    assert {scene: part.failure for scene, part in parts.items()} == {"aa": None, "bb": None}


def test_a_worker_tells_what_it_is_at_and_forgets_the_unit_before(worker: StageWorkerImpl) -> None:
    assert worker.progress() == {}, "set up, and at nothing"
    worker.stage.context.progress({"share": 0.5})
    with pytest.raises(KeyError):
        worker.run(Unit("extract", 0, 0, ("strange",), {"strange": {}}, {}))
    assert worker.progress() == {}


def test_a_worker_tells_what_it_is_at_while_it_starts(worker: StageWorkerImpl, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict] = []
    monkeypatch.setattr(Attentive, "prepare", lambda self: (seen.append(worker.progress()), tell("drawing")))
    monkeypatch.setattr(Attentive, "setup", lambda self: seen.append(worker.progress()))
    assert worker.setup(prepare=True) is None
    assert seen == [{"doing": "loading models"}, {"doing": "loading models"}]
    monkeypatch.setattr(Attentive, "setup", lambda self: (tell("drawing"), seen.append(worker.progress())))
    assert worker.setup(prepare=False) is None
    assert seen[-1] == {"doing": "drawing"}


@pytest.mark.parametrize("begun", [True, False])
def test_parts_are_looked_for_only_where_there_may_be_some(
    begun: bool, worker: StageWorkerImpl, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(Storage, "names", lambda storage, name: looked.append(name) or {})
    worker.run(Unit("extract", 0, 0, ("odd",), {}, begun=begun))
    assert (work_folder("extract", 0, 0) in looked) is begun
