"""How often a run leaves on storage how far it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.storage.folder import Storage
from pipeline.watching import progress as module
from pipeline.watching.progress import Progress


@pytest.mark.parametrize(("answer_s", "least", "most"), [(0.0, 100, 101), (0.06, 2, 3)])
def test_a_slow_store_is_told_less_often(
    answer_s: float, least: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 shards in 10 s: a snapshot for each cost a driver of many workers most of its time."""
    now, written = [1000.0], [0]

    def write(*what: object) -> None:
        written[0] += 1
        now[0] += answer_s

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "write_snapshot", write)
    progress = Progress(["ingest"], 100, Storage(str(tmp_path)), Console(file=io.StringIO()))
    for shard in range(100):
        progress.shard_packed("ingest", shard, 1, 0)
        progress.tick({})
        now[0] += 0.1
    assert least <= written[0] <= most
    progress.stopping()
    before = written[0]
    progress.tick({})
    assert written[0] == before + 1, "what a person waits for is told at once"
