"""The `models` section of the job spec: which pretrained models work."""

from __future__ import annotations

from typing import Literal

from schemas.fields import Strict, field


class Models(Strict):
    """Which pretrained models work. `seedling` names the small ones that ship with Unscene."""

    base: str = field(
        "seedling",
        "Text-to-image base in StableDiffusionPipeline (SD 1.x / 2.x) or StableDiffusionXLPipeline (SDXL) layout: "
        "`seedling`, a directory, or a Hugging Face id.",
        also=(
            "model",
            "base_model",
            "model_id",
            "pretrained_model_name_or_path",
            "pretrained_model",
            "checkpoint",
            "unet",
        ),
    )
    revision: str | None = field(
        None, "Revision of `base`, when it is a Hugging Face id.", also=("variant", "branch", "commit")
    )
    sam: str = field(
        "seedling",
        "Segment Anything: `seedling`, a directory, or path / URL of an official checkpoint "
        "(sam_vit_b_01ec64.pth ...).",
        also=("sam_checkpoint", "segment_anything", "segmenter"),
    )
    clip: str = field(
        "seedling",
        "CLIP that judges pictures against prompts (`evaluate`) and concepts against words (`segment.vocabulary`): "
        "`seedling`, a directory, or a Hugging Face id (openai/clip-vit-large-patch14). The seedling's knows the "
        "seedling's pictures only: name another one for photographs.",
        also=("clip_model",),
    )
    identity: str = field(
        "seedling",
        "Image model that judges whether a concept is still itself (`evaluate`): `seedling` (the image tower of its "
        "CLIP), a directory, or a Hugging Face id of a DINO, DINOv2 or CLIP (facebook/dino-vitb16).",
        also=("dino", "dinov2"),
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = field(
        "auto",
        "Arithmetic of the frozen weights. `auto`: float32 on CPU, bfloat16 on CUDA. What trains is float32.",
        also=("mixed_precision", "precision", "torch_dtype", "weight_dtype", "fp16", "bf16"),
    )
