"""Train the seedling's UNet and text encoder together on encoded scenes, and export the whole base as it improves.

python -m models.training.unet --sprites assets --vae runs/vae/final --work runs/unet --out models/seedling/base
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from models.training import tokenizer as vocabulary
from models.training.base import (
    SHEET_PROMPTS,
    assemble,
    build_scheduler,
    build_text_encoder,
    build_unet,
    export,
    sample,
    save_sheet,
)
from models.training.latents import LatentCache, encode_world, open_cache
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.sprites import TRAINING
from models.training.workers import Workers, join_workers
from models.training.world import World, WorldSettings

TEXT_RATE = 0.15
"""The text encoder's share of the learning rate. At the full rate each appearance of a rare word moves its embedding by
as much as it is long, and the UNet never learns to read it."""


class Denoiser(nn.Module):
    """The trained pair as one module, so that one optimizer, one average and one state hold both."""

    def __init__(self, tokens: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = build_unet()
        self.text_encoder = build_text_encoder(tokens)

    def forward(self, noisy: Tensor, timesteps: Tensor, token_ids: Tensor) -> Tensor:
        """noisy [b, 4, h, w], timesteps [b], token_ids [b, 32]; returns the predicted velocity [b, 4, h, w]."""
        return self.unet(noisy, timesteps, self.text_encoder(token_ids)[0]).sample


def draw_timesteps(count: int, share: float, noise: torch.Generator) -> Tensor:
    """Nine in ten from a logit-normal that favours much noise, the more so the less of the budget is used up; the rest
    uniform.

    Under little noise a picture shows by itself what it is of. Words matter where an object's place can be seen and its
    colour cannot yet, so that is where practice begins; shapes are settled at less noise, and later in training.
    """
    noisy = torch.sigmoid(0.9 - 0.7 * share + 1.1 * torch.randn(count, generator=noise))
    even = torch.rand(count, generator=noise)
    drawn = torch.where(torch.rand(count, generator=noise) < 0.9, noisy, even)
    return (drawn * 1000).long().clamp(0, 999)


def loss_of(
    model: Denoiser,
    scheduler: DDIMScheduler,
    latents: Tensor,
    token_ids: Tensor,
    share: float,
    noise: torch.Generator,
) -> Tensor:
    """Mean squared error of the velocity, a scalar. latents [b, 4, h, w], scaled; token_ids [b, 32]; `share` of the
    budget used up."""
    device = next(model.parameters()).device
    epsilon = torch.randn(latents.shape, generator=noise)
    timesteps = draw_timesteps(len(latents), share, noise)
    noisy = scheduler.add_noise(latents, epsilon, timesteps).to(device)
    velocity = scheduler.get_velocity(latents, epsilon, timesteps).to(device)
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    return functional.mse_loss(model(noisy, timesteps.to(device), token_ids.to(device)), velocity)


def publish(
    model: Denoiser, average: Average, vae: AutoencoderKL, tokens: CLIPTokenizer, work: Path, out: Path
) -> None:
    """The whole pipeline of the averaged weights in `out`, and a sample sheet in `work`."""
    fresh = Denoiser(tokens).eval()
    average.copy_to(fresh)
    pipeline = assemble(vae.to("cpu"), fresh.unet, fresh.text_encoder, tokens)
    export(pipeline, out)
    save_sheet(sample(pipeline, list(SHEET_PROMPTS)), work / f"sheet-{time.strftime('%H%M')}.png")


def batch_of(
    cache: LatentCache, size: int, seed: int, step: int, workers: Workers
) -> tuple[NDArray[np.int64], np.random.Generator, torch.Generator]:
    """This worker's rows of the step's batch (each epoch a fresh shuffle) and its two random streams; they depend on
    the seed, the step and the worker's rank alone."""
    per_epoch = len(cache.moments) // size
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, 1, epoch)).permutation(len(cache.moments))
    rows = workers.part(order[place * size : (place + 1) * size])
    noise = torch.Generator().manual_seed((seed * 1_000_003 + step) * 64 + workers.rank)
    return np.sort(rows), np.random.default_rng((seed, 2, step, workers.rank)), noise


def train(args: argparse.Namespace, workers: Workers) -> None:
    """Train for the budget; state every few minutes, an export every `--export-every` minutes."""
    vae = AutoencoderKL.from_pretrained(args.vae, torch_dtype=torch.float32).to(args.device).eval()
    if workers.leads:
        encode_world(vae, World(WorldSettings(args.sprites, seed=args.seed)), args.scenes, args.work / "latents")
    tokens = vocabulary.build(args.work / f"tokenizer-{workers.rank}")
    workers.wait()
    cache = open_cache(args.work / "latents", TRAINING)

    model = Denoiser(tokens).to(args.device, memory_format=torch.channels_last).train()
    average, scheduler = Average(model, decay=0.998), build_scheduler()
    groups = [
        {"params": list(model.unet.parameters()), "scale": 1.0},
        {"params": list(model.text_encoder.parameters()), "scale": TEXT_RATE},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    budget, step, running = Budget(args.minutes, args.save_every), 0, 1.0
    if state := load_state(args.work / "state.pt", args.resume):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.values, step, running = state["average"], state["step"], state["loss"]
        budget.resume(state["minutes"])
    exported, share = budget.used, budget.tick()
    while share < 1:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        rows, rng, noise = batch_of(cache, args.batch, args.seed, step, workers)
        captions = cache.captions(rows, rng)
        token_ids = tokens(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        latents = cache.sample(rows, vae.config.scaling_factor, noise)
        loss = loss_of(model, scheduler, latents, token_ids, share, noise)
        optimizer.zero_grad()
        loss.backward()
        mean_loss, share = workers.average_gradients(model, loss.item(), budget.tick())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model, step)
        running += 0.02 * (mean_loss - running)
        step += 1
        if not math.isfinite(running):
            raise FloatingPointError(f"loss diverged at step {step}; start again with a lower --learning-rate")
        if not workers.leads:
            continue
        if step % 50 == 0:
            scenes = step * args.batch
            print(f"unet step {step} scenes {scenes} minutes {budget.used:.1f} loss {running:.4f}", flush=True)
        if budget.state_due():
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
            save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step, "loss": running})
        if budget.used - exported >= args.export_every:
            publish(model, average, vae, tokens, args.work, args.out)
            exported = budget.used
    if workers.leads:
        publish(model, average, vae, tokens, args.work, args.out)
        print(f"unet done: {step} steps, {step * args.batch} scenes, loss {running:.4f}", flush=True)
    workers.wait()


def main() -> None:
    """Read the options, join the other workers where there are any, and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=100, batch=24, learning_rate=2e-3)
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained autoencoder")
    parser.add_argument("--scenes", type=int, default=24_000, help="encoded scenes")
    parser.add_argument("--export-every", type=float, default=15.0, help="minutes between exports to --out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(args, join_workers(args.device))


if __name__ == "__main__":
    main()
