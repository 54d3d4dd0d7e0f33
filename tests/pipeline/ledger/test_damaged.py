"""A record of the ledger that was cut short is named with its remedy, by status, report and the next run alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.status import status_lines
from pipeline.ledger.plan import read_plan
from pipeline.ledger.repair import repair
from pipeline.ledger.retries import request_round
from pipeline.report.page import write_report
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from tests.support.sample_output import SampleOutput


def looks(storage: Storage) -> None:
    repair(storage, ["ingest", "segment", "extract", "generate", "evaluate"])


@pytest.mark.parametrize("command", [status_lines, write_report, looks])
@pytest.mark.parametrize("data", [b'{"stage": "extract", "sh', b"[]", b"{}", b"\xff\xfe"])
def test_a_damaged_commit_is_named(tmp_path: Path, command: Callable[[Storage], object], data: bytes) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    (tmp_path / "out/_commits/extract/000000.json").write_bytes(data)
    with pytest.raises(
        OutputError, match=r"_commits/extract/000000\.json is damaged \(.*delete it: the next run makes"
    ):
        command(storage)


def test_a_damaged_order_to_retry_is_named(tmp_path: Path) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    request_round(storage, [0])
    (tmp_path / "out/_plan/retry-001.json").write_bytes(b'{"shards": [')
    with pytest.raises(OutputError, match=r"_plan/retry-001\.json is damaged .*`unscene retry` asks again"):
        status_lines(storage)


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_plan_is_named(tmp_path: Path, cut: bool) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    (file,) = (tmp_path / "out/_plan").glob("*.parquet")
    data = file.read_bytes()
    middle = len(data) // 2
    file.write_bytes(
        data[:100]
        if cut
        else data[:middle] + bytes(one ^ 0xFF for one in data[middle : middle + 8]) + data[middle + 8 :]
    )
    with pytest.raises(OutputError, match=rf"_plan/{file.name} is damaged"):
        read_plan(storage)
