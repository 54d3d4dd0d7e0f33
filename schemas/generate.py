"""The `generate` section of the job spec: new pictures of the learned concepts, or the concepts placed into a real
picture."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator, model_validator

from schemas.fields import BATCHES, Strict, field
from schemas.templates import check_template, named_in

_PICTURES = ("num_images", "num_images_per_prompt", "n_images", "num_samples", "n_samples", "num_validation_images")

DISTILLED, MOST_DISTILLED = ("lcm", "tcd"), 50
"""Samplers over the steps that their weights were distilled on, and how many those are."""
PLACED = {"prompts": ["a photo of {handles}"], "subsets": ["singles"]}
"""What `mode: place` has where the spec says nothing: the surroundings are there, and a region has room for a thing."""


SAMPLER_OF = {
    "lcm": "lcm",
    "dmd2": "lcm",
    "tcd": "tcd",
    "hyper": "ddim_trailing",
    "lightning": "euler_trailing",
}
"""What step-distilled weights are called -> the sampler that they were distilled for."""


class Place(Strict):
    """Where `mode: place` draws."""

    region: Literal["replace", "add", "given"] = field(
        "replace",
        "`replace`: where another concept of the scene is, each of those that the picture does not ask for in turn; a "
        "scene without another one gets no picture. Of the background, if it is a concept, that is the scene without "
        "the other. `add`: a place drawn by the seed, as large as the concept itself, that covers no concept; smaller, "
        "down to half, where none of that size is free, and then the place that covers least. The background is not "
        "added. `given`: into other real pictures, those of `given`, where their masks are.",
    )
    given: str | None = field(
        None,
        "Folder of pictures, as any fsspec URL, with masks beside them (as for `source.masks: beside`), for `region: "
        "given`. Each scene begins somewhere among them, by the seed, and takes them in turn; pictures without a mask "
        "are left out.",
        result=False,
        min_length=1,
    )
    shape: Literal["box", "mask"] = field(
        "box",
        "`box`: all of the box around that concept, so that a thing of another outline has room; `mask`: its own "
        "outline. What other concepts cover and this one does not is left out of either.",
    )
    grow: float = field(
        0.03,
        "How far the region reaches beyond that box or outline, so that nothing is left of what stood there. Unit: "
        "share of the picture's side.",
        ge=0,
        le=0.25,
        also=("dilate", "dilation", "padding"),
    )
    hide: bool = field(
        True,
        "While it is drawn, the real picture is seen without the concept where it stands already, with the colours "
        "around it in its place; in the result it stands there as before. `false`: it is seen, and then often taken "
        "for the one that was asked for, so that the region is filled with ground.",
    )
    align: bool = field(
        True,
        "While it is drawn, the real picture is seen moved, so that the region lies where the concept stood when it "
        "was learned; the result is not moved. `false`: it is seen as it lies, as in Blended Latent Diffusion itself.",
    )


class Generate(Strict):
    """New pictures of the learned concepts, or the concepts placed into a real one."""

    mode: Literal["variations", "place"] = field(
        "variations",
        "`variations`: whole new pictures. `place`: the concept is drawn inside a region of a real picture, and "
        "every pixel outside it stays (local editing by Blended Latent Diffusion). `place` has the `prompts` "
        "[a photo of {handles}] and the `subsets` [singles] where the spec says nothing.",
        also=("edit", "inpaint", "inpainting"),
    )
    place: Place = field(Place(), "Where `mode: place` draws.")
    prompts: list[str] = field(
        ["a photo of {handles} at the beach", "a photo of {handles} in the snow"],
        "Templates; `{handles}` becomes `<asset0> and <asset1> ...`, for each of `subsets`. A template may name "
        "concepts one by one instead, by index or by word: `a photo of {0} beside {cat}`. It is then drawn for these, "
        "whatever `subsets` says; a scene without one of them gets no picture of it. Each name stands for a concept of "
        "its own: a word (that its handle started from) for the first of that word which has no index in the template.",
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
    accelerate: str | None = field(
        None,
        "Step-distilled LoRA of the same base, laid under every scene's own factors: a .safetensors file in diffusers' "
        "or kohya's names, the folder of one, or `OWNER/NAME[/FILE]` of the Hub (LCM-LoRA, Hyper-SD, TCD, DMD2). With "
        "it, where the spec says nothing, `steps` is as many as the name says (`8steps`) or 4, `guidance` 0, and "
        "`sampler` the one of its kind, if its name tells the kind.",
        min_length=1,
        also=("lcm_lora", "distilled", "lora", "acceleration"),
    )
    sampler: Literal["dpmsolver++", "ddim", "euler", "unipc", "ddim_trailing", "euler_trailing", "lcm", "tcd"] = field(
        "dpmsolver++",
        "Sampler. The last four are those of step-distilled weights: DDIM and Euler with their steps counted from the "
        "end (Hyper-SD, Lightning), LCM and TCD, which add noise between steps. It is built over the base's own betas "
        "and spacing of steps; options of the sampler that the base was saved with (clipping, Karras' sigmas, a "
        "stochastic solver) are not used.",
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
    guidance_interval: tuple[float, float] | None = field(
        None,
        "Guidance only where the noise level lies between these two, low < sigma <= high; a step outside costs half "
        "(Kynkaanniemi et al. 2024; [0.28, 5.42] is theirs for SDXL). None: at every step. Unit: noise over signal, "
        "0.03 to 14.6 for Stable Diffusion.",
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

    @model_validator(mode="before")
    @classmethod
    def _fill_placed(cls, given: Any) -> Any:
        placed = isinstance(given, dict) and given.get("mode") == "place"
        return {**PLACED, **given} if placed else given

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Generate:
        if self.sampler in DISTILLED and self.steps > MOST_DISTILLED:
            raise ValueError(
                f"generate.steps: {self.steps} is more than the {MOST_DISTILLED} steps that generate.sampler: "
                f"{self.sampler} has; ask for 4 to 8, or take another sampler"
            )
        if self.guidance_interval is None:
            return self
        low, high = self.guidance_interval
        if not 0 <= low < high:
            raise ValueError(
                f"generate.guidance_interval: [{low:g}, {high:g}] holds no noise level; give the lower one first, from "
                "0 on"
            )
        if self.guidance <= 1:
            raise ValueError(
                f"generate.guidance_interval says where to guide, and generate.guidance: {self.guidance:g} guides "
                "nowhere; take one of them out"
            )
        return self

    @model_validator(mode="after")
    def _can_place(self) -> Generate:
        if self.mode != "place":
            if self.place != Place():
                raise ValueError("generate.place is read with generate.mode: place alone; set it, or take place out")
            return self
        if (self.place.region == "given") != (self.place.given is not None):
            raise ValueError(
                "generate.place.region: given and generate.place.given (a folder of pictures with masks) go together"
            )
        if self.format != "png":
            raise ValueError(
                f"generate.mode: place keeps the pixels outside the region as they are, and generate.format: "
                f"{self.format} does not; write png"
            )
        together = not all(map(named_in, self.prompts))
        if self.replaces and together and self.subsets == ["union"]:
            raise ValueError(
                "generate.place.region: replace needs a concept that the picture does not ask for, and "
                "generate.subsets: union asks for all; take subsets: [singles], or place.region: add"
            )
        return self

    @property
    def replaces(self) -> bool:
        """Whether concepts are drawn where others of their scene are."""
        return self.mode == "place" and self.place.region == "replace"

    @model_validator(mode="before")
    @classmethod
    def _fill_distilled(cls, given: Any) -> Any:
        name = given.get("accelerate") if isinstance(given, dict) else None
        if not isinstance(name, str):
            return given
        sampler = given.get("sampler") or _sampler_of(name)
        if sampler is None:
            raise ValueError(
                f"generate.accelerate: nothing in {name} tells how it is sampled; set generate.sampler, as its page "
                "says: lcm (LCM, DMD2), tcd (TCD), ddim_trailing (Hyper-SD) or euler_trailing (Lightning)"
            )
        file = name.replace("\\", "/").split("/")[-1].lower()
        if _WITH_GUIDANCE.search(file) and "guidance" not in given:
            raise ValueError(
                f"generate.accelerate: {name} is by its name one that wants guidance (CFG); set generate.guidance as "
                "its page says, or to 0"
            )
        said = {int(steps) for steps in _STEPS.findall(file)}
        steps = said.pop() if len(said) == 1 else 4
        return {"steps": steps, "guidance": 0.0, **given, "sampler": sampler}

    @field_validator("prompts")
    @classmethod
    def _have_handles(cls, value: list[str]) -> list[str]:
        return [check_template(prompt) for prompt in value]

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


_STEPS = re.compile(r"(?<![0-9])([1-9][0-9]?)[-_ ]?steps?(?![a-z])")
_WITH_GUIDANCE = re.compile(r"(?<![a-z])cfg(?![a-z])")


def _sampler_of(name: str) -> str | None:
    """By the one kind that the file or its folder is called after; None where that is none, or several."""
    words = "/".join(name.lower().replace("\\", "/").split("/")[-2:])
    found = {sampler for kind, sampler in SAMPLER_OF.items() if kind in words}
    return found.pop() if len(found) == 1 else None
