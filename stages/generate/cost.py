"""What drawing a scene's pictures costs, from the base's sizes and the spec alone: for `unscene plan`."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.job import Generate
from stages.generate.prompts import Variation
from stages.handles.cost import BaseCost
from stages.models.base.sampler import unet_passes
from stages.models.flops import Call


def draw_calls(settings: Generate, base: BaseCost, pictures: Sequence[Variation]) -> tuple[Call, ...]:
    """What one scene asks for. A prompt is read once for all its pictures, and the negative one once a scene."""
    if not pictures:
        return ()
    guided = settings.guidance > 1
    passes = unet_passes(settings, base.process)
    prompts = len({picture.prompt for picture in pictures}) + guided
    said = f"UNet, {settings.steps} steps a picture" + (f", {passes - settings.steps} of them guided" if guided else "")
    calls = [
        Call("text encoder, a prompt", prompts, base.text),
        Call(said, len(pictures) * passes, base.drawn),
        Call("autoencoder, a picture decoded", len(pictures), base.decode),
    ]
    if settings.mode == "place":
        calls.append(Call("autoencoder, the real picture around it", len(pictures), base.encode))
    return tuple(calls)
