"""The job spec: one YAML file, one strict pydantic tree.

Every field says what it is, its unit and its default; `docs/job-spec.md` is generated from them. Fields marked
`result=False` change how a job runs but not what it makes, and stay out of the fingerprint (invariant 4).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import model_validator

from schemas.bundled import with_bundled
from schemas.cluster import Cluster, Workers
from schemas.evaluate import Evaluate
from schemas.extract import Extract, Phase, Prior
from schemas.fields import Strict, field
from schemas.generate import Generate
from schemas.models import Models
from schemas.notify import Notify
from schemas.protocol import Protocol

__all__ = ["Cluster", "Evaluate", "Extract", "Generate", "JobSpec", "Models", "Phase", "Prior", "Workers"]


class Source(Strict):
    """Where the pictures come from."""

    uri: str | None = field(
        None,
        "Folder, glob or single file, as any fsspec URL (`s3://bucket/night`, `/data/*.jpg`, `zip://::photos.zip`). "
        "Folders are searched recursively.",
        result=False,
        min_length=1,
        also=(
            *("path", "url", "folder", "dir", "bucket", "images", "pictures", "input_dir", "image_dir", "images_dir"),
            *("data_dir", "train_data_dir", "instance_data_dir", "dataset_name"),
        ),
    )
    handles: str | None = field(
        None,
        "OUTPUT of an earlier job: skip to generation with the handles it learned. Instead of `uri`.",
        result=False,
        min_length=1,
        also=("resume_from", "resume_from_checkpoint"),
    )
    suffixes: list[str] = field(
        [
            *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jpe", ".jfif"),
            *(".avif", ".heic", ".heif"),
        ],
        "File names that count as pictures, when `uri` is a folder. HEIC needs `pip install pillow-heif`.",
        result=False,
        also=("extensions", "file_types"),
    )
    masks: Literal["none", "beside", "coco"] = field(
        "none",
        "Where masks come from: `none` (Segment Anything makes them), `beside` (`mask0.png ...` in the "
        "picture's folder, or `<stem>.mask0.png ...`, or `<stem>.jpg.mask0.png ...` where two pictures share a stem), "
        "`coco` (an instances JSON).",
        also=("mask", "mask_dir", "masks_dir"),
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
        also=("annotations", "annotation_file", "instances"),
    )
    crowds: Literal["use", "skip"] = field(
        "use",
        "Annotations of `coco` that are marked `iscrowd`: `use` them as objects, since CVAT marks each mask of its "
        "brush so, or `skip` them, since COCO's own are regions of many objects.",
    )
    links: Literal["follow", "inside"] = field(
        "follow",
        "Symbolic links of a source on a disk: `follow` them wherever they lead (files that lie outside the source are "
        "counted and told), or read `inside` the source only, as is right for a folder that strangers can write to.",
        result=False,
        also=("symlinks", "follow_symlinks"),
    )
    limit: int | None = field(
        None,
        "Take only the first so many files in sorted order. Unit: files.",
        ge=1,
        result=False,
        also=("max_images", "max_files", "max_train_samples", "max_scenes"),
    )
    storage_options: dict[str, Any] = field(
        {},
        "Passed to fsspec for `uri`. Credentials belong in the environment, not here; run.json keeps `***` in their "
        "place, so that a retry wants the spec.",
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

    square: Literal["crop", "pad"] = field(
        "crop", "Make pictures square: `crop` the centre or `pad` with grey.", also=("center_crop", "crop")
    )
    max_pixels: int = field(
        100_000_000, "Larger pictures are refused before decoding. Unit: pixels.", ge=1, result=False
    )
    max_pixels_per_byte: int = field(
        10_000,
        "Pictures and masks whose header claims more pixels for each byte of the file are refused before decoding, as "
        "a few bytes could otherwise take gigabytes. No photograph comes near; an empty PNG of one bit has 8,256. "
        "Unit: pixels per byte.",
        ge=1,
        result=False,
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
    min_area: float = field(
        0.02,
        "Smallest concept. Unit: share of the picture.",
        ge=0,
        le=1,
        also=("min_size", "min_mask_area", "min_mask_region_area"),
    )
    max_area: float = field(
        0.60, "Largest concept. Unit: share of the picture.", ge=0, le=1, also=("max_size", "max_mask_area")
    )
    max_border: float = field(0.35, "Masks with a larger share of the picture's border are background.", ge=0, le=1)
    duplicate_iou: float = field(0.7, "Of two masks that overlap more (IoU), the better one stays.", ge=0, le=1)
    part_containment: float = field(
        0.8, "A mask with more of itself inside a larger kept one is a part of it.", ge=0, le=1
    )
    max_concepts: int = field(
        4,
        "At most so many concepts a scene; the method is best with 4 or fewer.",
        ge=1,
        le=16,
        also=("num_of_assets", "max_masks", "num_concepts"),
    )
    background: bool = field(False, "The background (complement of all concepts) is one more concept.")
    vocabulary: list[Annotated[str, MinLen(1)]] = field(
        [],
        "Words to name concepts by, such as [dog, mug, teddy bear]: each concept that brings no word of its own gets "
        "the one that `models.clip` finds most like it. Handles start from it and scores read prompts with it. Empty: "
        "no words.",
        also=("words", "classes", "labels", "class_names"),
    )

    @model_validator(mode="after")
    def _some_area(self) -> Segment:
        if self.min_area > self.max_area:
            raise ValueError(
                f"segment.min_area ({self.min_area:g}) is above segment.max_area ({self.max_area:g}), so that no mask "
                "would be a concept; exchange them, or set the other one too"
            )
        return self


class Pack(Strict):
    """How results are cut into shards."""

    scenes_per_shard: int = field(
        64,
        "Scenes in one shard of every folder. The plan keeps the cut it was made "
        "with; a change is for scenes that come later.",
        ge=1,
        result=False,
        also=("shard_size", "samples_per_shard", "maxcount"),
    )


class JobSpec(Strict):
    """A whole job."""

    source: Source = field(..., "Where the pictures come from.", also=("dataset", "data", "input", "inputs"))
    output: str = field(
        ...,
        "Where everything lands: a folder, as any fsspec URL.",
        result=False,
        min_length=1,
        also=("out", "output_dir", "out_dir", "output_path", "save_dir", "outdir", "destination"),
    )
    seed: int = field(
        0,
        "Seed of every random stream, together with the scene's own id.",
        ge=0,
        also=("random_seed", "manual_seed", "generator"),
    )
    models: Models = field(Models(), "Pretrained models.")
    ingest: Ingest = field(Ingest(), "Reading pictures.")
    segment: Segment = field(Segment(), "Finding concepts.", also=("segmentation",))
    extract: Extract = field(Extract(), "Learning handles.", also=("train", "training", "extraction", "learn"))
    generate: Generate = field(Generate(), "Making variations.", also=("generation", "inference", "sampling", "sample"))
    evaluate: Evaluate = field(Evaluate(), "Scoring variations.", also=("evaluation", "scoring"))
    pack: Pack = field(Pack(), "Cutting shards.", also=("packing", "shards"))
    protocol: Protocol = field(Protocol(), "Comparing methods (`unscene evaluate`).", result=False)
    cluster: Cluster = field(Cluster(), "Running.", result=False, also=("ray", "resources"))
    notify: Notify = field(Notify(), "Telling that a run has ended.", result=False, also=("notification", "on_end"))

    @model_validator(mode="after")
    def _has_what_is_accelerated(self) -> JobSpec:
        if self.generate.accelerate is not None and self.extract.tuning == "full":
            raise ValueError(
                "generate.accelerate is laid under a scene's factors, and extract.tuning: full puts weights of its own "
                "in the place of the base's; take tuning: lora, or take accelerate out"
            )
        return self

    @property
    def judging(self) -> Segment:
        """`segment` as the judges of variations have it."""
        found = self.segment
        return found.model_copy(update={"points_per_side": self.evaluate.grid(found.points_per_side, found.min_area)})

    @property
    def judges_sam(self) -> tuple[str, Literal["models.sam", "evaluate.sam"]]:
        """The segmenter of the judges, and the field that names it."""
        own = self.evaluate.sam
        return (self.models.sam, "models.sam") if own is None else (own, "evaluate.sam")

    @model_validator(mode="before")
    @classmethod
    def _fill_bundled(cls, given: Any) -> Any:
        return with_bundled(given) if isinstance(given, dict) else given
