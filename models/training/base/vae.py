"""Train the seedling's autoencoder: a picture to 16x16x4 latents.

python -m models.training.base.vae --work runs/vae --out runs/vae/final --minutes 40

Pictures are 128x128 and four levels halve them three times (0.7 M parameters). They are learnt at 64x64 first,
`--half-size`, and grown from that, `--grow-from`. Once a UNet is trained on the latents the encoder is settled; the
decoder can still be trained on, `--start-from` it with `--settled`.
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from models.training.base.growing import build, grown
from models.training.configs import forget_paths
from models.training.precision import half_precision
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.workers import Workers, join_workers
from models.training.world.pool import render_pool
from models.training.world.roster import HELD_OUT
from models.training.world.world import ToySettings

KL_WEIGHT = 1e-4
"""Per latent number. Small: enough to keep the latents smooth, too little to cost sharpness."""


FOREGROUND = 3.0
"""Objects and their edges are what is looked at: how much more than elsewhere an error counts there."""
RIM = 3
"""Pixels around an object that count as its edge."""

CHANNELS = (16, 16, 32, 64)
"""Of the levels; pictures half as large do without the first."""


def to_tensor(images: list) -> Tensor:
    """uint8 [h, w, 3] pictures to float [b, 3, h, w] in -1..1."""
    stacked = torch.stack([torch.from_numpy(image) for image in images])
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(batch: Tensor) -> Tensor:
    """float [b, 3, h, w] in -1..1 to uint8 [b, h, w, 3]."""
    return ((batch.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


def loss_of(vae: AutoencoderKL, images: Tensor, weight: Tensor) -> Tensor:
    """Absolute plus squared error, the error of pixel differences (it sharpens edges), and a little KL; a scalar.

    images: [b, 3, h, w] in -1..1; weight: [b, 1, h, w], of each pixel's error, 1 on average.
    """
    posterior = vae.encode(images).latent_dist
    output = vae.decode(posterior.sample()).sample
    error = output.float() - images
    across = ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return (weight * (error.abs() + 2 * error.square())).mean() + 0.5 * (across + down) + KL_WEIGHT * kl


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, images: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio, dB, of decode(mode(encode(picture)))."""
    output = vae.decode(vae.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
    errors = ((output - images) / 2).square().mean((1, 2, 3))
    return float((-10 * torch.log10(errors)).mean())


@torch.no_grad()
def latent_std(vae: AutoencoderKL, images: Tensor) -> float:
    """Standard deviation of sampled latents over everything: one over the scaling factor."""
    generator = torch.Generator(images.device).manual_seed(0)
    return float(vae.encode(images).latent_dist.sample(generator).std())


def save(vae: AutoencoderKL, average: Average, folder: Path, check: Tensor) -> float:
    """Write the averaged weights, fp16, with the scaling factor measured on `check`; returns their PSNR in dB."""
    fresh = copy.deepcopy(vae).eval()
    average.copy_to(fresh)
    psnr = reconstruction_psnr(fresh, check)
    fresh.register_to_config(scaling_factor=round(1 / latent_std(fresh, check), 4))
    with torch.no_grad():
        output = fresh.decode(fresh.encode(check[:16]).latent_dist.mode()).sample
    fresh.half().save_pretrained(folder, safe_serialization=True, max_shard_size="15MB")
    forget_paths(folder)
    rows = [torch.cat(list(to_images(batch)), 1) for batch in (check[:16], output)]
    Image.fromarray(torch.cat(rows, 0).numpy()).save(folder.parent / "reconstructions.png")
    return psnr


def starting_weights(args: argparse.Namespace) -> AutoencoderKL:
    """Untrained, or a trained one's, or one's for pictures half as large, grown."""
    if args.grow_from:
        return grown(AutoencoderKL.from_pretrained(args.grow_from, torch_dtype=torch.float32))
    if args.start_from:
        return AutoencoderKL.from_pretrained(args.start_from, torch_dtype=torch.float32)
    return build(CHANNELS[1 if args.half_size else 0 :])


def toy_settings(args: argparse.Namespace, **more: Any) -> ToySettings:
    """Of a world of toys as large as the autoencoder's pictures."""
    whole = ToySettings()
    part = 2 if args.half_size else 1
    return ToySettings(height=whole.height // part, width=whole.width // part, **more)


def load_images(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Pictures to train on, uint8 [n, h, w, 3], and their label maps, uint8 [n, h, w] (0: no toy), on the training
    device: half of the world that the UNet learns, half of toys turned all ways, most of them small."""
    worlds = {
        "named": toy_settings(args, seed=args.seed),
        "wide": toy_settings(args, seed=args.seed + 1, turns=180, mirrored=0.5, toy_counts=(0.0, 0.2, 0.4, 0.4)),
    }
    pools = [render_pool(world, args.scenes, args.work / name, args.workers) for name, world in worlds.items()]
    images, labels = (np.concatenate([getattr(pool, field) for pool in pools]) for field in ("images", "labels"))
    return torch.from_numpy(images).to(args.device), torch.from_numpy(labels).to(args.device)


def unseen_images(args: argparse.Namespace, count: int = 128) -> Tensor:
    """Pictures of held-out toys, float [count, 3, h, w] in -1..1: what its sharpness is measured on."""
    world = toy_settings(args, roster=HELD_OUT, seed=args.seed + 2).open()
    return to_tensor([world.scene(i).image for i in range(count)]).to(args.device)


def draw_batch(images: Tensor, labels: Tensor, count: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` random pictures of `load_images`, float [b, 3, h, w] in -1..1, and the weight of each pixel's error,
    float [b, 1, h, w], 1 on average: more by `FOREGROUND` within `RIM` of an object."""
    rows = torch.randint(len(images), (count,), generator=noise, device=images.device)
    batch = (images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    weight = 1 + FOREGROUND * max_pool2d((labels[rows, None] > 0).float(), 2 * RIM + 1, 1, RIM)
    return batch, weight / weight.mean()


def train(args: argparse.Namespace, workers: Workers) -> None:
    """Train for the budget, saving state and weights as it goes."""
    if workers.leads:
        load_images(args)
    workers.wait()  # for the leader's pictures
    (images, labels), check = load_images(args), unseen_images(args)
    vae = starting_weights(args).to(args.device, memory_format=torch.channels_last)
    if args.settled:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    average = Average(vae, decay=args.average)
    compute_loss = torch.compile(loss_of) if args.compile else loss_of
    optimizer = torch.optim.AdamW(
        [p for p in vae.parameters() if p.requires_grad],
        lr=args.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=1e-4,
        fused=True,
    )
    budget, step = Budget(args.minutes, args.save_every, args.total_scenes), 0
    if state := load_state(args.work / "state.pt", args.resume):
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step = state["step"]
        budget.resume(state["minutes"])

    def keep() -> None:
        saved = {"model": vae.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
        save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})

    noise = torch.Generator(args.device).manual_seed((args.seed * 1_000_003 + step) * 64 + workers.rank)
    budget.tick_from_now()
    share = budget.tick(step * args.batch)
    while share < 1 or step == 0:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        batch, weight = draw_batch(images, labels, args.batch // workers.count, noise)
        with half_precision(args.device):
            loss = compute_loss(vae, batch, weight)
        optimizer.zero_grad()
        loss.backward()
        loss, share = workers.average_gradients(vae, loss.detach(), budget.tick((step + 1) * args.batch))
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae, step)
        step += 1
        if not workers.leads or step % 50:
            continue
        if not math.isfinite(loss.item()):  # waits for the device, so only now and then
            raise FloatingPointError(f"loss is {loss.item()} at step {step}; start again with a lower --learning-rate")
        if step % 200 == 0:
            print(f"vae step {step} minutes {budget.used:.1f} loss {loss.item():.4f}", flush=True)
        if budget.state_due():
            keep()
            psnr = save(vae, average, args.work / "vae", check)
            print(f"vae step {step} psnr of held-out scenes {psnr:.2f} dB", flush=True)
    if workers.leads:
        keep()
        psnr = save(vae, average, args.out, check)
        print(f"vae done: {step} steps, {step * args.batch} scenes, psnr of held-out scenes {psnr:.2f} dB", flush=True)
    workers.wait()


def main() -> None:
    """Read the options, join the other workers where there are any, and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=26, batch=8, learning_rate=3e-3)
    parser.add_argument("--scenes", type=int, default=16_000, help="scenes to render, of each of the two worlds")
    parser.add_argument(
        "--total-scenes", type=int, help="scenes to see in all, instead of --minutes; resumed runs included"
    )
    parser.add_argument("--average", type=float, default=0.998, help="decay of the average of the weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile the loss: for a GPU")
    parser.add_argument("--start-from", type=Path, help="folder of a trained autoencoder to go on from")
    parser.add_argument("--half-size", action="store_true", help="pictures half as large, to be grown")
    parser.add_argument("--grow-from", type=Path, help="folder of a trained autoencoder of pictures half as large")
    parser.add_argument("--settled", action="store_true", help="train the decoder alone, so that latents stay the same")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(args, join_workers(args.device))


if __name__ == "__main__":
    main()
