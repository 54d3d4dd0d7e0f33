"""The job spec: one YAML file, one strict pydantic tree.

Every field says what it is, its unit and its default; `docs/job-spec.md` is generated from them. Fields marked
`result=False` change how a job runs but not what it makes, and stay out of the fingerprint (invariant 4).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import field_validator, model_validator

from schemas.bundled import with_bundled
from schemas.cluster import Cluster, Workers
from schemas.evaluate import Evaluate
from schemas.extract import Extract, Phase, Prior
from schemas.fields import Strict, field
from schemas.models import Models
from schemas.protocol import Protocol

__all__ = ["Cluster", "Evaluate", "Extract", "JobSpec", "Models", "Phase", "Prior", "Workers"]


class Source(Strict):
    """Where the pictures come from."""

    uri: str | None = field(
        None,
        "Folder, glob or single file, as any fsspec URL (`s3://bucket/night`, `/data/*.jpg`, `zip://::photos.zip`). "
        "Folders are searched recursively.",
        result=False,
        min_length=1,
    )
    handles: str | None = field(
        None,
        "OUTPUT of an earlier job: skip to generation with the handles it learned. Instead of `uri`.",
        result=False,
        min_length=1,
    )
    suffixes: list[str] = field(
        [
            *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jpe", ".jfif"),
            *(".avif", ".heic", ".heif"),
        ],
        "File names that count as pictures, when `uri` is a folder. HEIC needs `pip install pillow-heif`.",
        result=False,
    )
    masks: Literal["none", "beside", "coco"] = field(
        "none",
        "Where masks come from: `none` (Segment Anything makes them), `beside` (`mask0.png ...` in the "
        "picture's folder, or `<stem>.mask0.png ...`, or `<stem>.jpg.mask0.png ...` where two pictures share a stem), "
        "`coco` (an instances JSON).",
    )
    masks_drawn_on: Literal["auto", "shown", "stored"] = field(
        "auto",
        "Which pixels masks were drawn on, where a picture carries an EXIF turn: `shown` (as browsers and viewers show "
        "it), `stored` (as the file holds them, EXIF ignored), `auto` (what the sizes of the masks leave no doubt of; "
        "a scene whose masks fit both fails).",
    )
    coco: str | None = field(
        None,
        "fsspec URL of the COCO instances JSON, for `masks: coco`. A change of it makes those scenes stale whose "
        "annotations it changes.",
        result=False,
        min_length=1,
    )
    crowds: Literal["use", "skip"] = field(
        "use",
        "Annotations of `coco` that are marked `iscrowd`: `use` them as objects, since CVAT marks each mask of its "
        "brush so, or `skip` them, since COCO's own are regions of many objects.",
    )
    limit: int | None = field(
        None, "Take only the first so many files in sorted order. Unit: files.", ge=1, result=False
    )
    storage_options: dict[str, Any] = field(
        {},
        "Passed to fsspec for `uri`. Credentials belong in the environment, not here: this is written to run.json.",
        result=False,
    )

    @model_validator(mode="after")
    def _one_source(self) -> Source:
        if (self.uri is None) == (self.handles is None):
            raise ValueError("give exactly one of source.uri (pictures) and source.handles (an earlier OUTPUT)")
        if (self.masks == "coco") != (self.coco is not None):
            raise ValueError("source.coco (the instances JSON) and source.masks: coco go together")
        return self


class Ingest(Strict):
    """From files to square pictures of the base model's own size."""

    square: Literal["crop", "pad"] = field("crop", "Make pictures square: `crop` the centre or `pad` with grey.")
    max_pixels: int = field(
        100_000_000, "Larger pictures are refused before decoding. Unit: pixels.", ge=1, result=False
    )
    max_bytes: int = field(200_000_000, "Larger files are refused before reading. Unit: bytes.", ge=1, result=False)
    min_side: int = field(16, "Pictures with a shorter side are refused. Unit: pixels.", ge=1, result=False)


class Segment(Strict):
    """From a picture to the 1-4 concepts a person would name."""

    points_per_side: int = field(32, "SAM's grid of point prompts along one side.", ge=1)
    points_per_batch: int = field(64, "Prompts decoded at once; memory, not results.", ge=1, result=False)
    pred_iou_thresh: float = field(0.86, "SAM drops masks whose own quality estimate is lower.", ge=0, le=1)
    stability_score_thresh: float = field(
        0.92, "SAM drops masks that change more under a shifted threshold.", ge=0, le=1
    )
    crop_n_layers: int = field(0, "SAM's extra passes over crops of the picture.", ge=0)
    min_area: float = field(0.02, "Smallest concept. Unit: share of the picture.", ge=0, le=1)
    max_area: float = field(0.60, "Largest concept. Unit: share of the picture.", ge=0, le=1)
    max_border: float = field(0.35, "Masks with a larger share of the picture's border are background.", ge=0, le=1)
    duplicate_iou: float = field(0.7, "Of two masks that overlap more (IoU), the better one stays.", ge=0, le=1)
    part_containment: float = field(
        0.8, "A mask with more of itself inside a larger kept one is a part of it.", ge=0, le=1
    )
    max_concepts: int = field(4, "At most so many concepts a scene; the method is best with 4 or fewer.", ge=1, le=16)
    background: bool = field(False, "The background (complement of all concepts) is one more concept.")
    vocabulary: list[Annotated[str, MinLen(1)]] = field(
        [],
        "Words to name concepts by, such as [dog, mug, teddy bear]: each concept that brings no word of its own gets "
        "the one that `models.clip` finds most like it. Handles start from it and scores read prompts with it. Empty: "
        "no words.",
    )

    @model_validator(mode="after")
    def _some_area(self) -> Segment:
        if self.min_area > self.max_area:
            raise ValueError(
                f"segment.min_area ({self.min_area:g}) is above segment.max_area ({self.max_area:g}), so that no mask "
                "would be a concept; exchange them, or set the other one too"
            )
        return self


class Generate(Strict):
    """New pictures of the learned concepts."""

    prompts: list[str] = field(
        ["a photo of {handles} at the beach", "a photo of {handles} in the snow"],
        "Templates; `{handles}` becomes `<asset0> and <asset1> ...`.",
        min_length=1,
    )
    subsets: list[Literal["singles", "pairs", "union", "all"]] | list[list[int]] = field(
        ["singles", "union"],
        "Which handles appear together: `singles` each alone, `pairs` every two, `union` all at once, `all` every "
        "subset but the empty one; or lists of concept indices such as [[0], [0, 2]]: of a list that names a concept "
        "which a scene does not have, it gets no picture.",
        min_length=1,
    )
    images_per_prompt: int = field(4, "Pictures per prompt and subset.", ge=1)
    sampler: Literal["dpmsolver++", "ddim", "euler", "unipc"] = field(
        "dpmsolver++",
        "Sampler. It is built over the base's own betas and spacing of steps; options of the sampler that the base was "
        "saved with (clipping, Karras' sigmas, a stochastic solver) are not used.",
    )
    steps: int = field(30, "Sampler steps.", ge=1)
    guidance: float = field(7.5, "Classifier-free guidance scale; 1 or less: none.", ge=0)
    negative_prompt: str = field(
        "",
        "Negative prompt. An empty one is what the base's own pipeline does without: the empty text, or zeros for "
        "an SDXL base with `force_zeros_for_empty_prompt`.",
    )
    format: Literal["png", "jpg", "webp"] = field("png", "File format of the pictures.")
    batch: int = field(16, "Pictures made at once on one worker; memory and speed, not results.", ge=1, result=False)

    @field_validator("prompts")
    @classmethod
    def _have_handles(cls, value: list[str]) -> list[str]:
        for prompt in value:
            if "{handles}" not in prompt:
                raise ValueError(f"the prompt {prompt!r} needs {{handles}}")
        return value

    @field_validator("subsets")
    @classmethod
    def _name_concepts(cls, value: list[Any]) -> list[Any]:
        for subset in value:
            if isinstance(subset, str):
                continue
            if not subset:
                raise ValueError("the subset [] names no concept; give it indices such as [0], or take it out")
            if min(subset) < 0:
                raise ValueError(f"the subset {subset} has a negative index; concepts are counted from 0")
            if len(set(subset)) < len(subset):
                raise ValueError(f"the subset {subset} names a concept twice; name each once")
        return value


class Pack(Strict):
    """How results are cut into shards."""

    scenes_per_shard: int = field(
        64,
        "Scenes in one shard of every folder. The plan keeps the cut it was made "
        "with; a change is for scenes that come later.",
        ge=1,
        result=False,
    )


class JobSpec(Strict):
    """A whole job."""

    source: Source
    output: str = field(..., "Where everything lands: a folder, as any fsspec URL.", result=False, min_length=1)
    seed: int = field(0, "Seed of every random stream, together with the scene's own id.", ge=0)
    models: Models = field(Models(), "Pretrained models.")
    ingest: Ingest = field(Ingest(), "Reading pictures.")
    segment: Segment = field(Segment(), "Finding concepts.")
    extract: Extract = field(Extract(), "Learning handles.")
    generate: Generate = field(Generate(), "Making variations.")
    evaluate: Evaluate = field(Evaluate(), "Scoring variations.")
    pack: Pack = field(Pack(), "Cutting shards.")
    protocol: Protocol = field(Protocol(), "Comparing methods (`unscene evaluate`).", result=False)
    cluster: Cluster = field(Cluster(), "Running.", result=False)

    @model_validator(mode="before")
    @classmethod
    def _fill_bundled(cls, given: Any) -> Any:
        return with_bundled(given) if isinstance(given, dict) else given
