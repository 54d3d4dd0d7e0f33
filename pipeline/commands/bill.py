"""What the scenes of a job cost, stage by stage, in FLOPs and bytes, from the models' configurations and the spec
alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.ledger.commits import read_commit, rounds
from pipeline.storage.folder import Storage
from pipeline.wording import counted
from schemas.job import JobSpec
from schemas.templates import named_in
from stages.telling import tell

if TYPE_CHECKING:
    from stages.models.flops import Call

BYTES_PER_PIXEL = {"png": 1.7, "jpg": 0.6, "webp": 0.4}
"""Usual size of a photograph as the generate stage saves it."""
MASK_BYTES, MASK_BYTES_PER_PIXEL = 1024, 0.02
"""Usual size of a variation's mask in its tar: a header and a padded block, and what grows with the picture."""
MASKS = 2
"""Of a variation: which concept is where, and which mask."""
MOST_SCENES = 32
"""The largest batch that `extract.batch: auto` picks on a card."""
STAGES = ("segment", "extract", "generate", "evaluate")
"""The stages that run a model, in order."""
INGEST, PACK = "ingest", "pack"
"""What takes time beside them, and no model: files to prepared pictures, and the results of all stages to shards."""


@dataclass(frozen=True)
class Concepts:
    """How many concepts a scene has, on average. said: how that is known; measured: whether by scenes that were taken
    apart already; sure: whether it is known of every scene of the source, of which those that were may be few."""

    count: float = 2
    said: str = "a usual number"
    measured: bool = False
    sure: bool = False


USUAL = Concepts()
"""Until some are found, or masks say how many."""


@dataclass(frozen=True)
class Work:
    """What there is to do. known: scenes of the plan; new: files that no plan holds yet (duplicates show when their
    bytes are read); left: scenes without handles; undrawn: scenes without variations; unsegmented: scenes in which
    things have still to be looked for, since they bring no masks of their own; unscored: scenes without scores;
    concepts: of a scene, as far as the source tells; uningested: scenes whose pictures are not prepared."""

    known: int
    new: int
    shards: int
    left: int
    undrawn: int
    unsegmented: int = 0
    unscored: int = 0
    concepts: Concepts = USUAL
    uningested: int = 0

    def scenes(self) -> dict[str, int]:
        """Stage -> scenes that it has still to do."""
        models = dict(zip(STAGES, (self.unsegmented, self.left, self.undrawn, self.unscored), strict=True))
        return {INGEST: self.uningested, **models, PACK: max(self.left, self.undrawn, self.unscored)}


@dataclass(frozen=True)
class Needs:
    """Least memory, about. weights: of the base; scene, picture: beside them for each scene in training, and for each
    picture in drawing; segmenter, judges: with their weights, the judges with their segmenter. Unit: bytes."""

    weights: float
    scene: float
    picture: float
    segmenter: float
    judges: float

    def by_stage(self) -> dict[str, float]:
        """Stage -> with one scene or one picture at a time."""
        found = (self.segmenter, self.weights + self.scene, self.weights + self.picture, self.judges)
        return dict(zip(STAGES, found, strict=True))


@dataclass(frozen=True)
class Bill:
    """What one scene of a job costs.

    concepts, pictures: of a scene; measured, known: whether the number of concepts is that of scenes taken apart so
    far, and how it is known; named: whether prompts name concepts, whose pictures every scene is counted with; side:
    pixels; find: TFLOP to look for things in its picture; learn, draw, judge: for its handles, for all its
    variations, for their scores; prior: TFLOP, once a run. segmenter: which one is counted as what, where it is not
    known. low: whether the base computes in 16 bits on a card. steps: of phase 1 and of phase 2; batch: scenes that the
    spec lets train side by side, None where the memory decides; checkpointed: whether it trades time for memory
    already. forward, look, seen: TFLOP of one pass of the UNet, of
    the segmenter for one picture, and of the judges' for a variation. needs: where it was asked for. calls: stage ->
    what a scene asks of the models there, of which find, learn, draw and judge are the sums.
    """

    concepts: int
    measured: bool
    pictures: int
    side: int
    find: float
    learn: float
    draw: float
    judge: float
    prior: float
    handle_bytes: float
    prepared_bytes: float
    variation_bytes: float
    score_bytes: float
    known: str = Concepts.said
    named: bool = False
    segmenter: str | None = None
    low: bool = True
    steps: tuple[int, int] = (0, 0)
    batch: int | None = None
    checkpointed: bool = False
    forward: float = 0.0
    look: float = 0.0
    seen: float = 0.0
    needs: Needs | None = None
    calls: Mapping[str, Sequence[Call]] = field(default_factory=dict)

    def timed(self) -> list[str]:
        """What takes time in this job, in order."""
        models = [stage for stage, tflop in self.by_stage().items() if tflop]
        return [*([INGEST] if self.learn else []), *models, PACK]

    def by_stage(self) -> dict[str, float]:
        """Stage -> TFLOP a scene; the prior set is not in it."""
        return dict(zip(STAGES, (self.find, self.learn, self.draw, self.judge), strict=True))

    def totals(self, work: Work) -> dict[str, float]:
        """Stage -> TFLOP of all that it has left, the prior set in extract."""
        scenes = work.scenes()
        found = {stage: scenes[stage] * tflop for stage, tflop in self.by_stage().items()}
        found["extract"] += self.prior if work.left else 0.0
        return found

    def total(self, work: Work) -> float:
        """TFLOP of all that is left."""
        return sum(self.totals(work).values())

    def bytes_to_come(self, work: Work) -> dict[str, float]:
        """Stage -> bytes that it has still to write; concepts are rows, and next to nothing."""
        return {
            "ingest": work.uningested * self.prepared_bytes,
            "extract": work.left * self.handle_bytes,
            "generate": work.undrawn * self.variation_bytes,
            "evaluate": work.unscored * self.score_bytes,
        }

    def counted_with(self) -> str:
        """The line that says what the numbers assume."""
        return (
            f"counted with {counted(self.concepts, 'concept')} a scene ({self.known}) and "
            f"{counted(self.pictures, 'variation')} of each, {self.side} x {self.side} pixels"
            + ("; concepts that the prompts name are taken to be there" if self.named else "")
            + (f"; {self.segmenter}, which it may not be" if self.segmenter else "")
        )


def bill(spec: JobSpec, storage: Storage, memory: bool = False, concepts: Concepts = USUAL) -> Bill:
    """What a scene of a job costs. storage: the job's, for the concepts that its scenes turned out to have; concepts:
    where none was taken apart yet, or the source is surer. memory: what its stages need of it too, which takes some
    seconds."""
    tell("loading torch, which counts what a scene costs")
    from stages.evaluate.cost import clip_cost, judge_cost
    from stages.generate.cost import draw_calls
    from stages.generate.prompts import list_variations
    from stages.handles.cost import base_cost
    from stages.handles.memory import base_memory
    from stages.models.check import check_models
    from stages.segment.cost import find_calls
    from stages.segment.sam.cost import sam_cost

    tell("counting what a scene costs")
    side = check_models(spec)
    cost = base_cost(spec)
    handles = Storage(spec.source.handles) if spec.source.handles else storage
    if not concepts.sure:
        concepts = concepts_found(handles) or concepts
    names = [str(i) for i in range(max(1, round(concepts.count)))]
    listed = list_variations("", names, _usual_words(spec, names), spec.generate)
    pictures = len(listed)
    learns, judges = not spec.source.handles, spec.evaluate.enabled
    sam = sam_cost(spec.models.sam, spec.segment) if learns else None
    seen = sam_cost(spec.judges_sam[0], spec.judging, spec.judges_sam[1]) if judges else None
    look = sam.calls if sam else ()
    named = clip_cost(spec)[0] if learns and spec.segment.vocabulary else None
    judge = judge_cost(spec) if judges else None
    calls = {
        "segment": find_calls(look, len(names), named) if learns else (),
        "extract": cost.learn if learns else (),
        "generate": draw_calls(spec.generate, cost, listed),
        "evaluate": judge.calls(spec, pictures, len(names), seen.calls) if judge and seen else (),
    }
    find, learn, draw, judged = (sum(call.total for call in calls[stage]) for stage in STAGES)
    low = spec.models.dtype != "float32"
    needs = None
    if memory:
        tell("counting the least memory")
        base = base_memory(spec, cost, low)
        needs = Needs(
            base.weights,
            base.scene,
            base.picture,
            sam.memory if sam else 0.0,
            (seen.memory if seen else 0.0) + (4.0 * judge.weights if judge else 0.0),
        )
    return Bill(
        concepts=len(names),
        measured=concepts.measured,
        pictures=pictures,
        side=side,
        find=find,
        learn=learn,
        draw=draw,
        judge=judged,
        prior=cost.prior_tflop if learns else 0.0,
        handle_bytes=cost.handle_bytes,
        prepared_bytes=BYTES_PER_PIXEL["png"] * side * side,
        variation_bytes=pictures * BYTES_PER_PIXEL[spec.generate.format] * side * side,
        score_bytes=pictures * MASKS * (MASK_BYTES + MASK_BYTES_PER_PIXEL * side * side),
        known=concepts.said,
        named=any(map(named_in, spec.generate.prompts)),
        segmenter=" and ".join(
            dict.fromkeys(f"{one.field} as a {one.kind}" for one in (sam, seen) if one and not one.certain)
        )
        or None,
        low=low,
        steps=(spec.extract.phase1.steps, spec.extract.phase2.steps),
        batch=_batch(spec),
        checkpointed=spec.extract.gradient_checkpointing,
        forward=cost.forward,
        look=sum(call.total for call in look),
        seen=sum(call.total for call in seen.calls) if seen else 0.0,
        needs=needs,
        calls=calls,
    )


def _batch(spec: JobSpec) -> int | None:
    """Scenes that the spec lets train side by side: those of a shard at most, as no batch has scenes of two."""
    if spec.extract.tuning == "full":
        return 1
    asked = MOST_SCENES if spec.extract.batch == "auto" else spec.extract.batch
    most = min(asked, spec.pack.scenes_per_shard)
    return None if most == MOST_SCENES else most


def _usual_words(spec: JobSpec, names: list[str]) -> list[str]:
    """One a concept, in the place of its name: those that the prompts name, as far as there are concepts for them. So a
    scene is counted with the pictures that name them, whether or not it will have them."""
    asked = [name for prompt in spec.generate.prompts for name in named_in(prompt)]
    indexed = {name for name in asked if isinstance(name, int)}
    free = [index for index in range(len(names)) if index not in indexed] or list(range(len(names)))
    words = list(names)
    for index, word in zip(free, dict.fromkeys(name for name in asked if isinstance(name, str)), strict=False):
        words[index] = word
    return words


def concepts_found(storage: Storage) -> Concepts | None:
    """Of the first shard with scenes that have handles, or else concepts; None where there is none yet."""
    for stage in ("extract", "segment"):
        for shard, round_ in sorted(rounds(storage, stage).items()):
            commit = read_commit(storage, stage, shard, round_)
            if commit.done:
                count = sum(file.rows for file in commit.files) / len(commit.done)
                return Concepts(count, "as found so far", measured=True)
    return None
