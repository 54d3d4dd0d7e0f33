"""Where Ray takes no metrics the job goes on, and says so once."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.scheduling import ray_meter
from pipeline.scheduling.ray_meter import RayMeter


class Refusing:
    def __init__(self, *_: Any) -> None:
        raise RuntimeError("no agent here")


def test_labels_are_in_the_letters_that_ray_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    class Taking:
        def __init__(self, *_: Any) -> None: ...

        def set(self, value: float, tags: dict[str, str]) -> None:
            given.append(tags)

    monkeypatch.setattr(ray_meter, "Gauge", Taking)
    RayMeter().put("unscene_left_seconds", 3.0, {"output": "/Mëin Ordner/out"})
    assert given == [{"output": "/M\\xebin Ordner/out"}]


def test_metrics_that_are_off_cost_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("Counter", "Gauge"):
        monkeypatch.setattr(ray_meter, kind, Refusing)
    meter = RayMeter()
    for _ in range(3):
        meter.put("unscene_left_seconds", 3.0, {"output": "out"})
        meter.add("unscene_written_bytes_total", 3, {"output": "out", "stage": "ingest"})
    assert capsys.readouterr().err == "Ray takes no metrics (RuntimeError: no agent here); the job goes on without\n"
