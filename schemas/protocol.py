"""The `protocol` section of the job spec: what `unscene evaluate` runs and how it counts."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import field_validator

from schemas.fields import Strict, field

MethodName = Literal[
    "break_a_scene",
    "ti_m",
    "db_m",
    "cd_m",
    "no_phase1",
    "no_masked_loss",
    "no_attention_loss",
    "no_union_sampling",
]


class Protocol(Strict):
    """The evaluation protocol, `unscene evaluate`: the job's spec, run once a method. No field here
    changes what a method's job makes."""

    methods: list[MethodName] = field(
        list(get_args(MethodName)),
        "What is compared, in this order: the paper's method, its baselines (as in `extract.method`), and the method "
        "with one part left out. Each is a job of its own under OUTPUT/METHOD; its settings go before those of "
        "`extract`.",
        min_length=1,
        result=False,
    )
    resamples: int = field(10_000, "Bootstrap resamples, each of whole scenes.", ge=100, result=False)
    resample_seed: int = field(0, "Seed of the resamples.", ge=0, result=False)
    sample_scenes: int = field(
        4, "Scenes that the page shows, the methods' pictures of one prompt side by side.", ge=0, result=False
    )

    @field_validator("methods")
    @classmethod
    def _each_once(cls, value: list[MethodName]) -> list[MethodName]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there twice")
        return value
