"""The worker around a stage: what it hands to it, and what it makes of the failures that come out. Without Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.ledger.withdrawals import FOLDER
from pipeline.scheduling.worker import StageWorkerImpl
from pipeline.storage.folder import SHARED, Storage
from schemas.job import JobSpec
from schemas.records import SceneOutput, SceneTask
from stages.stage import StageContext


class Attentive:
    """A stage that keeps what it was given."""

    needs: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.context = context

    def prepare(self) -> None: ...

    def setup(self) -> None: ...

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        yield from ()


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
