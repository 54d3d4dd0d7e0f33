"""The `generate` section of the job spec: new pictures of the learned concepts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from schemas.fields import BATCHES, Strict, field

_PICTURES = ("num_images", "num_images_per_prompt", "n_images", "num_samples", "n_samples", "num_validation_images")


class Generate(Strict):
    """New pictures of the learned concepts."""

    prompts: list[str] = field(
        ["a photo of {handles} at the beach", "a photo of {handles} in the snow"],
        "Templates; `{handles}` becomes `<asset0> and <asset1> ...`.",
        min_length=1,
        also=("prompt", "validation_prompt", "validation_prompts"),
    )
    subsets: list[Literal["singles", "pairs", "union", "all"]] | list[list[int]] = field(
        ["singles", "union"],
        "Which handles appear together: `singles` each alone, `pairs` every two, `union` all at once, `all` every "
        "subset but the empty one; or lists of concept indices such as [[0], [0, 2]]: of a list that names a concept "
        "which a scene does not have, it gets no picture.",
        min_length=1,
        also=("concepts", "combinations"),
    )
    images_per_prompt: int = field(4, "Pictures per prompt and subset.", ge=1, also=_PICTURES)
    sampler: Literal["dpmsolver++", "ddim", "euler", "unipc"] = field(
        "dpmsolver++",
        "Sampler. It is built over the base's own betas and spacing of steps; options of the sampler that the base was "
        "saved with (clipping, Karras' sigmas, a stochastic solver) are not used.",
        also=("scheduler",),
    )
    steps: int = field(
        30, "Sampler steps.", ge=1, also=("steps", "num_inference_steps", "inference_steps", "sample_steps")
    )
    guidance: float = field(
        7.5,
        "Classifier-free guidance scale; 1 or less: none.",
        ge=0,
        also=("guidance", "guidance_scale", "cfg", "cfg_scale", "scale"),
    )
    negative_prompt: str = field(
        "",
        "Negative prompt. An empty one is what the base's own pipeline does without: the empty text, or zeros for "
        "an SDXL base with `force_zeros_for_empty_prompt`.",
        also=("negative", "negative_prompts"),
    )
    format: Literal["png", "jpg", "webp"] = field(
        "png", "File format of the pictures.", also=("image_format", "output_format")
    )
    batch: int = field(
        16, "Pictures made at once on one worker; memory and speed, not results.", ge=1, result=False, also=BATCHES
    )

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
