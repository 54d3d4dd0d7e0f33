"""The yardstick: Break-A-Scene's published training loop, one scene after another, written plainly.

As published: one instance and one prior picture a step in both phases, both through the VAE at every step; both
prompts through the text encoder at every step; attention materialised everywhere and the maps of up to 32x32 tokens
kept; the whole embedding table as phase 1's parameter, with the rows that are no handles put back after every step;
torch's AdamW and clipping; fresh weights for every scene. `full` trains all weights in phase 2; `lora` trains PEFT's
factors instead, which is what a careful user of today's libraries would write.

What a good programmer does without being asked is done: the model is loaded once, frozen weights of `lora` are kept
in the fast dtype, arithmetic is autocast to it, prior pictures wait on the device, and nothing waits for the device:
what a step draws goes there from pinned memory, and rows are put back without indexing by a mask. So it is no straw
man. SDXL, for which no training loop was published, is done the same way: both text encoders at every step, penultimate
states side by side, the second's pooled projection and the sizes beside the timestep.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.models.attention_processor import Attention
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from benchmarks.scenes import BenchScene
from schemas.job import Extract
from schemas.templates import fill_template
from stages.extract.method.draws import Draw, SceneDraws
from stages.extract.method.latents import resize_masks
from stages.handles.tokens import HandleTokens
from stages.models.base.base_model import BaseModel, overflows
from stages.models.base.noise_schedule import NoiseSchedule

MOST_KEPT = 32 * 32
UNET_TARGETS, TEXT_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"], ["q_proj", "k_proj", "v_proj", "out_proj"]


class AttentionStore:
    """Keeps the cross-attention probabilities of the down and up blocks, [R * heads, tokens, T] by layer."""

    def __init__(self, unet: nn.Module) -> None:
        self.kept: dict[str, Tensor] = {}
        for name, module in unet.named_modules():
            if isinstance(module, Attention):
                module.set_processor(StoringAttention(self, name))

    def average(self, side: int, rows: int) -> Tensor:
        """[side, side, T]: mean of row 0's maps of that side over layers and heads; mid block excluded."""
        maps = [
            kept.unflatten(0, (rows, -1))[0]
            for name, kept in self.kept.items()
            if "attn2" in name and "mid_block" not in name and kept.shape[1] == side * side
        ]
        return torch.cat(maps).mean(0).unflatten(0, (side, side))


class StoringAttention:
    """Softmax attention with its probabilities in memory, as prompt-to-prompt's processor has it."""

    def __init__(self, store: AttentionStore, name: str) -> None:
        self.store, self.name = store, name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(x) for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        if probabilities.shape[1] <= MOST_KEPT:
            self.store.kept[self.name] = probabilities
        mixed = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](mixed))


class Yardstick:
    """Takes the stock `base` over. kind: `full` (its weights must be float32) or `lora`; dtype: of the arithmetic.

    prior_pictures: [n, 3, side, side] in [-1, 1].
    """

    def __init__(
        self,
        base: BaseModel,
        kind: str,
        settings: Extract,
        dtype: torch.dtype,
        prior_pictures: Tensor,
        concepts: int = 4,
    ) -> None:
        self.base, self.kind, self.settings, self.dtype = base, kind, settings, dtype
        self.device, self.prior_pictures = base.device, prior_pictures.to(base.device)
        self.tokens = HandleTokens(base.tokenizers, settings.placeholder)
        self.encoders = list(base.text_encoders.values())
        self.schedule = NoiseSchedule(base.scheduler, base.device)
        self.store = AttentionStore(base.unet)
        for encoder, first in zip(self.encoders, self.tokens.first_ids, strict=True):
            rows = max(encoder.config.vocab_size, first + concepts)
            encoder.resize_token_embeddings(rows, mean_resizing=False)
            encoder.get_input_embeddings().float()
        self.tables = [encoder.get_input_embeddings().weight for encoder in self.encoders]
        self.untouched = [table.detach().clone() for table in self.tables]
        self.others = [torch.ones(len(table), 1, dtype=torch.bool, device=self.device) for table in self.tables]
        side = float(base.side)
        self.sizes = torch.tensor([[side, side, 0.0, 0.0, side, side]] * 2, device=self.device)
        self.vae_upcast = len(self.encoders) > 1 and overflows(base.vae.config, dtype)
        self.modules: list[nn.Module] = [base.unet, *self.encoders]
        # Kept in the host's memory, so that a scene's fresh start is a copy and not a load from the disk.
        self.fresh = [
            {name: self.park(p.detach()) for name, p in m.named_parameters()} if kind == "full" else {}
            for m in self.modules
        ]

    def begin(self, scene: BenchScene, word_ids: list[tuple[int, ...]]) -> None:
        """Fresh weights, and the scene's handles started from their words; word_ids: see TrainingScene."""
        self.scene = scene
        with torch.no_grad():
            for module, fresh in zip(self.modules, self.fresh, strict=True):
                recurse_remove_peft_layers(module)
                module.__dict__.pop("peft_config", None)
                for name, parameter in module.named_parameters():
                    if name in fresh:
                        parameter.copy_(fresh[name], non_blocking=True)
            for table, untouched, others, first, words in zip(
                self.tables,
                self.untouched,
                self.others,
                self.tokens.first_ids,
                zip(*word_ids, strict=True),
                strict=True,
            ):
                table.copy_(untouched)
                table[first : first + len(words)] = untouched[list(words)]
                others.fill_(True)
                others[first : first + len(words)] = False
        self.picture = scene.picture.to(self.device)
        self.masks = scene.masks.to(self.device)

    def phase(self, number: int, seed: int = 0) -> Callable[[], None]:
        """Starts a phase (fresh optimizer) and returns its training step."""
        for module in self.modules:
            module.requires_grad_(number == 2 and self.kind == "full")
        if number == 2 and self.kind == "lora":
            rank = self.settings.lora.rank
            for module in self.modules:
                targets = UNET_TARGETS if module is self.base.unet else TEXT_TARGETS
                inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), module)
                for name, parameter in module.named_parameters():
                    parameter.requires_grad_("lora_" in name)
                    if "lora_" in name:
                        parameter.data = parameter.data.float()
        for table in self.tables:
            table.requires_grad_(True)
        parameters = [p for m in self.modules for p in m.parameters() if p.requires_grad]
        settings, rate = self.settings, (self.settings.phase1, self.settings.phase2)[number - 1].lr
        optimizer = torch.optim.AdamW(
            parameters, lr=rate, betas=(0.9, settings.adam_beta2), eps=1e-8, weight_decay=settings.weight_decay
        )
        draws = SceneDraws(
            seed,
            self.scene.scene_id,
            number,
            len(self.scene.masks),
            self.base.latent_shape,
            self.schedule.timesteps,
            union=settings.union_sampling,
            flip=settings.flip,
            prior_images=len(self.prior_pictures),
        )
        restore = number == 1 or self.kind == "lora"

        def step() -> None:
            diffusion, attention, prior = self.losses(draws.next())
            (diffusion + settings.attention_weight * attention + settings.prior.weight * prior).backward()
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            if restore:
                with torch.no_grad():
                    for table, untouched, others in zip(self.tables, self.untouched, self.others, strict=True):
                        table.copy_(torch.where(others, untouched, table))

        return step

    def losses(self, draw: Draw, prior_vae_noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Masked diffusion loss, cross-attention loss and prior loss of one step; scalars with graph."""
        names = [self.tokens.names[j] for j in draw.subset]
        prompt, subset = fill_template(self.settings.template, names), list(draw.subset)
        picture, masks = ((x.flip(-1) if draw.flip else x) for x in (self.picture, self.masks))
        assert draw.prior_noise is not None, "the yardstick always has the prior"
        if prior_vae_noise is None:
            prior_vae_noise = torch.randn_like(draw.vae_noise)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.autocasts()):
            pictures = torch.stack([picture, self.prior_pictures[draw.prior_index]])
            latents = self.encode(pictures, self.send(torch.stack([draw.vae_noise, prior_vae_noise])))
            noise = self.send(torch.stack([draw.noise, draw.prior_noise]))
            timesteps = self.send(torch.tensor([draw.timestep, draw.prior_timestep]))
            noisy = self.schedule.noisy(latents, noise, timesteps)
            states, extra = self.text([prompt, self.settings.prior.prompt])
            prediction = self.base.unet(noisy, timesteps, states, added_cond_kwargs=extra, return_dict=False)[0]
        error = (prediction.float() - self.schedule.target(latents, noise, timesteps)).square()
        small = resize_masks(masks, self.base.latent_shape[1])
        mask = torch.stack([small[concept] for concept in subset]).amax(0)  # a list as index would wait for the device
        side = self.attention_side()
        maps = self.store.average(side, rows=2).float()
        small = resize_masks(masks, side)
        attention = torch.zeros((), device=self.device)
        for concept, position in zip(subset, self.tokens.positions(prompt, subset), strict=True):
            found = maps[:, :, position]
            attention = attention + (found / found.max() - small[concept]).square().mean()
        self.store.kept.clear()
        return (error[0] * mask.square()).mean(), attention, error[1].mean()

    def encode(self, pictures: Tensor, noise: Tensor) -> Tensor:
        """[2, 3, side, side] -> latents [2, C, h, w], sampled with the given noise."""
        fast = self.autocasts() and not self.vae_upcast
        with torch.no_grad(), torch.autocast(self.device.type, dtype=self.dtype, enabled=fast):
            moments = self.base.vae.encode(pictures.to(self.base.vae.dtype)).latent_dist
        return (moments.mean.float() + moments.std.float() * noise) * self.base.vae.config.scaling_factor

    def text(self, prompts: list[str]) -> tuple[Tensor, dict[str, Tensor] | None]:
        """States [2, T, d], and for SDXL what it is conditioned on besides."""
        ids = self.send(torch.stack([self.tokens.ids(prompt) for prompt in prompts], dim=1))
        if len(self.encoders) == 1:
            return self.encoders[0](ids[0]).last_hidden_state, None
        outputs = [encoder(rows, output_hidden_states=True) for encoder, rows in zip(self.encoders, ids, strict=True)]
        return (
            torch.cat([out.hidden_states[-2] for out in outputs], dim=-1),
            {"text_embeds": outputs[1].text_embeds, "time_ids": self.sizes},
        )

    def send(self, tensor: Tensor) -> Tensor:
        """To the device, without waiting for it."""
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def park(self, tensor: Tensor) -> Tensor:
        """A copy in the host's memory, from where it comes back fast."""
        return tensor.cpu().pin_memory() if self.device.type == "cuda" else tensor.clone()

    def autocasts(self) -> bool:
        return self.dtype != torch.float32

    def attention_side(self) -> int:
        """1/32 of the picture's side, or the nearest that the UNet has cross-attention at."""
        sides = {
            int(kept.shape[1] ** 0.5)
            for name, kept in self.store.kept.items()
            if "attn2" in name and "mid_block" not in name
        }
        return min(sides, key=lambda side: (abs(torch.log2(torch.tensor(side * 32 / self.base.side))), -side))
