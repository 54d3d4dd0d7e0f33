"""What a run on real Ray leaves for whoever was asleep: its log as JSON, its numbers where Prometheus reads."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest

from pipeline.watching.metrics import METRICS
from tests.whole_jobs.test_faults import bucket, id_of, run_toy, toy_spec

pytestmark = pytest.mark.usefixtures("local_ray")


def test_warnings_and_retries_are_in_the_log_and_in_the_metrics(tmp_path: Path) -> None:
    source = bucket(
        tmp_path / "in",
        {"a": "extract:warn two masks are one", "b": "extract:timeout", "c": "", "d": "extract:own"},
    )
    out = tmp_path / "out"
    result, printed = run_toy(toy_spec(source, out, cluster={"max_attempts": 2}))
    assert result.complete
    assert result.log is not None
    lines = [json.loads(line) for line in (out / result.log.json_name).read_text().splitlines()]
    (warned,) = [line for line in lines if "two masks are one" in line["text"]]
    assert (warned["level"], warned["stage"], warned["shard"]) == ("warning", "extract", 0)
    assert "two masks are one" not in printed, "there may be one a scene"
    (again,) = [line for line in lines if line["retry"] == "scene"]
    assert again["scene"] == id_of(source / "b.jpg")
    assert (again["level"], again["stage"], again["shard"]) == ("warning", "extract", 0)
    assert [line["stage"] for line in lines if "committed" in line["text"]] == ["ingest", "extract"]
    told = scraped(str(out), {"unscene_retries_total", "unscene_warnings_total", "unscene_written_bytes_total"})
    assert told["unscene_retries_total", "extract", "scene"] == 1
    assert told["unscene_warnings_total", "extract"] == 1
    assert told["unscene_scenes_ended_total", "ingest", "done"] == 4
    assert told["unscene_scenes_ended_total", "extract", "done"] == 2
    assert told["unscene_scenes_ended_total", "extract", "failed"] == 2
    sizes = sum(file.stat().st_size for file in (out / "handles").iterdir())
    assert told["unscene_written_bytes_total", "extract"] == sizes
    assert told["unscene_worker_busy_seconds_total", "extract"] > 0


def scraped(output: str, wanted: set[str], seconds: float = 90.0) -> dict[tuple[str, ...], float]:
    """What Ray's agent of this machine has for Prometheus of one OUTPUT, once it has what is wanted."""
    import ray

    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    found: dict[tuple[str, ...], float] = {}
    end = time.monotonic() + seconds
    while not wanted <= {key[0] for key in found} and time.monotonic() < end:
        time.sleep(1)
        text = urllib.request.urlopen(address, timeout=10).read().decode()
        for name, labels, value in re.findall(r"^ray_(unscene_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
            has = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
            if has["output"] == output:
                found[name, *(has[label] for label in METRICS[name].labels)] = float(value)
    return found
