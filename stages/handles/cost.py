"""What a scene costs, from the base's configuration alone: for `unscene plan`. No weights are loaded.

FLOPs count a multiply-add as 2, and are counted on the meta device, forward and backward, as the code works
(`stages/models/flops.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from schemas.job import JobSpec
from stages.handles.full_weights import CROSS_KV
from stages.handles.sizes import TrainedWeights, count, meta_text_encoder, text_and_projection, trained_weights
from stages.models.base.layout import check_layout, read_config, text_encoder_names, unet_config
from stages.models.base.process import read_process
from stages.models.base.sampler import unet_passes
from stages.models.flops import Call, FlopCount
from stages.models.place import bundled

TO_CONTEXT, THROUGH_FROZEN, ALL_WEIGHTS = 1.67 / 0.804, 1.73 / 0.804, 2.41 / 0.804
"""What a step of phase 1, of phase 2 with LoRA and of full tuning comes to of SD 2.1-base, as a multiple of the UNet's
forward pass: for whoever must guess before anything is counted."""


@dataclass(frozen=True)
class BaseCost:
    """TFLOP. forward: one pass of the UNet on one row; drawn: the same with a scene's factors; encode, decode: one
    picture through the VAE; text: one prompt through all text encoders; learn: the calls for one scene; prior: those
    for the prior set, once a run. process: what samplers are built over.

    handle_bytes: size of the scene's file with two handles (a handle more is 4 d bytes); unet_weights, text_weights,
    vae_weights: how many there are; factors: numbers that phase 2 trains for one scene.
    """

    forward: float
    drawn: float
    encode: float
    decode: float
    text: float
    learn: tuple[Call, ...]
    prior: tuple[Call, ...]
    process: Mapping[str, Any]
    handle_bytes: float
    unet_weights: float
    text_weights: float
    vae_weights: float
    factors: float

    @property
    def learn_tflop(self) -> float:
        """Both phases of one scene."""
        return sum(call.total for call in self.learn)

    @property
    def prior_tflop(self) -> float:
        """All pictures of the prior set."""
        return sum(call.total for call in self.prior)


def base_cost(spec: JobSpec) -> BaseCost:
    """Of the UNet, the text encoders and the VAE that `models.base` names. Raises SpecError where it is no base."""
    base, revision = bundled(spec.models.base, "models.base"), spec.models.revision
    index = check_layout(base, revision)
    unet = meta_unet(unet_config(base, revision)).requires_grad_(False)
    vae = meta_vae(read_config(base, "vae/config.json", revision))
    text_configs = [read_config(base, f"{name}/config.json", revision) for name in text_encoder_names(index)]
    tokens = int(text_configs[0].get("max_position_embeddings", 77))
    forward, text = unet_forward_tflop(unet, tokens), sum(text_tflop(config, tokens) for config in text_configs)
    encode, decode = vae_tflop(vae, unet)
    weights = count(unet), sum(text_and_projection(config, i) for i, config in enumerate(text_configs))
    first = _pass(unet, tokens, 1, through=True).step
    trained = trained_weights(spec, unet, text_configs)
    rows = 2 if spec.extract.prior.weight > 0 else 1
    second = _second_step(spec, unet, tokens, rows, trained)
    return BaseCost(
        forward,
        second.forward / rows / 1e12,
        encode,
        decode,
        text,
        _learning(spec, text_configs, (first, second.step, encode), forward),
        _prior(spec, forward, text),
        read_process(base, len(text_configs) > 1, revision),
        float(trained.file_bytes(2, text_configs)),
        float(weights[0]),
        float(weights[1]),
        float(count(vae)),
        float(trained.numbers),
    )


def _learning(
    spec: JobSpec, text_configs: Sequence[dict[str, Any]], known: tuple[float, float, float], forward: float
) -> tuple[Call, ...]:
    """Both phases. known: TFLOP of a step of phase 1, of one of phase 2, and of encoding a picture."""
    extract, (first, second, encode) = spec.extract, known
    one, two = extract.phase1.steps, extract.phase2.steps
    tokens, full = int(text_configs[0].get("max_position_embeddings", 77)), extract.tuning == "full"
    rows = 2 if extract.prior.weight > 0 else 1
    # What is beside the blocks is not computed twice, and is left in.
    again = forward if extract.gradient_checkpointing else 0.0
    reading = sum(_reading(config, tokens, full=False).step for config in text_configs)
    calls = []
    if one:
        calls.append(Call("UNet in phase 1, forward and backward", one, first + again))
        calls.append(Call("text encoder in phase 1, forward and backward", one, reading))
    if two:
        of = " of a picture and one of the prior set" if rows > 1 else ""
        calls.append(Call(f"UNet in phase 2, forward and backward{of}", two, second + rows * again))
        if extract.trains_text_encoder:
            reading = rows * sum(_reading(config, tokens, full).step for config in text_configs)
        calls.append(Call("text encoder in phase 2, forward and backward", two, reading))
    calls.append(Call("autoencoder, the picture and its mirror image", 2, encode))
    if extract.picture == "pasted":  # anew every step
        calls.append(Call("autoencoder, a pasted picture a step", one + two, encode))
    return tuple(calls)


def _second_step(
    spec: JobSpec, unet: UNet2DConditionModel, tokens: int, rows: int, trained: TrainedWeights
) -> FlopCount:
    """A step of phase 2. unet: wrapped by `trained_weights`."""
    if spec.extract.tuning == "full":
        everything = spec.extract.full.targets == "all"
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(everything or CROSS_KV.search(f"unet.{name}") is not None)
    if trained.layout is not None:
        flat = torch.empty(1, trained.layout.parameters, device="meta", requires_grad=True)
        for site, down, up in trained.layout.pairs(flat):
            if site.name in trained.wrappers:
                trained.wrappers[site.name].pair = (down, up)
    return _pass(unet, tokens, rows, through=True)


def _prior(spec: JobSpec, forward: float, text: float) -> tuple[Call, ...]:
    """The prior set, where phase 2 has one."""
    prior = spec.extract.prior
    if not (prior.weight > 0 and spec.extract.phase2.steps > 0):
        return ()
    guided = 2 if prior.guidance > 1 else 1
    said = f"UNet, {prior.images} pictures of {prior.steps} steps" + (", twice for guidance" if guided == 2 else "")
    return (
        Call(said, prior.images * prior.steps * guided, forward),
        Call("text encoder, its prompt and the negative one", guided, text),
    )


def scene_cost(spec: JobSpec) -> dict[str, float]:
    """`base_cost` in numbers alone, under the names that benchmarks and tests have for them; prompts of pictures are
    left out of generate_tflop_picture, which is a picture of its own with all sampler steps and its decoding."""
    cost, generate = base_cost(spec), spec.generate
    return {
        "forward_tflop": cost.forward,
        "train_tflop": cost.learn_tflop,
        "generate_tflop_picture": cost.forward * unet_passes(generate, cost.process) + cost.decode,
        "prior_set_tflop": cost.prior_tflop,
        "handle_bytes": cost.handle_bytes,
        "unet_weights": cost.unet_weights,
        "text_weights": cost.text_weights,
        "vae_weights": cost.vae_weights,
        "factors": cost.factors,
    }


def meta_unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """The UNet without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config).eval()


def meta_vae(config: dict[str, Any]) -> AutoencoderKL:
    """The VAE without weights."""
    with torch.device("meta"):
        return AutoencoderKL.from_config(config).eval()


def unet_forward_tflop(unet: UNet2DConditionModel, tokens: int) -> float:
    """Forward pass of one sample at the model's own size; unet: on the meta device. Unit: TFLOP."""
    return _pass(unet, tokens, 1, through=False).forward / 1e12


def _pass(unet: UNet2DConditionModel, tokens: int, rows: int, through: bool) -> FlopCount:
    """A pass on so many rows. through: whether the text's states need a gradient, as those of handles do."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    latents = torch.empty(rows, unet.config.in_channels, height, width, device="meta")
    states = torch.empty(rows, tokens, unet.config.cross_attention_dim, device="meta", requires_grad=through)
    added = None
    if unet.config.addition_embed_type == "text_time":
        pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        text = torch.empty(rows, pooled, device="meta", requires_grad=through)
        added = {"text_embeds": text, "time_ids": torch.empty(rows, 6, device="meta")}
    with torch.set_grad_enabled(through), FlopCount() as count:
        unet(latents, torch.zeros(rows, device="meta"), encoder_hidden_states=states, added_cond_kwargs=added)
    return count


def vae_tflop(vae: AutoencoderKL, unet: UNet2DConditionModel) -> tuple[float, float]:
    """Encoding and decoding one picture of the base's own size; both models on the meta device. Unit: TFLOP."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    picture = torch.empty(1, vae.config.in_channels, height * scale, width * scale, device="meta")
    latents = torch.empty(1, vae.config.latent_channels, height, width, device="meta")
    found = []
    for work in (lambda: vae.encode(picture), lambda: vae.decode(latents)):
        with FlopCount() as count, torch.no_grad():
            work()
        found.append(count.forward / 1e12)
    return found[0], found[1]


def text_tflop(config: dict[str, Any], tokens: int) -> float:
    """Forward pass of one prompt. Unit: TFLOP."""
    return _reading(config, tokens, full=False).forward / 1e12


def _reading(config: dict[str, Any], tokens: int, full: bool) -> FlopCount:
    """One prompt through a text encoder, with the gradient of its handles, or of all weights."""
    model = meta_text_encoder(config).requires_grad_(full)
    model.get_input_embeddings().requires_grad_(True)
    with FlopCount() as count:
        model(torch.zeros(1, tokens, dtype=torch.long, device="meta"))
    return count
