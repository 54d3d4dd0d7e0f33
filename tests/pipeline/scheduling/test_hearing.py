"""Warnings of the code that works on a scene go with its unit's answer: few, short, with the scene they are about."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pipeline.scheduling.hearing import MOST, Hearing
from pipeline.scheduling.worker import StageWorkerImpl
from pipeline.shards.unit import Unit
from pipeline.watching.watcher import Said
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from stages.stage import StageContext

LOG = logging.getLogger("stages.somewhere")


class Talkative:
    """A stage that warns while it starts, and of each of its scenes."""

    needs: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: JobSpec, context: StageContext) -> None: ...

    def prepare(self) -> None: ...

    def setup(self) -> None:
        LOG.warning("the driver is old")

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        for task in tasks:
            LOG.warning("scene %s looks odd", task.scene_id)
            yield SceneOutput(task.scene_id)


def test_they_come_with_the_answer_for_their_unit(tmp_path: Path) -> None:
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": str(tmp_path / "out")})
    worker = StageWorkerImpl(f"{__name__}:Talkative", spec, str(tmp_path / "out"), None)
    assert worker.setup(prepare=True) is None
    LOG.warning("nobody listens between two units")
    first, second = worker.run(Unit("extract", 0, 0, ("a1", "b2"), {"a1": {}, "b2": {}}, {}))
    assert first.said == (
        Said("the driver is old"),
        Said("scene a1 looks odd", scene_id="a1"),
        Said("scene b2 looks odd", scene_id="b2"),
    )
    assert second.said == ()
    (alone,) = worker.run(Unit("extract", 0, 0, ("c3",), {"c3": {}}, {}))
    assert alone.said == (Said("scene c3 looks odd", scene_id="c3"),)
    assert not logging.getLogger("stages").handlers, "nothing is left behind"


def test_a_unit_that_warns_without_end_sends_a_bounded_answer() -> None:
    hearing = Hearing()
    with hearing.open(("a1",)):
        for _ in range(10_000):
            LOG.warning("x" * 10_000)
        logging.getLogger("urllib3").warning("not ours")
    found = hearing.take()
    assert len(found) == MOST + 1
    assert sum(len(one.text) for one in found) < 20_000
    assert found[-1].text.startswith(f"{10_000 - MOST} more warnings")
    assert hearing.take() == ()


def test_what_cannot_be_put_in_words_costs_nothing() -> None:
    hearing = Hearing()
    hearing.handle(logging.LogRecord("stages.x", logging.ERROR, __file__, 1, "scene %s of %d", ("a1",), None))
    assert hearing.take() == (Said("scene %s of %d", "error"),)
