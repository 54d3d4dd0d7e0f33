"""What can be said of a base model without loading it: whether it is one, how large its pictures are, which
cross-attention maps it has.

The driver calls these, so nothing here imports torch; `loading` loads the weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.models.base.process import check_interval, check_steps, read_process
from stages.models.place import bundled, read_json

PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
"""Folders of a base model in StableDiffusionPipeline layout."""
XL_PARTS = ("tokenizer_2", "text_encoder_2")
"""What StableDiffusionXLPipeline adds."""
REPAIRED_SIZE = 64
"""`sample_size` that StableDiffusionPipeline gives a UNet whose conversion, before diffusers 0.9, wrote less."""


def model_side(base: str, revision: str | None = None) -> int:
    """Side of the base model's pictures: the UNet's sample size times the VAE's factor. Unit: pixels."""
    check_layout(base, revision)
    sample = unet_config(base, revision).get("sample_size")
    blocks = read_config(base, "vae/config.json", revision).get("block_out_channels")
    if isinstance(sample, list):
        if len(set(sample)) != 1:
            raise SpecError(
                f"models.base: {base} makes pictures that are not square (sample_size {sample}); "
                f"name a base model with a square sample_size"
            )
        sample = sample[0]
    if not isinstance(sample, int) or not blocks:
        raise SpecError(
            f"models.base: {base} has no sample_size in unet/config.json or no "
            f"block_out_channels in vae/config.json; name a model in StableDiffusionPipeline "
            f"layout"
        )
    return sample * int(2 ** (len(blocks) - 1))


def attention_sides(base: str, revision: str | None = None) -> list[int]:
    """Sides of the UNet's cross-attention maps outside its mid block, largest first. Unit: latent elements."""
    config = unet_config(base, revision)
    down, up = config.get("down_block_types", []), config.get("up_block_types", [])
    size = config["sample_size"]
    side = size if isinstance(size, int) else size[0]
    levels = {level for blocks in (down, reversed(up)) for level, kind in enumerate(blocks) if "CrossAttn" in kind}
    return [math.ceil(side / 2**level) for level in sorted(levels)]


def check_base(spec: JobSpec) -> int:
    """Whether the spec's base is one, and its settings fit it, by its configuration alone; returns `model_side`."""
    base, revision = bundled(spec.models.base, "models.base"), spec.models.revision
    side = model_side(base, revision)
    check_map_side(spec.extract.attention_maps, attention_sides(base, revision))
    xl = len(text_encoder_names(check_layout(base, revision))) > 1
    process = read_process(base, xl, revision)
    check_steps(spec, process)
    check_interval(spec, process)
    return side


def check_map_side(side: int | None, sides: Sequence[int]) -> None:
    """Raises SpecError for a `side` that the base model has no cross-attention maps at; None is the paper's."""
    if side is not None and side not in sides:
        raise SpecError(
            f"extract.attention_maps: the base model has no cross-attention maps of side {side}; "
            f"choose one of {', '.join(map(str, sides))}, or leave it out"
        )


def check_layout(base: str, revision: str | None = None) -> dict[str, Any]:
    """The content of model_index.json. Raises a SpecError unless `base` is laid out as
    StableDiffusionPipeline or StableDiffusionXLPipeline saves it, with every part there.
    """
    index = read_config(base, "model_index.json", revision)
    here = {name for name, entry in index.items() if isinstance(entry, list) and entry and entry[0]}
    second = here & set(XL_PARTS)
    if second and not here & {"tokenizer", "text_encoder"}:
        raise SpecError(
            f"models.base: {base} has no first text encoder, as an SDXL refiner: it refines "
            f"pictures and cannot learn handles; name the SDXL base model that goes with it"
        )
    missing = [part for part in (*PARTS, *(XL_PARTS if second else ())) if part not in here]
    if missing:
        kind = "StableDiffusionXLPipeline" if second else "StableDiffusionPipeline"
        raise SpecError(
            f"models.base: {base} is not in {kind} layout (model_index.json lacks "
            f"{', '.join(missing)}); save an SD 1.x, SD 2.x or SDXL model with "
            f"{kind}.save_pretrained"
        )
    return index


def text_encoder_names(index: dict[str, Any]) -> list[str]:
    """Folders of the text encoders of a model_index.json that `check_layout` has passed, in order."""
    return ["text_encoder", "text_encoder_2"] if (index.get("text_encoder_2") or [None])[0] else ["text_encoder"]


def unet_config(base: str, revision: str | None = None) -> dict[str, Any]:
    """The UNet's configuration, with the sample_size that the base's own pipeline works at."""
    config = read_config(base, "unet/config.json", revision)
    return config | repair(config)


def repair(unet: Mapping[str, Any]) -> dict[str, Any]:
    """What StableDiffusionPipeline changes in a UNet's configuration as it loads it.

    SD 1.x was converted with a sample_size of 32 before November 2022; so old a `_diffusers_version` makes that 64.
    StableDiffusionXLPipeline changes nothing.
    """
    size, version = unet.get("sample_size"), unet.get("_diffusers_version")
    found = re.match(r"(\d+)\.(\d+)", version) if isinstance(version, str) else None
    old = found is not None and tuple(map(int, found.groups())) < (0, 9)
    if not old or unet.get("addition_embed_type") is not None or not isinstance(size, int) or size >= REPAIRED_SIZE:
        return {}
    return {"sample_size": REPAIRED_SIZE}


def read_config(base: str, name: str, revision: str | None = None) -> dict[str, Any]:
    """A JSON file of the base model, by its path inside. Raises SpecError where there is none."""
    return read_json(base, name, "models.base", revision)
