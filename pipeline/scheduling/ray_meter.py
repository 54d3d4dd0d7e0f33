"""The numbers of a job, handed to Ray, whose agent on the driver's machine has them for Prometheus."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from pipeline.watching.metrics import METRICS


class RayMeter:
    """A `pipeline.watching.metrics.Meter`. Where Ray takes no number it says so once, and the job goes on without."""

    def __init__(self) -> None:
        self._made: dict[str, Counter | Gauge] = {}
        self._broken = False

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Raises a counter by so much."""
        self._record(name, value, labels)

    def put(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Sets a gauge."""
        self._record(name, value, labels)

    def _record(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        if self._broken:
            return
        try:
            metric = self._made.get(name) or self._make(name)
            ascii_ = {label: text.encode("ascii", "backslashreplace").decode() for label, text in labels.items()}
            if isinstance(metric, Counter):
                metric.inc(value, ascii_)  # Ray knows no other letters
            else:
                metric.set(value, ascii_)
        except Exception as error:
            self._broken = True
            print(f"Ray takes no metrics ({type(error).__name__}: {error}); the job goes on without", file=sys.stderr)

    def _make(self, name: str) -> Counter | Gauge:
        known = METRICS[name]
        kind = Counter if known.kind == "counter" else Gauge
        self._made[name] = kind(name, known.meaning, ("output", *known.labels))
        return self._made[name]
