"""What `status` and the report say of a job that goes through some of the stages only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands.status import status_lines
from pipeline.ledger.rounds import FAILURES
from pipeline.report.page import write_report
from pipeline.shards.pack import pack_rows
from pipeline.stage_kinds import INGEST, SEGMENT
from tests.support.sample_output import SampleOutput


@pytest.fixture
def sample(tmp_path: Path) -> SampleOutput:
    """Both shards through ingest and segment, and their failures committed."""
    found = SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT))
    for shard in range(found.plan.shards):
        pack_rows(found.storage, FAILURES, shard, 0, {FAILURES: []})
    return found


def test_a_job_of_the_first_stages_is_finished_after_them(sample: SampleOutput) -> None:
    """As the scenes of an evaluation are; whoever followed other advice would train in their folder."""
    record = json.loads(sample.storage.read("run.json"))
    sample.storage.write("run.json", json.dumps(record | {"stages": ["ingest", "segment"]}).encode())
    lines = status_lines(sample.storage)
    assert "finished" in lines
    assert [line.split()[0] for line in lines[1:3]] == ["ingest", "segment"]
    assert not any("extract" in line for line in lines)
    assert "Unfinished" not in Path(write_report(sample.storage)).read_text()


def test_a_job_of_all_stages_is_not(sample: SampleOutput) -> None:
    """A record that does not say which stages it has is of all of them; a commit that was deleted is work to do."""
    assert any("2 shards to go; `unscene run`" in line for line in status_lines(sample.storage))
    assert "Unfinished" in Path(write_report(sample.storage)).read_text()
