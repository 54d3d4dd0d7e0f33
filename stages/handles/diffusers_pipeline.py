"""One scene's learned weights in a diffusers pipeline that is open already, without files between: what the lines of an
export's README do (`diffusers_files`), for several scenes side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from schemas.errors import CommandError
from stages.handles.weights import SceneWeights, unpack_scene
from stages.models.base.layout import check_layout, text_encoder_names
from stages.models.place import bundled

_TWICE = "pipe: it has the handles of {} already; open another pipeline to load them anew"


def base_pipeline(base: str, revision: str | None = None, **options: Any) -> Any:
    """The base model `base` as StableDiffusionPipeline or StableDiffusionXLPipeline, on the CPU, every part in float32.

    options: for `from_pretrained`; one that names a dtype goes before float32. Raises SpecError where there is no such
    base.
    """
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    place = bundled(base, "models.base")
    two = len(text_encoder_names(check_layout(place, revision))) > 1
    kind = StableDiffusionXLPipeline if two else StableDiffusionPipeline
    pipe = kind.from_pretrained(place, revision=revision, **options)
    if not {"dtype", "torch_dtype"} & options.keys():  # the option's name depends on the version of diffusers
        # Left alone, transformers takes the dtype that is on disk and diffusers float32: such a pipeline draws nothing.
        for part in pipe.components.values():
            if isinstance(part, nn.Module) and part.dtype != torch.float32:
                part.float()
    return pipe


def load_scene(pipe: Any, weights: bytes, info: Mapping[str, Any]) -> list[str]:
    """Loads a scene's handles, and its factors as an adapter of the scene's id, which becomes the active one; returns
    the handles' tokens. A token that the pipeline has from another scene gets the scene's id as a suffix.

    weights: the scene's .safetensors; info: the content of its .json. Weights of the scene's own (`tuning: full`) take
    the place of the pipeline's. Raises CommandError where the pipeline is of another base or mixes dtypes, and where
    it has the scene already.
    """
    scene, scene_id = unpack_scene(weights), str(info["scene_id"])
    sides = _sides(pipe)
    _check(pipe, sides, scene, info)
    for name in ("unet", "text_encoder", "text_encoder_2"):
        own = {key.removeprefix(f"{name}."): t for key, t in scene.full.items() if key.startswith(f"{name}.")}
        if own:
            _replace(getattr(pipe, name), own)
    tokens = [_free(token, scene_id, sides) for token in scene.tokens]
    for token, row in zip(tokens, scene.handles, strict=True):
        for (encoder, tokenizer), part in zip(sides, row.split(scene.widths), strict=True):
            pipe.load_textual_inversion({token: part}, token=token, text_encoder=encoder, tokenizer=tokenizer)
    if scene.lora:
        pipe.load_lora_weights(dict(scene.lora), adapter_name=scene_id)
        pipe.set_adapters(scene_id)
    return tokens


def _sides(pipe: Any) -> list[tuple[Any, Any]]:
    """(text encoder, tokenizer), one or two of them."""
    pairs = [(pipe.text_encoder, pipe.tokenizer)]
    if getattr(pipe, "text_encoder_2", None) is not None:
        pairs.append((pipe.text_encoder_2, pipe.tokenizer_2))
    return pairs


def _check(pipe: Any, sides: list[tuple[Any, Any]], scene: SceneWeights, info: Mapping[str, Any]) -> None:
    if any(info["scene_id"] in adapters for adapters in pipe.get_list_adapters().values()):
        raise CommandError(_TWICE.format(info["scene_id"]))
    widths = tuple(int(encoder.get_input_embeddings().weight.shape[-1]) for encoder, _ in sides)
    if widths != scene.widths:
        raise CommandError(
            f"pipe: its text encoders are {' and '.join(map(str, widths))} wide, the handles of {info['scene_id']} "
            f"{' and '.join(map(str, scene.widths))}; load the base that they were learned on, {info['base']}"
        )
    dtypes = {"unet": pipe.unet.dtype} | {f"text encoder {i}": encoder.dtype for i, (encoder, _) in enumerate(sides, 1)}
    if len(set(dtypes.values())) > 1:
        parts = ", ".join(f"{name} {str(dtype).removeprefix('torch.')}" for name, dtype in dtypes.items())
        raise CommandError(f"pipe: its parts are of several dtypes ({parts}); load it with one torch_dtype=...")


def _free(token: str, scene_id: str, sides: list[tuple[Any, Any]]) -> str:
    for name in (token, f"<{token.strip('<>')}-{scene_id}>"):
        if not any(name in tokenizer.get_vocab() for _, tokenizer in sides):
            return name
    raise CommandError(_TWICE.format(scene_id))


def _replace(part: nn.Module, own: dict[str, Tensor]) -> None:
    """Puts weights of the scene's own in the place of the part's; rows that the part has for handles stay behind them.

    Raises CommandError where the part has no such weights.
    """
    held = dict(part.named_parameters())
    for name, weight in own.items():
        if name not in held or held[name].shape[1:] != weight.shape[1:] or len(held[name]) < len(weight):
            raise CommandError(
                f"pipe: its {type(part).__name__} has no {name} of shape {list(weight.shape)}, which the scene has "
                "weights of its own for; load the base that it was learned on, as it comes"
            )
    with torch.no_grad():
        for name, weight in own.items():
            held[name][: len(weight)].copy_(weight)
