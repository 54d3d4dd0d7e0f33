"""Loading the frozen base model: tokenizer, text encoder, UNet, VAE and the scheduler's configuration.

safetensors only and no remote code (invariant 7): a directory whose weights are pickles is refused with a
remedy.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from schemas.errors import SpecError
from stages.base_model import check_layout

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class BaseModel:
    """A text-to-image base, frozen and in eval mode.

    scheduler: configuration that any diffusers scheduler is built from; dtype: arithmetic of the frozen
    weights.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler: dict[str, Any]
    dtype: torch.dtype
    device: torch.device

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    @property
    def side(self) -> int:
        """Side of the pictures. Unit: pixels."""
        return self.latent_shape[1] * int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def prediction_type(self) -> str:
        return str(self.scheduler.get("prediction_type", "epsilon"))

    def arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """Autocast to the base's dtype; nothing for float32. What trains stays float32 and is cast where it
        is used.
        """
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`: float32 on a CPU, bfloat16 on a GPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return DTYPES[name]


def load_base(base: str, revision: str | None, dtype: torch.dtype, device: torch.device | str) -> BaseModel:
    """The base model from a directory or the Hub. Raises a SpecError that names models.base and the
    remedy.
    """
    check_layout(base, revision)
    where: dict[str, Any] = {"revision": revision}
    try:
        tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer", **where)
        text_encoder = CLIPTextModel.from_pretrained(base, subfolder="text_encoder", dtype=dtype,
                                                     use_safetensors=True, **where)
        unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", torch_dtype=dtype,
                                                    use_safetensors=True, **where)
        vae = AutoencoderKL.from_pretrained(base, subfolder="vae", torch_dtype=dtype, use_safetensors=True,
                                            **where)
        scheduler = dict(DDIMScheduler.load_config(base, subfolder="scheduler", **where))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise SpecError(f"models.base: {base} could not be loaded ({type(error).__name__}: "
                        f"{str(error).strip().splitlines()[0]}); it must be in StableDiffusionPipeline "
                        f"layout with safetensors weights: save it with save_pretrained(..., "
                        f"safe_serialization=True)") from error
    _check_parts(base, unet, scheduler)
    device = torch.device(device)
    for part in (text_encoder, unet, vae):
        part.to(device).eval().requires_grad_(False)
        # Norms compute in float32 under autocast, and on a CPU refuse other weights then.
        for module in part.modules():
            if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
                module.float()
    return BaseModel(tokenizer, text_encoder, unet, vae, scheduler, dtype, device)


def _check_parts(base: str, unet: UNet2DConditionModel, scheduler: dict[str, Any]) -> None:
    if unet.config.in_channels != unet.config.out_channels:
        raise SpecError(f"models.base: {base} is not a plain text-to-image model (its UNet takes "
                        f"{unet.config.in_channels} channels and gives {unet.config.out_channels}); "
                        f"inpainting, depth and upscaling models do not fit: name an SD 1.x or 2.x model")
    kind = scheduler.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise SpecError(f"models.base: {base} predicts {kind!r}; epsilon, v_prediction and sample are "
                        f"supported")
