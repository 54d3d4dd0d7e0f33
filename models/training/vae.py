"""Train the seedling's autoencoder: 64x64 RGB to 16x16x4 latents, about 0.6 M parameters.

python -m models.training.vae --sprites assets --work runs/vae --out runs/vae/final --minutes 26
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor

from models.training.configs import forget_paths
from models.training.pool import render_pool
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.sprites import HELD_OUT, wide_roster
from models.training.world import World, WorldSettings, world_settings

KL_WEIGHT = 1e-4
"""Per latent number. Small: enough to keep the latents smooth, too little to cost sharpness."""


CHANNELS = {"calm": (16, 32, 64), "full": (24, 48, 96)}
"""Of the three levels, by world."""


def build(world: str = "calm") -> AutoencoderKL:
    """An untrained autoencoder of three levels, no attention."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=CHANNELS[world],
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def to_tensor(images: list) -> Tensor:
    """uint8 [h, w, 3] pictures to float [b, 3, h, w] in -1..1."""
    stacked = torch.stack([torch.from_numpy(image) for image in images])
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(batch: Tensor) -> Tensor:
    """float [b, 3, h, w] in -1..1 to uint8 [b, h, w, 3]."""
    return ((batch.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


def loss_of(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Absolute plus squared error, the error of pixel differences (it sharpens edges), and a little KL; a scalar."""
    posterior = vae.encode(images).latent_dist
    output = vae.decode(posterior.sample()).sample
    error = output.float() - images
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + KL_WEIGHT * kl


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


def load_images(args: argparse.Namespace) -> Tensor:
    """Pictures to train on, uint8 [n, h, w, 3] on the training device: half with the trained sprites, half with every
    sprite that is not held out, turned and recoloured."""
    worlds = {
        "named": world_settings(args.world, args.sprites, seed=args.seed),
        "wide": WorldSettings(args.sprites, roster=wide_roster(args.sprites), jitter=True, seed=args.seed + 1),
    }
    pools = [render_pool(world, args.scenes, args.work / name, args.workers) for name, world in worlds.items()]
    return torch.cat([torch.from_numpy(np.array(pool.images)).to(args.device) for pool in pools])


def draw_batch(images: Tensor, count: int, noise: torch.Generator) -> Tensor:
    """`count` random pictures of `images`, float [b, 3, h, w] in -1..1."""
    rows = torch.randint(len(images), (count,), generator=noise, device=images.device)
    return (images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Train for the budget, saving state and weights as it goes."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=26, batch=8, learning_rate=3e-3)
    parser.add_argument("--scenes", type=int, default=16_000, help="scenes to render, of each of the two worlds")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the average of the weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile the loss: for a GPU")
    parser.add_argument("--start-from", type=Path, help="folder of a trained autoencoder to go on from")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    images = load_images(args)
    unseen = World(world_settings(args.world, args.sprites, HELD_OUT, seed=args.seed + 2))
    check = to_tensor([unseen.scene(i).image for i in range(128)]).to(args.device)

    vae = (
        AutoencoderKL.from_pretrained(args.start_from, torch_dtype=torch.float32)
        if args.start_from
        else build(args.world)
    )
    vae = vae.to(args.device, memory_format=torch.channels_last)
    average = Average(vae, decay=args.average)
    compute_loss = torch.compile(loss_of) if args.compile else loss_of
    optimizer = torch.optim.AdamW(vae.parameters(), lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    budget, step = Budget(args.minutes, args.save_every), 0
    if state := load_state(args.work / "state.pt", args.resume):
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step = state["step"]
        budget.resume(state["minutes"])
    noise = torch.Generator(args.device).manual_seed(args.seed * 1_000_003 + step)
    budget.tick_from_now()
    while (share := budget.tick()) < 1 or step == 0:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        batch = draw_batch(images, args.batch, noise)
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=batch.is_cuda):
            loss = compute_loss(vae, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae, step)
        step += 1
        if step % 50:
            continue
        if not math.isfinite(loss.item()):  # waits for the device, so only now and then
            raise FloatingPointError(f"loss is {loss.item()} at step {step}; start again with a lower --learning-rate")
        if step % 200 == 0:
            print(f"vae step {step} minutes {budget.used:.1f} loss {loss.item():.4f}", flush=True)
        if budget.state_due():
            saved = {"model": vae.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
            save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})
            psnr = save(vae, average, args.work / "vae", check)
            print(f"vae step {step} psnr of held-out scenes {psnr:.2f} dB", flush=True)
    psnr = save(vae, average, args.out, check)
    print(f"vae done: {step} steps, {step * args.batch} scenes, psnr of held-out scenes {psnr:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
