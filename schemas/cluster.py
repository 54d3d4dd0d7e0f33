"""The `cluster` section of the job spec: where and how a job runs. Nothing here changes a result."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge

from schemas.fields import Strict, field


class Workers(Strict):
    """The workers of one stage."""

    workers: Annotated[int, Ge(1)] | Literal["auto"] = field(
        "auto", "Actors; `auto`: as many as the cluster's GPUs (or cores) carry.", result=False, also=("num_workers",)
    )
    gpus: Annotated[float, Ge(0)] | Literal["auto"] = field(
        "auto",
        "GPUs an actor; fractions share one. `auto`: 1 where the cluster has any (segment: 0.25; evaluate: 0.5; "
        "ingest: 0), else 0.",
        result=False,
    )
    cpus: float = field(1, "CPU cores an actor reserves.", ge=0, result=False)
    deadline_s: float = field(
        3600,
        "A unit of work that takes longer counts as hanging: its process is killed and the "
        "unit tried again. Unit: seconds.",
        gt=0,
        result=False,
        also=("timeout", "timeout_s", "deadline"),
    )


class Cluster(Strict):
    """Where and how the job runs. Nothing here changes a result."""

    address: str | None = field(
        None,
        "Ray cluster to join (`auto`, `ray://...`). Default: a Ray of its own on this machine.",
        result=False,
        also=("ray_address",),
    )
    cpus: int | None = field(
        None, "Cores of the embedded Ray. Default: all.", ge=1, result=False, also=("cpus", "num_cpus", "cores")
    )
    gpus: int | None = field(
        None, "GPUs of the embedded Ray. Default: all.", ge=0, result=False, also=("gpus", "num_gpus", "gpu")
    )
    ingest: Workers = field(Workers(deadline_s=600), "Workers of ingest.", result=False)
    segment: Workers = field(Workers(deadline_s=1800), "Workers of segment.", result=False)
    extract: Workers = field(Workers(deadline_s=7200), "Workers of extract.", result=False)
    generate: Workers = field(Workers(deadline_s=7200), "Workers of generate.", result=False)
    evaluate: Workers = field(Workers(deadline_s=3600), "Workers of evaluate.", result=False)
    max_attempts: int = field(
        3,
        "A scene whose process dies or hangs alone so many times is a failure.",
        ge=1,
        result=False,
        also=("retries", "max_retries"),
    )
    max_failure_rate: float = field(
        0.5,
        "Stop the job where a larger share of a stage's scenes failed, by no fault of the pictures' own: a machine is "
        "broken, or a store. 1: never.",
        gt=0,
        le=1,
        result=False,
        also=("failure_rate", "max_failures"),
    )
    max_failure_rate_after: int = field(
        50, "Scenes of a stage that a run is to have tried before `max_failure_rate` is looked at.", ge=1, result=False
    )
    max_setup_failures: int = field(3, "Stop the job after so many failed worker set-ups in a row.", ge=1, result=False)
