"""An OUTPUT that was begun when `evaluate.complete_only` was a field is read, and says by which rule it kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger.earlier_names import by_todays_names
from pipeline.ledger.run_record import recorded_spec, start_record
from pipeline.shards.quality import thresholds
from pipeline.stage_kinds import EXTRACT, INGEST
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from schemas.job import JobSpec


def spec(output: Path, **evaluate: Any) -> JobSpec:
    return JobSpec.model_validate({"source": {"uri": "photos"}, "output": str(output), "evaluate": evaluate})


def begun(folder: Path, complete_only: bool = False, **evaluate: Any) -> Storage:
    """An OUTPUT at work whose run.json is as an earlier version wrote it."""
    storage = Storage(str(folder))
    start_record(storage, spec(folder, **evaluate), [INGEST.name, EXTRACT.name])
    record = json.loads(storage.read("run.json"))
    for tree, prefix in ((record["spec"]["evaluate"], ""), (record["fields"], "evaluate.")):
        del tree[f"{prefix}concepts"]
        tree[f"{prefix}complete_only"] = complete_only
        tree[f"{prefix}found_at"] = 0.8
    storage.write("run.json", json.dumps({**record, "fingerprint": "of other names"}).encode())
    storage.create("_work/evaluate/something", b"")
    return storage


@pytest.mark.parametrize(("before", "now"), [(False, "any"), (True, "complete")])
def test_scored_outputs_say_what_they_were_kept_by(tmp_path: Path, before: bool, now: str) -> None:
    storage = begun(tmp_path / "out", before, enabled=True)
    evaluate = recorded_spec(storage).evaluate
    assert (evaluate.concepts, evaluate.found_at) == (now, 0.8)
    assert thresholds(evaluate) == ("concepts complete" if before else "")


def test_a_scored_output_goes_on_by_its_own_rule_and_by_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    storage = begun(folder, enabled=True)
    with pytest.raises(OutputError, match=r"evaluate.concepts: 'any' -> 'found'; evaluate.found_at: 0.8 -> 'auto'"):
        start_record(storage, spec(folder, enabled=True), [INGEST.name, EXTRACT.name])
    start_record(storage, spec(folder, enabled=True, concepts="any", found_at=0.8), [INGEST.name, EXTRACT.name])


def test_one_that_is_not_scored_goes_on_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    storage = begun(folder)
    start_record(storage, spec(folder), [INGEST.name, EXTRACT.name])
    assert recorded_spec(storage) == spec(folder)


def test_other_records_are_left_alone() -> None:
    for record in (
        {},
        {"spec": 3, "fields": []},
        {"spec": {"evaluate": None}},
        {"fields": {"evaluate.concepts": "any"}},
    ):
        assert by_todays_names(record) == record
