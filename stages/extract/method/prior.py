"""The prior set: what the base model draws for one fixed prompt, so that phase 2 does not forget it.

Made once a run and shared by all scenes. Kept as the sampler's own latents: decoding them and encoding them
again, as the published script does through its image files, would only add the VAE's error.
"""

from __future__ import annotations

import hashlib
import json

import fsspec
import torch
from safetensors.torch import load, save
from torch import Tensor

from schemas.errors import OutputError, SpecError
from schemas.job import Prior
from stages.handles.scene_model import SceneModel
from stages.models.base.sampler import denoise, initial_latents, make_scheduler
from stages.shared_folder import write_whole
from stages.streams import stream_seed
from stages.telling import tell

SAMPLER = "dpmsolver++"
AT_ONCE = 8


def prior_name(settings: Prior, revision: str, dtype: str, seed: int) -> str:
    """File name that changes with everything that changes the set; the weight of the term does not."""
    content = {
        "base": revision,
        "dtype": dtype,
        "seed": seed,
        "sampler": SAMPLER,
        **settings.model_dump(exclude={"weight"}),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"prior-{digest[:16]}.safetensors"


@torch.no_grad()
def draw_prior(model: SceneModel, settings: Prior, seed: int) -> Tensor:
    """[images, C, h, w], float32, on the CPU: classifier-free guided samples of the plain base model.

    Raises SpecError where they are not finite: every scene would learn nothing from them.
    """
    model.release()
    base, latents = model.base, []
    text = base.text_states(model.tokens.ids(settings.prompt)[None].to(base.device))
    negative = (
        text.zeros_like()
        if base.negative_is_zeros("")
        else base.text_states(model.tokens.ids("")[None].to(base.device))
    )
    for start in range(0, settings.images, AT_ONCE):
        tell(f"drawing the prior set, picture {start} of {settings.images}")
        numbers = range(start, min(start + AT_ONCE, settings.images))
        noise = initial_latents([stream_seed(seed, "prior", str(n)) for n in numbers], base.latent_shape)
        rows = len(numbers)
        latents.append(
            denoise(
                base.predict,
                make_scheduler(SAMPLER, base.scheduler),
                noise.to(base.device),
                settings.steps,
                settings.guidance,
                text.expand(rows),
                negative.expand(rows),
            )
            .float()
            .cpu()
        )
        if not torch.isfinite(latents[-1]).all():
            raise SpecError(
                "models.base: it draws pictures that are not finite for extract.prior.prompt; set models.dtype to "
                "bfloat16 or float32, or name another base model"
            )
    return torch.cat(latents)


def prior_exists(shared: str, name: str) -> bool:
    fs, folder = fsspec.url_to_fs(shared)
    return bool(fs.exists(f"{folder.rstrip('/')}/{name}"))


def save_prior(shared: str, name: str, latents: Tensor) -> None:
    """Complete or not there at all."""
    fs, folder = fsspec.url_to_fs(shared)
    write_whole(fs, folder.rstrip("/"), name, save({"latents": latents.contiguous()}))


def load_prior(shared: str, name: str) -> Tensor:
    """[images, C, h, w], float32. Raises OutputError where what lies there is not finite."""
    fs, folder = fsspec.url_to_fs(shared)
    latents = load(fs.cat_file(f"{folder.rstrip('/')}/{name}"))["latents"]
    if not torch.isfinite(latents).all():
        raise OutputError(
            f"{shared.rstrip('/')}/{name}: the prior set is not finite; delete the file to have it drawn anew"
        )
    return latents
