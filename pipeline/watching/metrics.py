"""Numbers of a running job for Prometheus: what there is, and the watcher that tells it.

The driver is the one place that knows, so it tells all of them. Where they go is a `Meter`'s business
(`pipeline.scheduling.ray_meter`); Ray puts `ray_` before each name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.watching.counts import JobCounts
from pipeline.watching.watcher import NOTHING, About, Crew, InHand, Said

PREFIX = "ray_"
"""What Ray puts before a name."""
_EVERY_S = 5.0


@dataclass(frozen=True)
class Metric:
    """A name of Prometheus: what it means, and its labels besides `output`, the OUTPUT that the job writes."""

    kind: Literal["counter", "gauge"]
    meaning: str
    labels: tuple[str, ...] = ()


METRICS = {
    "unscene_scenes": Metric(
        "gauge", "Scenes of the job, earlier runs included. state: done, failed, left.", ("stage", "state")
    ),
    "unscene_scenes_ended_total": Metric(
        "counter", "Scenes that this run is through with. state: done, failed.", ("stage", "state")
    ),
    "unscene_scene_seconds": Metric(
        "gauge", "Seconds that a scene takes while the stage is at work, with all its workers.", ("stage",)
    ),
    "unscene_worker_busy_seconds_total": Metric("counter", "Seconds that workers had a unit, summed.", ("stage",)),
    "unscene_workers": Metric("gauge", "Workers. state: busy, starting, idle.", ("stage", "state")),
    "unscene_gpus": Metric(
        "gauge", "GPUs. state: cluster (all there are), held (by workers), busy (by workers that have a unit)."
        " What a device itself is at, Ray tells.", ("state",)
    ),
    "unscene_gpu_busy_seconds_total": Metric(
        "counter", "Seconds that GPUs were held by workers that had a unit, summed.", ("stage",)
    ),
    "unscene_written_bytes_total": Metric("counter", "Bytes of the shards that were committed.", ("stage",)),
    "unscene_shards_written_total": Metric("counter", "Shards that were committed.", ("stage",)),
    "unscene_retries_total": Metric(
        "counter",
        "What was tried again. what: scene (one more attempt), unit (in halves), worker (replaced), setup, node "
        "(lost), store (away), packer (a shard to be written).",
        ("stage", "what"),
    ),
    "unscene_warnings_total": Metric("counter", "Warnings of workers, as in _logs/.", ("stage",)),
    "unscene_left_seconds": Metric("gauge", "Seconds to the end of the job, of the stages that are measured."),
    "unscene_done_ratio": Metric("gauge", "Share of the job's work that is done, by time, once it is known."),
}  # fmt: skip


class Meter(Protocol):
    """Where numbers go. Neither is to raise."""

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None: ...
    def put(self, name: str, value: float, labels: Mapping[str, str]) -> None: ...


class Metrics:
    """Tells a meter how a job is. counts: those that the run keeps anyway. output: its label, an OUTPUT's address that
    may be told. crews: asked for the workers of each stage, and the GPUs of the cluster, once there are any."""

    def __init__(self, counts: JobCounts, output: str, meter: Meter) -> None:
        self.counts, self.meter = counts, meter
        self.crews: Callable[[], tuple[Mapping[str, Crew], float]] | None = None
        self._labels = {"output": output}
        self._at, self._told_at = time.monotonic(), float("-inf")

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        self._add("unscene_scenes_ended_total", done, stage=stage, state="done")
        self._add("unscene_scenes_ended_total", failed, stage=stage, state="failed")

    def shard_packed(self, stage: str, shard: int, done: int, failed: int, size: int = 0) -> None:
        self._add("unscene_shards_written_total", 1, stage=stage)
        self._add("unscene_written_bytes_total", size, stage=stage)

    def event(self, text: str, about: About = NOTHING) -> None:
        if about.retry is not None:
            self._add("unscene_retries_total", 1, stage=about.stage or "", what=about.retry)

    def warned(self, stage: str, shard: int, said: Sequence[Said]) -> None:
        self._add("unscene_warnings_total", len(said), stage=stage)

    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None:
        """Adds up what the time since the last turn was used for; every few seconds tells how things stand."""
        now = time.monotonic()
        passed, self._at = now - self._at, now
        crews, gpus = self.crews() if self.crews is not None else ({}, 0.0)
        for stage, crew in crews.items():
            self._add("unscene_worker_busy_seconds_total", crew.busy * passed, stage=stage)
            self._add("unscene_gpu_busy_seconds_total", crew.busy * crew.gpus * passed, stage=stage)
        if now - self._told_at >= _EVERY_S:
            self._told_at = now
            self._tell(crews, gpus)

    def close(self) -> None:
        """The run has ended: no worker is left. What was counted stays as it is."""
        crews, gpus = self.crews() if self.crews is not None else ({}, 0.0)
        self._tell({stage: Crew(0, 0, 0, 0.0) for stage in crews}, gpus)

    def _tell(self, crews: Mapping[str, Crew], gpus: float) -> None:
        for stage in self.counts.states():
            for state, number in (("done", stage.done), ("failed", stage.failed), ("left", stage.left)):
                self._put("unscene_scenes", number, stage=stage.name, state=state)
            if stage.scene_s is not None:
                self._put("unscene_scene_seconds", stage.scene_s, stage=stage.name)
        job = self.counts.job()
        if job.left_s is not None:
            self._put("unscene_left_seconds", job.left_s)
        if job.share is not None:
            self._put("unscene_done_ratio", job.share)
        for name, crew in crews.items():
            for state, number in (("busy", crew.busy), ("starting", crew.starting), ("idle", crew.idle)):
                self._put("unscene_workers", number, stage=name, state=state)
        self._put("unscene_gpus", gpus, state="cluster")
        self._put("unscene_gpus", sum(c.gpus * (c.busy + c.starting + c.idle) for c in crews.values()), state="held")
        self._put("unscene_gpus", sum(c.gpus * c.busy for c in crews.values()), state="busy")

    def _add(self, name: str, value: float, **labels: str) -> None:
        if value > 0:
            self.meter.add(name, value, {**self._labels, **labels})

    def _put(self, name: str, value: float, **labels: str) -> None:
        self.meter.put(name, value, {**self._labels, **labels})
