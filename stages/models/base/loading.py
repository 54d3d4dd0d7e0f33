"""Loading the frozen base model: tokenizers, text encoders, UNet, VAE and the diffusion process.

safetensors only and no remote code (invariant 7): a directory whose weights are pickles is refused with a
remedy.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, PreTrainedModel

from schemas.errors import SpecError
from stages.models.base.base_model import BaseModel, overflows
from stages.models.base.files import REMEDY, check_parts
from stages.models.base.fit import check_length, check_vocabulary
from stages.models.base.layout import check_layout, repair, text_encoder_names
from stages.models.base.process import read_process
from stages.models.whole import check_report

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError)
"""What the libraries raise of a part that they cannot make anything of."""


def load_base(base: str, revision: str | None, dtype: torch.dtype, device: torch.device | str) -> BaseModel:
    """The base model from a directory or the Hub, in StableDiffusionPipeline or StableDiffusionXLPipeline
    layout. Raises a SpecError that names models.base and the remedy.
    """
    check_parts(base, revision)
    index = check_layout(base, revision)
    second = len(text_encoder_names(index)) > 1
    scheduler = read_process(base, second, revision)
    where: dict[str, Any] = {"revision": revision}
    text_encoder = _load(CLIPTextModel, base, "text_encoder", dtype, revision)
    unet = _load(UNet2DConditionModel, base, "unet", dtype, revision)
    unet.register_to_config(**repair(unet.config))
    tokenizer_2 = text_encoder_2 = None
    try:
        tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer", **where)
        vae_config = AutoencoderKL.load_config(base, subfolder="vae", **where)
        if second:
            tokenizer_2 = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer_2", **where)
    except UNREADABLE as error:
        raise _unusable(base, base, error) from error
    vae_dtype = torch.float32 if second and overflows(vae_config, dtype) else dtype
    vae = _load(AutoencoderKL, base, "vae", vae_dtype, revision)
    _check_tokens(base, "tokenizer", tokenizer, "text_encoder", text_encoder)
    if tokenizer_2 is not None:
        text_encoder_2 = _load(CLIPTextModelWithProjection, base, "text_encoder_2", dtype, revision)
        _check_tokens(base, "tokenizer_2", tokenizer_2, "text_encoder_2", text_encoder_2)
    device = torch.device(device)
    loaded = BaseModel(
        tokenizer,
        text_encoder,
        unet,
        vae,
        scheduler,
        dtype,
        device,
        tokenizer_2,
        text_encoder_2,
        second and bool(index.get("force_zeros_for_empty_prompt", True)),
    )
    for part in (*loaded.text_encoders.values(), unet, vae):
        part.to(device).eval().requires_grad_(False)
        # Norms compute in float32 under autocast, and on a CPU refuse other weights then.
        for module in part.modules():
            if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
                module.float()
    return loaded


def _load(kind: type[Any], base: str, part: str, dtype: torch.dtype, revision: str | None) -> Any:
    """One part of the base, whole, or a SpecError that names it."""
    ours = issubclass(kind, PreTrainedModel)
    # diffusers tells a wrong shape in one sentence; transformers in a table, and draws the weight anew if asked for it.
    how: dict[str, Any] = {"dtype": dtype, "ignore_mismatched_sizes": True} if ours else {"torch_dtype": dtype}
    what = f"the {part} of {base}"
    try:
        model, told = kind.from_pretrained(
            base, subfolder=part, use_safetensors=True, output_loading_info=True, revision=revision, **how
        )
    except UNREADABLE as error:
        raise _unusable(base, what, error) from error
    inside = [name for name, _ in model.named_children()] if ours else None
    check_report(told, kind.__name__, what, "models.base", REMEDY, inside)
    return model


def _unusable(base: str, what: str, error: Exception) -> SpecError:
    reason = (str(error).strip().splitlines() or [""])[0].partition(" If you want to instead")[0]
    return SpecError(
        f"models.base: {what} could not be loaded ({type(error).__name__}: {reason}); it must be in "
        f"StableDiffusionPipeline or StableDiffusionXLPipeline layout with safetensors weights: save it with "
        f"save_pretrained(..., safe_serialization=True)"
    )


def _check_tokens(base: str, tokenizer: str, words: CLIPTokenizer, encoder: str, model: Any) -> None:
    """What `check_parts` says of a folder's files, of any base, by what was loaded."""
    check_length(base, tokenizer, words.model_max_length, encoder, int(model.config.max_position_embeddings))
    check_vocabulary(base, tokenizer, words.get_vocab(), encoder, int(model.config.vocab_size))
