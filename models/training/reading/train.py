"""Train the judge of facts on composed scenes of every toy, the held-out ones too.

    python -m models.training.reading.train --vae vae/final --work reader --out reader/final

It has to read what a base draws: three pictures in ten are seen through the autoencoder, and all of them in other
light, a little blurred and noisy.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from models.training.judge.views import spoil
from models.training.precision import half_precision
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.reading.facts import read_facts
from models.training.reading.network import CELL, FACTS, FactReader, numbers_of, save_reader
from models.training.workers import Workers, join_workers
from models.training.world.pool import MAX_OBJECTS, ScenePool, render_pool
from models.training.world.roster import HELD_OUT, TRAINED
from models.training.world.world import ToySettings

VISIBLE = 150
"""Pixels; a toy of which less is seen is not asked for."""
_SPREAD = 1.2
"""Of the target around a toy's middle, a normal curve. Unit: cells."""


@dataclass(frozen=True)
class Examples:
    """images: uint8 [n, h, w, 3]; middles: float [n, 3, 2], x and y in cells, far away for no toy; facts: int64
    [n, 3, 3], numbers as `network.numbers_of` gives them."""

    images: Tensor
    middles: Tensor
    facts: Tensor

    @classmethod
    def of(cls, pool: ScenePool) -> Examples:
        """Every scene of the pool."""
        count, numbers = len(pool.images), np.array([numbers_of(toy) for toy in pool.roster])
        middles = np.full((count, MAX_OBJECTS, 2), -1e3, np.float32)
        facts = np.zeros((count, MAX_OBJECTS, 3), np.int64)
        for row in range(count):
            for slot in np.flatnonzero(pool.objects[row] >= 0):
                mask = pool.labels[row] == slot + 1
                if np.count_nonzero(mask) < VISIBLE:
                    continue
                across, down = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
                middles[row, slot] = (across[0] + across[-1] + 1) / 2 / CELL, (down[0] + down[-1] + 1) / 2 / CELL
                facts[row, slot] = numbers[pool.objects[row, slot]]
        return cls(torch.from_numpy(np.array(pool.images)), torch.from_numpy(middles), torch.from_numpy(facts))

    def see_through(self, vae: AutoencoderKL, every: int = 3, batch: int = 32) -> None:
        """One in `every` pictures as the autoencoder passes it on, in place."""
        rows = torch.arange(0, len(self.images), every)
        for part in rows.split(batch):
            with torch.no_grad(), half_precision("cpu"):
                pictures = self.images[part].permute(0, 3, 1, 2).float() / 127.5 - 1
                seen = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.float()
            self.images[part] = (seen.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).byte()


def loss_of(model: torch.nn.Module, examples: Examples, rows: Tensor, device: str) -> Tensor:
    """Focal loss of the middles' map (Law and Deng 2018, equation 1) and cross-entropy of the facts around them, a
    scalar. rows: int64 [b]."""
    pictures = spoil(examples.images[rows].to(device).permute(0, 3, 1, 2).float() / 255)
    with half_precision(device):
        maps = model(pictures)
    middles, *facts = maps.float().split([1, *FACTS], 1)
    size = maps.shape[-1]
    at = torch.arange(size, device=device) + 0.5
    offset = (at - examples.middles[rows].to(device)[..., None]).square()  # [b, 3, 2, size]: x, then y
    curve = torch.exp(
        -(offset[:, :, 1, :, None] + offset[:, :, 0, None, :]) / (2 * _SPREAD**2)
    )  # [b, 3, rows, columns]
    wanted, owner = curve.max(1)
    peak = curve.flatten(2).max(2).values[..., None, None]
    is_peak = ((curve == peak) & (peak > 0.1)).any(1).float()

    logit = middles[:, 0]
    chance = logit.sigmoid()
    there = is_peak * (1 - chance).square() * functional.logsigmoid(logit)
    elsewhere = (1 - is_peak) * (1 - wanted) ** 4 * chance.square() * functional.logsigmoid(-logit)
    focal = -(there + elsewhere).sum() / is_peak.sum().clamp(min=1)

    weight = wanted * (wanted > 0.4)
    numbers = examples.facts[rows].to(device)[torch.arange(len(rows), device=device)[:, None, None], owner]
    reading = sum(
        (functional.cross_entropy(fact, numbers[..., place], reduction="none") * weight).sum()
        for place, fact in enumerate(facts)
    )
    return focal + reading / weight.sum().clamp(min=1)


def train(args: argparse.Namespace, workers: Workers) -> None:
    """Train for the budget; state, export and a check on unseen scenes every few minutes."""
    settings = ToySettings(roster=TRAINED + HELD_OUT, overlaps=0.25, turns=10.0, seed=args.seed + 40)
    if workers.leads:
        render_pool(settings, args.scenes, args.work / "pool", args.workers)
    workers.wait()
    examples = Examples.of(render_pool(settings, args.scenes, args.work / "pool", 1))
    if args.vae:
        examples.see_through(AutoencoderKL.from_pretrained(args.vae, torch_dtype=torch.float32).eval())
    if workers.leads:
        print(f"reader: {len(examples.images)} scenes ready", flush=True)
    model = FactReader().to(args.device, memory_format=torch.channels_last).train()
    average = Average(model, decay=0.998)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=0.02, fused=True
    )
    budget, step, running = Budget(args.minutes, args.save_every, args.total_scenes), 0, torch.tensor(8.0)
    if state := load_state(args.work / "state.pt", args.resume):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step = state["step"]
        budget.resume(state["minutes"])
    draw = torch.Generator().manual_seed((args.seed + step) * 64 + workers.rank)
    torch.manual_seed((args.seed + step) * 64 + workers.rank)  # of what `spoil` draws
    budget.tick_from_now()
    share = budget.tick(step * args.batch)
    while share < 1:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        rows = torch.randint(len(examples.images), (args.batch // workers.count,), generator=draw)
        loss = loss_of(model, examples, rows, args.device)
        optimizer.zero_grad()
        loss.backward()
        mean_loss, share = workers.average_gradients(model, loss.detach(), budget.tick((step + 1) * args.batch))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model, step)
        running = running.lerp(mean_loss.cpu(), 0.02)
        step += 1
        if workers.leads and step % 50 == 0:
            if not math.isfinite(running.item()):
                raise FloatingPointError(f"loss diverged at step {step}; start again with a lower --learning-rate")
            print(
                f"reader step {step} scenes {step * args.batch} minutes {budget.used:.1f} loss {running:.4f}",
                flush=True,
            )
        if workers.leads and budget.state_due():
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
            save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})
            publish(average, args.out)
    if workers.leads:
        print(f"reader done: {step * args.batch} scenes; {publish(average, args.out)}", flush=True)
    workers.wait()


def publish(average: Average, folder: Path) -> str:
    """The averaged weights in `folder`; returns what they read in unseen scenes."""
    fresh = FactReader().eval()
    average.copy_to(fresh)
    save_reader(fresh, folder)
    shown = ToySettings(roster=TRAINED + HELD_OUT, toy_counts=(0, 0.5, 0.5), seed=939).open()
    scenes = [shown.scene(index) for index in range(200)]
    found = str(read_facts(fresh, np.stack([s.image for s in scenes]), [s.objects for s in scenes]))
    print(f"reader, 200 unseen scenes: {found}", flush=True)
    return found


def main() -> None:
    """Read the options, join the other workers where there are any, and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=30, batch=64, learning_rate=2e-3)
    parser.add_argument("--scenes", type=int, default=8_000, help="scenes to render and train on")
    parser.add_argument("--total-scenes", type=int, help="scenes to see in all, instead of --minutes")
    parser.add_argument("--vae", type=Path, help="autoencoder's folder: one in three scenes is seen through it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(args, join_workers(args.device))


if __name__ == "__main__":
    main()
