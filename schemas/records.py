"""The tables that land on storage: one Arrow schema each, every field with its description.

Writers cast to these schemas and never infer one from rows, so an empty shard has the same columns as a full one.
"""

from __future__ import annotations

import pyarrow as pa


def _field(name: str, type_: pa.DataType, doc: str, nullable: bool = True) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"description": doc})


RLE = pa.struct([pa.field("size", pa.list_(pa.int32())), pa.field("counts", pa.string())])
"""COCO run-length encoding: `size` is [height, width], `counts` the compressed string; pycocotools decodes it."""

PLAN = pa.schema(
    [
        _field("shard", pa.int64(), "Shard number; the same in every folder.", False),
        _field("position", pa.int64(), "Place within the shard.", False),
        _field("uri", pa.string(), "Where the source file is.", False),
        _field(
            "scene_id",
            pa.string(),
            "First 16 hex digits of the SHA-256 of the file's bytes, or of its URI if the file could not be read.",
            False,
        ),
        _field("sha256", pa.string(), "SHA-256 of the file's bytes; null if it could not be read."),
        _field("bytes", pa.int64(), "Size of the file. Unit: bytes."),
        _field("duplicate_of", pa.string(), "URI of the planned file with the same bytes, if there is one."),
        _field("error", pa.string(), "Why the file could not be read, if so."),
        _field("stamp", pa.string(), "Size and times (or content tag) by which a later run sees that it changed."),
        _field("masks", pa.list_(pa.string()), "Its masks: addresses of files, or ids of annotations, in their order."),
        _field("masks_sha256", pa.string(), "One SHA-256 over all its masks; null without, or if one is unreadable."),
        _field("masks_stamp", pa.string(), "The stamps of its mask files, hashed together."),
        _field("entry", pa.string(), "Id of the picture in the annotation file, if it stands there."),
        _field("masks_error", pa.string(), "Why it is not known which masks are its own, or one cannot be read."),
        _field("gone", pa.bool_(), "Whether the file had left the source when a run last looked."),
    ]
)

NOT_READ = "not read: its scene failed before"
"""`reason` of a mask that nobody came to look at."""
OUTSIDE_CROP, EMPTY, TOO_SMALL = "outside the crop", "empty", "too small"
"""How the `reason` of a mask begins that has nothing to show in the square, or too little to be learned."""
SOURCE_MASK = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("number", pa.int32()),
        pa.field("reason", pa.string()),
        pa.field("crowd", pa.bool_()),
    ]
)
"""A mask that a picture came with: address of its file or id of its annotation; its number among the masks in the tar,
or null and the reason why it is not among them; whether its annotation is marked `iscrowd`."""

SCENES = pa.schema(
    [
        _field("scene_id", pa.string(), "First 16 hex digits of `sha256`: the scene's identity everywhere.", False),
        _field("uri", pa.string(), "Where the source file was.", False),
        _field("sha256", pa.string(), "SHA-256 of the source file's bytes."),
        _field("bytes", pa.int64(), "Size of the source file. Unit: bytes."),
        _field("status", pa.string(), "`ok`, `failed` or `duplicate` (same bytes as another file).", False),
        _field("error", pa.string(), "Why it failed, or which file it repeats."),
        _field("format", pa.string(), "File format as decoded: JPEG, PNG ..."),
        _field("width", pa.int32(), "Width as decoded, after EXIF rotation. Unit: pixels."),
        _field("height", pa.int32(), "Height as decoded, after EXIF rotation. Unit: pixels."),
        _field("pages", pa.int32(), "Pages or frames in the file; the first is the picture."),
        _field(
            "remarks",
            pa.list_(pa.string()),
            "What the file says of itself and was not taken at its word, such as a damaged colour profile.",
        ),
        _field("side", pa.int32(), "Side of the prepared square picture. Unit: pixels."),
        _field(
            "box",
            pa.list_(pa.int32()),
            "Region of the decoded picture that the square shows: [x0, y0, x1, y1]; beyond "
            "its edges where it was padded. Unit: pixels.",
        ),
        _field("words", pa.list_(pa.string()), "Words of the given masks, in their order; null where unknown."),
        _field(
            "masks",
            pa.list_(SOURCE_MASK),
            "Every mask that the file came with: `name` (address of its file, or id of its annotation), `number` "
            "(`<scene_id>.mask<number>.png` in the tar), or null and the `reason` why it is not used, `crowd` (whether "
            "it is marked `iscrowd`; null where that is not known).",
        ),
    ]
)

CONCEPTS = pa.schema(
    [
        _field("scene_id", pa.string(), "The scene.", False),
        _field("index", pa.int32(), "Number of the concept in its scene, from 0.", False),
        _field("mask", RLE, "Mask on the prepared square picture, as COCO RLE.", False),
        _field("bbox", pa.list_(pa.int32()), "[x, y, width, height] of the mask. Unit: pixels.", False),
        _field("area", pa.int64(), "Area of the mask. Unit: pixels.", False),
        _field("area_share", pa.float32(), "Area of the mask as a share of the picture.", False),
        _field("predicted_iou", pa.float32(), "SAM's own estimate of the mask's quality; null for given masks."),
        _field(
            "stability_score", pa.float32(), "How little the mask changes with its threshold; null for given masks."
        ),
        _field("border_share", pa.float32(), "Share of the picture's border that the mask covers.", False),
        _field("score", pa.float32(), "Score of concept selection; null for given masks."),
        _field("word", pa.string(), "Word for the concept, where one is known."),
        _field(
            "word_score",
            pa.float32(),
            "Cosine of the judge CLIP between the concept and its word, where it chose the word from "
            "`segment.vocabulary`; else null.",
        ),
        _field("origin", pa.string(), "`sam`, `own` or `background`.", False),
        _field(
            "given", pa.string(), "The given mask that it is: address of its file, or id of its annotation; else null."
        ),
    ]
)

HANDLES = pa.schema(
    [
        _field("scene_id", pa.string(), "The scene.", False),
        _field("index", pa.int32(), "Number of the concept in its scene, from 0.", False),
        _field("token", pa.string(), "The handle, as it stands in prompts.", False),
        _field("word", pa.string(), "The word it was initialised from.", False),
        _field(
            "word_tokens",
            pa.int32(),
            "Tokens of that word; of several, the handle started from the mean of their embeddings. SDXL: the more of "
            "both tokenizers.",
        ),
        _field(
            "embedding",
            pa.list_(pa.float32()),
            "Row of the text encoder's token embedding; SDXL: of both encoders, side by side.",
            False,
        ),
        _field("tuning", pa.string(), "`lora` or `full`.", False),
        _field("rank", pa.int32(), "Rank of the LoRA factors; null for `full`."),
        _field("steps", pa.list_(pa.int32()), "Optimizer steps of the two phases.", False),
        _field(
            "diffusion_loss", pa.float32(), "Masked diffusion loss of the scene, mean over the last tenth of all steps."
        ),
        _field(
            "attention_loss", pa.float32(), "Cross-attention loss of the scene (unweighted), mean over the last tenth."
        ),
        _field("prior_loss", pa.float32(), "Prior term of the scene, mean over the last tenth."),
        _field(
            "seconds",
            pa.float32(),
            "Time of the batch divided by its scenes; where it went on from a state that was kept, with the time up to "
            "that. Unit: seconds.",
        ),
        _field(
            "file",
            pa.string(),
            "Member of the shard's tar that holds LoRA and embeddings: <scene_id>.safetensors.",
            False,
        ),
    ]
)

VARIATIONS = pa.schema(
    [
        _field("key", pa.string(), "Key of the sample in the shard's tar: <scene_id>-<number>.", False),
        _field("scene_id", pa.string(), "The scene.", False),
        _field("prompt", pa.string(), "Prompt as the model read it, with handles.", False),
        _field("text", pa.string(), "The same prompt with the concepts' words for their handles.", False),
        _field("template", pa.string(), "Template from the job spec.", False),
        _field("concepts", pa.list_(pa.int32()), "Indices of the concepts asked for.", False),
        _field("handles", pa.list_(pa.string()), "Their handles.", False),
        _field("seed", pa.int64(), "Seed of the initial noise (torch CPU generator).", False),
        _field("sampler", pa.string(), "Sampler.", False),
        _field("steps", pa.int32(), "Sampler steps.", False),
        _field("guidance", pa.float32(), "Classifier-free guidance scale.", False),
        _field("width", pa.int32(), "Unit: pixels.", False),
        _field("height", pa.int32(), "Unit: pixels.", False),
        _field("file", pa.string(), "Member of the shard's tar that holds the picture.", False),
        _field(
            "mode",
            pa.string(),
            "`variations`: the whole picture is new; `place`: outside `region` it is a real one, pixel by pixel.",
        ),
        _field("region", RLE, "Where it was drawn, as COCO RLE; also `<key>.region.png` in the tar. Null: everywhere."),
        _field("replaced", pa.int32(), "Index of the concept that stood in the region; null where none was replaced."),
        _field(
            "into",
            pa.string(),
            "Address of the given picture that it was placed into, which is `<key>.source.png` in the tar; null: the "
            "scene's own picture, or none.",
        ),
    ]
)

INSTANCE = pa.struct([pa.field("id", pa.int32()), pa.field("concept", pa.int32()), pa.field("likeness", pa.float32())])
"""A mask that shows a concept in a picture, by the id that it has there."""

SCORES = pa.schema(
    [
        _field("key", pa.string(), "Key of the variation.", False),
        _field("scene_id", pa.string(), "The scene.", False),
        _field("text", pa.string(), "The prompt that it was scored against: words for handles.", False),
        _field("concepts", pa.list_(pa.int32()), "Indices of the concepts asked for.", False),
        _field("file", pa.string(), "Member of the variations' tar that holds the picture.", False),
        _field("prompt_similarity", pa.float32(), "Cosine of picture and `text` by `models.clip`.", False),
        _field(
            "identity_similarity",
            pa.float32(),
            "Mean of `identity`: how much the concepts asked for are still themselves.",
            False,
        ),
        _field(
            "identity",
            pa.list_(pa.float32()),
            "For each concept asked for, in the order of `concepts`, cosine by `models.identity` of the masked concept "
            "in the source picture and the mask of the variation that is given to it, outside black.",
            False,
        ),
        _field(
            "found",
            pa.list_(pa.int32()),
            "For every concept of the scene, asked for or not, by index: how many separate masks show it.",
            False,
        ),
        _field("found_at", pa.float32(), "Cosine from which on a mask counted as a concept: `evaluate.found_at`."),
        _field("words", pa.list_(pa.string()), "For each concept asked for, its word; null where it has none."),
        _field(
            "boxes",
            pa.list_(pa.list_(pa.int32())),
            "For each concept asked for, the box around all that its label in `mask` shows: x, y, width, height; null "
            "where it was not found. Unit: pixels.",
        ),
        _field(
            "likeness",
            pa.list_(pa.float32()),
            "For each concept asked for, how sure that is: the highest cosine of a mask that counts as it; null where "
            "it was not found.",
        ),
        _field("complete", pa.bool_(), "Whether every concept asked for was found exactly once.", False),
        _field("contrast", pa.float32(), "Standard deviation of brightness, as a share of full brightness.", False),
        _field(
            "copy_similarity",
            pa.float32(),
            "Highest pixel correlation, mirrored or not, with the source picture and with earlier pictures of the same "
            "prompt.",
            False,
        ),
        _field(
            "copy_of",
            pa.string(),
            "What it is nearly the same as: key of an earlier variation, or `source`; null if it is its own picture.",
        ),
        _field("collapsed", pa.bool_(), "Whether the picture is flat.", False),
        _field(
            "keep",
            pa.bool_(),
            "Whether it passes all that `evaluate` asks for: `evaluate.concepts` and its thresholds.",
            False,
        ),
        _field("reason", pa.string(), "Why it is not kept; null if it is."),
        _field("mask", pa.string(), "Member of the scores' tar that holds the masks found: <key>.mask.png.", False),
        _field("mode", pa.string(), "`mode` of the variation: `variations` or `place`."),
        _field(
            "instance",
            pa.string(),
            "Member of the scores' tar that has an id for each of these masks: <key>.instance.png. Null, as the next "
            "two: scored by an Unscene that gave none.",
        ),
        _field(
            "instances",
            pa.list_(INSTANCE),
            "For each mask in `instance`: its `id`, from 1, the index of its `concept`, and its `likeness` with it, "
            "null where it stands in the real picture beside `region`, by the scene's own mask.",
        ),
        _field(
            "together",
            pa.list_(pa.float32()),
            "For every concept of the scene, by index: the cosine of all its masks as one, where several were drawn; "
            "else null. As high as the best `likeness` among them: they may be one thing in pieces.",
        ),
    ]
)

FAILURES = pa.schema(
    [
        _field("stage", pa.string(), "Stage in which the scene failed.", False),
        _field("scene_id", pa.string(), "The scene.", False),
        _field("uri", pa.string(), "Where the source file is."),
        _field("error", pa.string(), "Class of the error.", False),
        _field("message", pa.string(), "The error in words.", False),
        _field("traceback", pa.string(), "Traceback of the worker; null when the process died or hung."),
        _field(
            "attempt", pa.int32(), "Attempts made, this one included; 0 where it was withdrawn before the first.", False
        ),
    ]
)

ACCOUNT = pa.schema(
    [
        _field(
            "kind",
            pa.string(),
            "`file`, `annotation`, `page` (more pages or frames of a file), `gone file` (a scene whose file has left "
            "the source), `given file` (of `generate.place.given`, and not drawn into), or `withdrawal` (of a scene "
            "that was made already).",
            False,
        ),
        _field("uri", pa.string(), "The file; of an annotation, the annotation file.", False),
        _field("annotation", pa.string(), "Id of the annotation."),
        _field(
            "outcome",
            pa.string(),
            "`scene`, `duplicate`, `mask` (used as one or not), `left out` or `withdrawn`.",
            False,
        ),
        _field("reason", pa.string(), "Why it was left out or not used, in a few words to count by; null if used."),
        _field("detail", pa.string(), "The same in a sentence, where there is more to say."),
        _field("scene_id", pa.string(), "The scene that it is, repeats, or is a mask of."),
        _field("concepts", pa.list_(pa.int32()), "Of a mask or annotation: the indices of its concepts."),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "scenes": SCENES,
    "concepts": CONCEPTS,
    "handles": HANDLES,
    "variations": VARIATIONS,
    "scores": SCORES,
    "failures": FAILURES,
    "account": ACCOUNT,
}

PROTOCOL = pa.schema(
    [
        _field("method", pa.string(), "Method or ablation.", False),
        _field("measure", pa.string(), "What is measured: `prompt`, `identity`, `complete` ...", False),
        _field("versus", pa.string(), "Null: the measure itself. Else: its difference from this method's."),
        _field("mean", pa.float64(), "Mean over scenes of the scenes' means.", False),
        _field("low", pa.float64(), "Lower end of the 95 % bootstrap interval; null below two scenes."),
        _field("high", pa.float64(), "Upper end."),
        _field("scenes", pa.int32(), "Scenes with a value (a difference: of both methods).", False),
        _field("pictures", pa.int32(), "Pictures behind the mean; null for a difference."),
        _field("failures", pa.int32(), "Scenes of the method that failed.", False),
        _field("expected", pa.string(), "`rises` or `falls`: what the paper says of the difference, where it does."),
        _field("verdict", pa.string(), "`agrees`, `opposite` or `within noise`, by the interval."),
    ]
)
"""`OUTPUT/protocol/results.parquet` of an evaluation: no table of a job, so it is not among `TABLES`."""


def scene_id_of(sha256: str) -> str:
    """The scene's identity: the first 16 hex digits of the hash of its bytes (invariant 1)."""
    return sha256[:16]
