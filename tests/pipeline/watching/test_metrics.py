"""The numbers of a running job for Prometheus, and the dashboard that shows them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.watching.counts import JobCounts
from pipeline.watching.metrics import METRICS, PREFIX, Metrics
from pipeline.watching.watcher import About, Crew, Said
from tests.support import ROOT

DASHBOARD = ROOT / "jobs" / "grafana" / "unscene.json"
OF_RAY = {"ray_node_gpus_utilization": {"GpuIndex", "instance"}}
"""Metrics of Ray itself that the dashboard shows, with the labels that it sums by."""


class Kept:
    """A meter that keeps what it is told: name, labels without the output -> value."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        assert METRICS[name].kind == "counter"
        assert value > 0, "a counter of Ray refuses anything else"
        self.values[self._key(name, labels)] = self.values.get(self._key(name, labels), 0) + value

    def put(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        assert METRICS[name].kind == "gauge"
        self.values[self._key(name, labels)] = value

    def _key(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        assert set(labels) == {"output", *METRICS[name].labels}
        assert labels["output"] == "out"
        return (name, *(labels[label] for label in METRICS[name].labels))


def test_a_run_is_told_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    counts, kept = JobCounts(["ingest", "extract"], 10), Kept()
    counts.restore("ingest", 4, 1)
    metrics = Metrics(counts, "out", kept)
    metrics.tick({})  # before there are workers
    metrics.crews = lambda: ({"ingest": Crew(0, 0, 0, 0.0), "extract": Crew(2, 1, 3, 0.5)}, 8.0)
    now += 10.0
    counts.add("ingest", 3, 0)
    metrics.unit_done("ingest", 3, 0)
    counts.add("extract", 1, 1)
    metrics.unit_done("extract", 1, 1)
    metrics.shard_packed("ingest", 0, 7, 1, 5000)
    metrics.event("a worker met CUDA error", About("extract", level="warning", retry="worker"))
    metrics.event("a word of no account")
    metrics.warned("extract", 0, [Said("odd"), Said("odder")])
    metrics.tick({})
    told = kept.values
    assert told["unscene_scenes", "ingest", "done"] == 7
    assert told["unscene_scenes", "ingest", "failed"] == 1
    assert told["unscene_scenes", "ingest", "left"] == 2
    assert told["unscene_scenes_ended_total", "ingest", "done"] == 3, "what this run has brought"
    assert ("unscene_scenes_ended_total", "ingest", "failed") not in told
    assert told["unscene_scenes_ended_total", "extract", "failed"] == 1
    assert told["unscene_written_bytes_total", "ingest"] == 5000
    assert told["unscene_shards_written_total", "ingest"] == 1
    assert told["unscene_retries_total", "extract", "worker"] == 1
    assert told["unscene_warnings_total", "extract"] == 2
    assert told["unscene_worker_busy_seconds_total", "extract"] == pytest.approx(20)
    assert told["unscene_gpu_busy_seconds_total", "extract"] == pytest.approx(10)
    states = ("busy", "starting", "idle")
    assert [told["unscene_workers", "extract", state] for state in states] == [2, 1, 3]
    assert [told["unscene_gpus", state] for state in ("cluster", "held", "busy")] == [8, 3, 1]
    metrics.close()
    assert [told["unscene_workers", "extract", state] for state in states] == [0, 0, 0]
    assert told["unscene_gpus", "busy"] == 0


def test_names_keep_to_the_customs_of_prometheus() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"unscene_[a-z_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert not re.search(r"_(ms|hours|minutes|kb|mb|percent)(_|$)", name), "base units"
        assert metric.meaning.endswith(".")


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_the_dashboard_asks_for_what_the_code_tells() -> None:
    """Every metric of an expression is there, with the labels that it is selected and summed by."""
    text = json.loads(DASHBOARD.read_text())
    queries = [variable["definition"] for variable in text["templating"]["list"] if variable["type"] == "query"]
    assert len(expressions()) >= len(METRICS)
    for expression in [*expressions(), *queries]:
        names = re.findall(r"\bray_\w+", expression)
        assert names, expression
        labels = set(re.findall(r"(\w+)=~?\"", expression))
        labels |= {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        for name in names:
            known = METRICS.get(name.removeprefix(PREFIX))
            assert known is not None or name in OF_RAY, expression
            has = OF_RAY[name] if known is None else {"output", *known.labels}
            assert labels <= has, f"{expression}: {name} has {has}"


def test_the_page_tells_of_each_number_and_of_no_other() -> None:
    page = (ROOT / "docs" / "watching.md").read_text()
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{name}` | {metric.kind} | {labels} | {metric.meaning} |" in page
    for name in re.findall(r"\b(?:ray_)?(unscene_[a-z_]+)", page):
        assert name in METRICS, name


def test_the_dashboard_has_a_place_for_each_number() -> None:
    shown = {name for text in expressions() for name in re.findall(r"\bray_(unscene_\w+)", text)}
    assert shown == set(METRICS)


def test_counters_are_shown_as_rates_or_sums_and_gauges_never_as_rates() -> None:
    for text in expressions():
        for name in re.findall(r"rate\(ray_(unscene_\w+)", text):
            assert METRICS[name].kind == "counter", text


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    """What its model asks of a dashboard: a schema, panels that do not lie over each other, ids, one data source."""
    board = json.loads(DASHBOARD.read_text())
    assert board["schemaVersion"] >= 39
    assert (board["id"], board["uid"]) == (None, "unscene")
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
