"""One scene through stock diffusers and transformers in float64: tokens added to the tokenizer, rows to the embedding
table, LoRA factors merged into the weights (W + B A), attention captured by a processor of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.func import functional_call
from transformers import CLIPTextModel, CLIPTokenizer

from tests.golden import plain_formulas as plain


@dataclass
class PlainDraw:
    """The random numbers of one step of one scene; tensors are [C, h, w]."""

    subset: Sequence[int]
    flip: bool
    timestep: int
    noise: Tensor
    vae_noise: Tensor
    prior_timestep: int = 0
    prior_noise: Tensor | None = None
    prior_latents: Tensor | None = None


@dataclass
class PlainScene:
    """mean, std: of the VAE, [2, C, h, w], the picture and its mirror image; masks: [N, H, W] of the picture."""

    mean: Tensor
    std: Tensor
    masks: Tensor


class PlainModel:
    """handles: [N, d] of the scene; factors: PEFT names -> A [r, in] and B [out, r], or empty."""

    def __init__(self, directory: Path, prior_prompt: str = "a photo at the beach") -> None:
        self.tokenizer = CLIPTokenizer.from_pretrained(directory, subfolder="tokenizer")
        self.first = len(self.tokenizer)
        self.tokenizer.add_tokens([f"<asset{j}>" for j in range(4)])
        self.text = CLIPTextModel.from_pretrained(directory, subfolder="text_encoder", dtype=torch.float64)
        self.text.resize_token_embeddings(len(self.tokenizer))
        self.unet = UNet2DConditionModel.from_pretrained(directory, subfolder="unet", torch_dtype=torch.float64)
        for part in (self.text, self.unet):
            part.eval().requires_grad_(False)
        self.scheduler = DDPMScheduler.from_pretrained(directory, subfolder="scheduler")
        self.prior_prompt = prior_prompt
        self.seen: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name, layer in self.unet.named_modules():
            if name.endswith(".attn2") and name.startswith(("down_blocks", "up_blocks")):
                layer.set_processor(PlainAttention(self.seen, name))

    def predict(
        self, prompt: str, latents: Tensor, noise: Tensor, timestep: int, handles: Tensor, factors: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What the UNet says and what it should say, [C, h, w] each. Leaves the attention in `seen`."""
        table_name, table = next((n, p) for n, p in self.text.named_parameters() if "token_embedding" in n)
        rows = [table[: self.first], handles.double(), table[self.first + len(handles) :]]
        ids = self.tokenizer(
            prompt, padding="max_length", max_length=self.tokenizer.model_max_length, return_tensors="pt"
        ).input_ids
        states = functional_call(
            self.text, merged(self.text, "text_encoder", factors) | {table_name: torch.cat(rows)}, (ids,)
        ).last_hidden_state
        clean, grain, when = latents.double()[None], noise.double()[None], torch.tensor([timestep])
        noisy = self.scheduler.add_noise(clean, grain, when)
        self.seen.clear()
        guess = functional_call(self.unet, merged(self.unet, "unet", factors), (noisy, when, states)).sample
        velocity = self.scheduler.config.prediction_type == "v_prediction"
        return guess[0], (self.scheduler.get_velocity(clean, grain, when) if velocity else grain)[0]

    def prompt(self, subset: Sequence[int]) -> str:
        return "a photo of " + " and ".join(f"<asset{j}>" for j in subset)

    def column(self, subset: Sequence[int], handle: int) -> int:
        """Where the handle stands in the prompt."""
        return self.tokenizer(self.prompt(subset)).input_ids.index(self.first + handle)

    def loss_layers(self, side: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Queries, keys and probabilities [heads, side * side, ...] of the layers whose maps have this side."""
        return [layer for layer in self.seen.values() if layer[0].shape[1] == side * side]

    def terms(
        self,
        scene: PlainScene,
        draw: PlainDraw,
        handles: Tensor,
        factors: Mapping[str, Tensor],
        side: int,
        kind: str = "paper",
    ) -> tuple[float, float, float]:
        """Diffusion, attention and prior term of one step, by loops. side: of the maps of the attention loss."""
        latents = scene.mean[int(draw.flip)].double() + scene.std[int(draw.flip)].double() * draw.vae_noise.double()
        with torch.no_grad():
            guess, target = self.predict(self.prompt(draw.subset), latents, draw.noise, draw.timestep, handles, factors)
            layers = [(q, k) for q, k, _ in self.loss_layers(side)]
            masks = [scene.masks[j].double().tolist() for j in draw.subset]
            if draw.flip:
                masks = [plain.mirrored(mask) for mask in masks]
            small = [plain.nearest(mask, guess.shape[-1]) for mask in masks]
            maps = [plain.attention_map(layers, self.column(draw.subset, j)) for j in draw.subset]
            diffusion = plain.masked_loss(guess, target, plain.union(small), kind)
            attention = plain.attention_loss(maps, [plain.nearest(mask, side) for mask in masks])
            if draw.prior_latents is None:
                return diffusion, attention, 0.0
            prior = plain.mean_square(
                *self.predict(
                    self.prior_prompt, draw.prior_latents, draw.prior_noise, draw.prior_timestep, handles, factors
                )
            )
        return diffusion, attention, prior

    def total(
        self, scene: PlainScene, draw: PlainDraw, handles: Tensor, factors: Mapping[str, Tensor], side: int
    ) -> Tensor:
        """`terms`, weighted 1, 0.01 and 1 and summed, as one tensor with graph; `paper` masked loss."""
        flip = int(draw.flip)
        latents = scene.mean[flip].double() + scene.std[flip].double() * draw.vae_noise.double()
        guess, target = self.predict(self.prompt(draw.subset), latents, draw.noise, draw.timestep, handles, factors)
        masks = scene.masks[list(draw.subset)].double()
        masks = masks.flip(-1) if draw.flip else masks
        mask = plain.union([plain.nearest(m, guess.shape[-1]) for m in masks.tolist()])
        loss = ((guess - target) * torch.tensor(mask, dtype=torch.float64)).square().mean()
        heads = torch.cat([probabilities for _, _, probabilities in self.loss_layers(side)])
        for own, handle in zip(masks.tolist(), draw.subset, strict=True):
            values = heads.mean(0)[:, self.column(draw.subset, handle)]
            truth = torch.tensor(plain.nearest(own, side), dtype=torch.float64).flatten()
            loss = loss + 0.01 * (values / values.max() - truth).square().mean()
        if draw.prior_latents is not None:
            guess, target = self.predict(
                self.prior_prompt, draw.prior_latents, draw.prior_noise, draw.prior_timestep, handles, factors
            )
            loss = loss + 1.0 * (guess - target).square().mean()
        return loss


def merged(module: nn.Module, part: str, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight name -> W + B A, for the layers of `part` that have factors."""
    weights = dict(module.named_parameters())
    result = {}
    for key in factors:
        if key.startswith(f"{part}.") and key.endswith(".lora_A.weight"):
            name = key.removesuffix(".lora_A.weight")
            layer = name.removeprefix(f"{part}.")
            # Files carry `text_model.`; newer transformers have no such level.
            layer = layer if f"{layer}.weight" in weights else layer.removeprefix("text_model.")
            down, up = factors[key].double(), factors[f"{name}.lora_B.weight"].double()
            result[f"{layer}.weight"] = weights[f"{layer}.weight"] + up @ down
    return result


class PlainAttention:
    """Attention as in its definition; keeps queries, keys and probabilities of the only row."""

    def __init__(self, seen: dict[str, tuple[Tensor, Tensor, Tensor]], name: str) -> None:
        self.seen, self.name = seen, name

    def __call__(
        self, attn: nn.Module, hidden_states: Tensor, encoder_hidden_states: Tensor, *_: object, **__: object
    ) -> Tensor:
        rows, places, _ = hidden_states.shape
        assert rows == 1, "one scene at a time"

        def heads(x: Tensor) -> Tensor:
            return x[0].reshape(x.shape[1], attn.heads, -1).permute(1, 0, 2)

        query, key, value = (
            heads(attn.to_q(hidden_states)),
            heads(attn.to_k(encoder_hidden_states)),
            heads(attn.to_v(encoder_hidden_states)),
        )
        probabilities = torch.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, dim=-1)
        self.seen[self.name] = (query, key, probabilities)
        return attn.to_out[0]((probabilities @ value).permute(1, 0, 2).reshape(1, places, -1))
