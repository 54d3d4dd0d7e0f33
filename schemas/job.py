"""The job spec: one YAML file, one strict pydantic tree.

Every field says what it is, its unit and its default; `docs/job-spec.md` is generated from this file. Fields marked
`result=False` change how a job runs but not what it makes, and stay out of the fingerprint (invariant 4).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import field_validator, model_validator

from schemas.bundled import with_bundled
from schemas.cluster import Cluster, Pool
from schemas.evaluate import Evaluate
from schemas.fields import Strict, field
from schemas.methods import with_method
from schemas.models import Models
from schemas.protocol import Protocol

__all__ = ["Cluster", "Evaluate", "JobSpec", "Models", "Pool"]


class Source(Strict):
    """Where the pictures come from."""

    uri: str | None = field(
        None,
        "Folder, glob or single file, as any fsspec URL (`s3://bucket/night`, `/data/*.jpg`). "
        "Folders are searched recursively.",
        result=False,
    )
    handles: str | None = field(
        None,
        "OUTPUT of an earlier job: skip to generation with the handles it learned. Instead of `uri`.",
        result=False,
    )
    suffixes: list[str] = field(
        [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"],
        "File names that count as pictures, when `uri` is a folder.",
        result=False,
    )
    masks: Literal["none", "beside", "coco"] = field(
        "none",
        "Where masks come from: `none` (Segment Anything makes them), `beside` (`mask0.png ...` in the "
        "picture's folder, or `<stem>.mask0.png ...`), `coco` (an instances JSON).",
    )
    coco: str | None = field(None, "fsspec URL of the COCO instances JSON, for `masks: coco`.")
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
    max_pixels: int = field(100_000_000, "Larger pictures are refused before decoding. Unit: pixels.", ge=1)
    max_bytes: int = field(200_000_000, "Larger files are refused before reading. Unit: bytes.", ge=1)
    min_side: int = field(16, "Pictures with a shorter side are refused. Unit: pixels.", ge=1)


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


class Phase(Strict):
    """One of the two training phases."""

    steps: int = field(400, "Optimizer steps. 0 leaves the phase out.", ge=0)
    lr: float = field(5e-4, "Constant learning rate.", gt=0)


class Lora(Strict):
    """Low-rank factors around frozen layers of the UNet and the text encoder."""

    rank: int = field(4, "Rank of the factors.", ge=1)
    targets: Literal["cross_kv", "attention", "attention_ff", "attention_ff_conv"] = field(
        "attention_ff",
        "Layers with factors. `cross_kv`: keys and values of the UNet's cross-attention only, and none of the text "
        "encoder (Custom Diffusion's choice). `attention`: all attention projections. `attention_ff`: feed-forward "
        "layers too. `attention_ff_conv`: the UNet's convolutions too.",
    )
    text_encoder: bool = field(
        False,
        "Train factors in the text encoder too (SDXL: in both), as the paper trains the whole of it. They double the "
        "size for little (docs/engine.md).",
    )


class Full(Strict):
    """Full fine-tuning of phase 2, as published."""

    targets: Literal["all", "cross_kv"] = field(
        "all",
        "What trains: `all` of UNet and text encoder, or `cross_kv`, the cross-attention's key and value projections "
        "(Custom Diffusion).",
    )


class Prior(Strict):
    """Prior preservation: pictures of the base model keep it from forgetting (phase 2)."""

    weight: float = field(1.0, "Weight of the prior term; 0 leaves it out.", ge=0)
    prompt: str = field("a photo at the beach", "Prompt of the prior set.")
    images: int = field(100, "Size of the prior set, generated once a run.", ge=1)
    steps: int = field(30, "Sampler steps for the prior set.", ge=1)
    guidance: float = field(7.5, "Guidance for the prior set.", ge=0)


class Extract(Strict):
    """From a picture and its masks to one text handle per concept."""

    method: Literal["break_a_scene", "ti_m", "db_m", "cd_m"] = field(
        "break_a_scene",
        "A name for a bundle of the settings below, filled in where the spec says nothing itself: the paper's method, "
        "or one of its baselines: `ti_m` (textual inversion: phase 1 only), `db_m` (DreamBooth: phase 2 only), `cd_m` "
        "(Custom Diffusion: phase 2 with key and value projections only), all three on pasted pictures.",
        result=False,
    )
    picture: Literal["scene", "pasted"] = field(
        "scene",
        "What a step shows: the whole `scene`, or its concepts `pasted` on a random solid colour (the baselines).",
    )
    phase1: Phase = field(Phase(steps=400, lr=5e-4), "Handle rows only.")
    phase2: Phase = field(
        Phase(steps=400, lr=1e-4),
        "Weights too: LoRA factors, or everything with `tuning: full` (then the paper's rate is 2e-6).",
    )
    tuning: Literal["lora", "full"] = field(
        "lora", "What phase 2 trains. `full` holds one scene at a time and ~5 GB a scene at SD 2.1 size."
    )
    lora: Lora = field(Lora(), "Settings of `tuning: lora`.")
    full: Full = field(Full(), "Settings of `tuning: full`.")
    prior: Prior = field(Prior(), "Prior preservation.")
    union_sampling: bool = field(True, "Random subsets of concepts each step; off: one concept a step.")
    masked_loss: Literal["paper", "area_balanced", "none"] = field(
        "paper",
        "`paper`: masked squared error over all latent elements. `area_balanced`: over the mask's area. "
        "`none`: unmasked (ablation).",
    )
    attention_loss: Literal["mse", "none"] = field("mse", "Cross-attention loss by name; `none`: ablation.")
    attention_maps: int | None = field(
        None,
        "Side of the cross-attention maps that the loss reads. None: of the sides that the base model has maps at, the "
        "nearest to 1/32 of the picture's, as in the paper. Unit: latent elements.",
        ge=1,
    )
    attention_weight: float = field(0.01, "Weight of the cross-attention loss.", ge=0)
    flip: bool = field(True, "Random horizontal flips, masks together with the picture.")
    init_word: str = field("object", "Handles start from this word where the concept has no word of its own.")
    template: str = field("a photo of {handles}", "Training prompt.")
    placeholder: str = field("<asset{index}>", "Handle tokens.")
    adam_beta2: float = field(0.999, "AdamW's second beta.", gt=0, lt=1)
    weight_decay: float = field(1e-2, "AdamW's weight decay.", ge=0)
    clip_norm: float = field(1.0, "Gradient-norm clip, per scene.", gt=0)
    gradient_checkpointing: bool = field(False, "Trade time for memory; same results.", result=False)
    batch: Annotated[int, Ge(1)] | Literal["auto"] = field(
        "auto",
        "Scenes that train side by side on one worker; memory and speed, not results. `auto`: as many as a probe of "
        "the memory allows. A batch that runs out of memory is halved.",
        result=False,
    )
    checkpoint_every_s: float | None = field(
        300,
        "The state of a batch in training is kept so often under OUTPUT, for another worker to go on with if this one "
        "is preempted. None: never. Unit: seconds.",
        gt=0,
        result=False,
    )

    @property
    def trains_text_encoder(self) -> bool:
        """Whether phase 2 changes the text encoder; if not, prompts without handles have the base's own states."""
        if self.tuning == "full":
            return self.full.targets == "all"
        return self.lora.text_encoder and self.lora.targets != "cross_kv"

    @model_validator(mode="before")
    @classmethod
    def _fill_method(cls, given: Any) -> Any:
        return with_method(given) if isinstance(given, dict) else given

    @field_validator("template")
    @classmethod
    def _has_handles(cls, value: str) -> str:
        if "{handles}" not in value:
            raise ValueError("the template needs {handles}")
        return value

    @field_validator("placeholder")
    @classmethod
    def _has_index(cls, value: str) -> str:
        if "{index}" not in value:
            raise ValueError("the placeholder needs {index}")
        return value


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
        "subset but the empty one; or lists of concept indices such as [[0], [0, 2]].",
        min_length=1,
    )
    images_per_prompt: int = field(4, "Pictures per prompt and subset.", ge=1)
    sampler: Literal["dpmsolver++", "ddim", "euler", "unipc"] = field("dpmsolver++", "Sampler.")
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
