"""Invariant 6, the verdict itself: a batch is split until the culprit is alone, and only then is anyone counted."""

from __future__ import annotations

from pathlib import Path

from pipeline.scheduling.blame import Blame
from pipeline.shards.parts import find_parts, work_folder
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage


def test_only_the_culprit_of_a_dying_batch_fails_and_only_after_its_attempts(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    blame = Blame(storage, 3, lambda text, about: None)
    queue, done, failed, calls = [Unit("extract", 0, 0, tuple("abcdefgh"), {})], [], [], 0
    while queue:
        calls += 1
        assert calls < 30, "the job never ends"
        unit = queue.pop(0)
        if "f" not in unit.scene_ids:
            done += unit.scene_ids
            continue
        verdict = blame.suspect(unit, "ProcessDied", "the worker process died", None)
        queue = verdict.again + queue
        if verdict.failed is not None:
            failed += verdict.failed.scene_ids
    assert sorted(done) == list("abcdegh")
    assert failed == ["f"]
    failure = find_parts(storage, work_folder("extract", 0, 0))["f"].failure
    assert failure is not None
    assert (failure.error, failure.attempt) == ("ProcessDied", 3)
