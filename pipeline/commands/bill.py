"""What the scenes of a job cost, in FLOPs and bytes, from the base model's configuration and the spec alone."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.ledger.commits import read_commit, rounds
from pipeline.storage.folder import Storage
from pipeline.wording import counted, hours_text
from schemas.job import JobSpec

H100_TFLOPS = 790.0
"""What an H100 reaches on large dense bf16 products. Unit: TFLOP/s."""
SHARE_REACHED = 0.40
"""Share of that which training is assumed to reach."""
USUAL_CONCEPTS = 2
"""Concepts a scene, until some are found."""
BYTES_PER_PIXEL = {"png": 1.7, "jpg": 0.6, "webp": 0.4}
"""Usual size of a photograph as the generate stage saves it."""


@dataclass(frozen=True)
class Work:
    """What there is to do. known: scenes of the plan; new: files that no plan holds yet (duplicates show when their
    bytes are read); left: scenes without handles; undrawn: scenes without variations."""

    known: int
    new: int
    shards: int
    left: int
    undrawn: int


@dataclass(frozen=True)
class Bill:
    """What one scene of a job costs.

    concepts, pictures: of a scene; measured: whether the number of concepts is that of scenes learned so far; side:
    pixels; learn, draw: TFLOP for its handles and for all its variations; prior: TFLOP, once a run.
    """

    concepts: int
    measured: bool
    pictures: int
    side: int
    learn: float
    draw: float
    prior: float
    handle_bytes: float
    prepared_bytes: float
    variation_bytes: float

    def total(self, work: Work) -> float:
        """TFLOP of all that is left."""
        return work.undrawn * self.draw + work.left * self.learn + (self.prior if work.left else 0.0)

    def counted_with(self) -> str:
        """The line that says what the numbers assume."""
        source = "as found so far" if self.measured else "a usual number"
        return (
            f"counted with {self.concepts} concepts a scene ({source}) and "
            f"{counted(self.pictures, 'variation')} of each, {self.side} x {self.side} pixels"
        )


def bill(spec: JobSpec, storage: Storage) -> Bill:
    """What a scene of a job costs. storage: the job's, for the concepts that its scenes turned out to have."""
    from stages.generate.prompts import list_variations
    from stages.handles.cost import scene_cost
    from stages.models.check import check_models

    side = check_models(spec)
    cost = scene_cost(spec)
    handles = Storage(spec.source.handles) if spec.source.handles else storage
    concepts, measured = concepts_per_scene(handles)
    names = [str(i) for i in range(max(1, round(concepts)))]
    pictures = len(list_variations("", names, names, spec.generate))
    has_prior = spec.extract.prior.weight > 0 and spec.extract.phase2.steps > 0
    return Bill(
        concepts=len(names),
        measured=measured,
        pictures=pictures,
        side=side,
        learn=0.0 if spec.source.handles else cost["train_tflop"],
        draw=pictures * cost["generate_tflop_picture"],
        prior=cost["prior_set_tflop"] if has_prior and not spec.source.handles else 0.0,
        handle_bytes=cost["handle_bytes"],
        prepared_bytes=BYTES_PER_PIXEL["png"] * side * side,
        variation_bytes=pictures * BYTES_PER_PIXEL[spec.generate.format] * side * side,
    )


def not_counted(spec: JobSpec) -> str:
    """What the FLOPs are of, and what they leave out."""
    rest = ", nor evaluation)" if spec.evaluate.enabled else ")"
    return f"of the UNet (segmentation, text encoder and VAE not counted{rest}"


def gpu_time(tflop: float) -> str:
    """The line that turns FLOPs into hours of an H100."""
    return (
        f"GPU time: {hours_text(gpu_hours(tflop))} of an H100, assumed to reach {SHARE_REACHED:.0%} of its "
        f"~{H100_TFLOPS:.0f} TFLOP/s (bf16, dense)"
    )


def gpu_hours(tflop: float) -> float:
    """Hours of an H100 at the share that it is assumed to reach."""
    return tflop / (H100_TFLOPS * SHARE_REACHED) / 3600


def concepts_per_scene(storage: Storage) -> tuple[float, bool]:
    """(handles a scene in the first shard that has any, True), or (`USUAL_CONCEPTS`, False)."""
    for shard, round_ in sorted(rounds(storage, "extract").items()):
        commit = read_commit(storage, "extract", shard, round_)
        if commit.done:
            return sum(file.rows for file in commit.files) / len(commit.done), True
    return float(USUAL_CONCEPTS), False
