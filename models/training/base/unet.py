"""Train the seedling's UNet and text encoder together on encoded scenes, and export the whole base as it improves.

python -m models.training.base.unet --vae runs/vae/final --work runs/unet --out models/seedling/base

Batches are large, because silhouettes come late and only where steps are quiet: batches of 512 drew six in ten of them
after 337,000 scenes, at two thirds of the way to nothing batches of 64 one in five after 352,000.

With `--total-scenes` a run may take many sittings: the learning rate depends on the scenes seen alone; weights,
optimizer and position are saved whole every few minutes, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor, nn
from transformers import CLIPTokenizer

from models.training.base.arriving import ArrivingScenes
from models.training.base.denoiser import Denoiser, adopt
from models.training.base.dense import WEIGHT, dense_loss
from models.training.base.encoding import Encoding, encode_world
from models.training.base.latents import Batch
from models.training.base.parts import (
    SHEET_PROMPTS,
    assemble,
    build_scheduler,
    export,
    sample,
    save_sheet,
)
from models.training.precision import half_precision
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.workers import Workers, join_workers
from models.training.world import tokenizer as vocabulary
from models.training.world.world import ToySettings

TEXT_RATE = 0.15
"""The text encoder's share of the learning rate. At the full rate each appearance of a rare word moves its embedding by
as much as it is long, and the UNet never learns to read it."""


FOREGROUND = 3.0
"""Objects cover a sixth of a scene and are what takes long to learn. Weights by place change what is learned first and
nothing else: at each place the best prediction stays the mean."""


def draw_timesteps(count: int, noise: torch.Generator) -> Tensor:
    """Three in four from a logit-normal around timestep 620 (two thirds of it from 380 to 820), the rest uniform.

    Under less noise the latents still show what they are of, and the UNet soon repairs them. Places are settled under
    more. In between, on a grid of 16 x 16 and with Stable Diffusion's schedule, shapes are decided: where words matter
    most, and what takes longest to learn.
    """
    device = noise.device
    middle = torch.sigmoid(0.5 + torch.randn(count, generator=noise, device=device))
    even = torch.rand(count, generator=noise, device=device)
    drawn = torch.where(torch.rand(count, generator=noise, device=device) < 0.75, middle, even)
    return (drawn * 1000).long().clamp(0, 999)


def loss_of(
    model: nn.Module,
    scheduler: DDIMScheduler,
    batch: Batch,
    noise: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Squared error of the velocity, a weighted mean: places count up to 1 + `FOREGROUND` times as much where objects
    cover them; and the sum to train by, of that and of what the dense head gets wrong. `batch`: as
    `EncodedScenes.draw` gives it, on the device of `noise`.

    The model computes in bfloat16 where `precision` says that it pays, the loss in float32.
    """
    latents = batch.latents
    epsilon = torch.randn(latents.shape, generator=noise, device=latents.device)
    timesteps = draw_timesteps(len(latents), noise)
    noisy = scheduler.add_noise(latents, epsilon, timesteps).contiguous(memory_format=torch.channels_last)
    velocity = scheduler.get_velocity(latents, epsilon, timesteps)
    with half_precision(latents.device):
        predicted, logits = model(noisy, timesteps, batch.token_ids)
    weight = 1 + FOREGROUND * batch.covered
    error = (weight * (predicted.float() - velocity).square()).mean() / weight.mean()
    return error, error + WEIGHT * dense_loss(logits, batch.parts)


def publish(
    model: Denoiser, average: Average, vae: Path, tokens: CLIPTokenizer, work: Path, out: Path, device: str
) -> None:
    """The whole pipeline of the averaged weights in `out`, and a sample sheet in `work`, drawn on `device`."""
    fresh = Denoiser(tokens).eval()
    average.copy_to(fresh)
    drawer = AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32)
    pipeline = assemble(drawer, fresh.unet, fresh.text_encoder, tokens)
    export(pipeline, out)
    pipeline.to(device)
    save_sheet(sample(pipeline, list(SHEET_PROMPTS)), work / f"sheet-{time.strftime('%m%d-%H%M')}.png")


@contextmanager
def scenes_of(args: argparse.Namespace, workers: Workers, tokenizer: Path) -> Iterator[ArrivingScenes]:
    """The scenes to train on, rendered, encoded and captioned by the leader's processes: the first `--begin-with` of
    them, and the others as they come. `tokenizer`: its folder."""
    folder, begin = args.work / "scenes", min(args.scenes, args.begin_with or args.scenes)
    factor = AutoencoderKL.load_config(args.vae)["scaling_factor"]
    with ExitStack() as stack:
        encoding, world = None, (ToySettings(seed=args.seed), args.scenes, args.vae, tokenizer, folder)
        if workers.leads and args.workers == 1:
            encode_world(*world, workers=1)
        elif workers.leads:
            encoding = stack.enter_context(Encoding(*world, args.workers))
            encoding.wait_for(begin)
        workers.wait()
        scenes = ArrivingScenes(folder, args.scenes, factor, args.device, encoding)
        if workers.leads:
            print(f"unet: {scenes.there} of {args.scenes} scenes ready", flush=True)
        yield scenes


def train(args: argparse.Namespace, workers: Workers) -> None:
    """Train for the budget; state every few minutes, an export every `--export-every` minutes."""
    tokenizer = args.work / f"tokenizer-{workers.rank}"
    tokens = vocabulary.build(tokenizer, vocabulary.world_words())
    with scenes_of(args, workers, tokenizer) as scenes:
        learn(args, workers, tokens, scenes)


def learn(args: argparse.Namespace, workers: Workers, tokens: CLIPTokenizer, scenes: ArrivingScenes) -> None:
    """The training itself."""
    model = Denoiser(tokens)
    if args.start_from:
        adopt(model, args.start_from)
    model = model.suit(args.device).train()
    denoise = torch.compile(model) if args.compile else model
    average, scheduler = Average(model, decay=args.average), build_scheduler()
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(args.device)
    groups = [
        {"params": list(model.unet.parameters()), "scale": 1.0},
        {"params": list(model.text_encoder.parameters()), "scale": TEXT_RATE},
        {"params": list(model.dense.parameters()), "scale": 1.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    budget, step = Budget(args.minutes, args.save_every, args.total_scenes), 0
    running = torch.ones((), device=args.device)
    if state := load_state(args.work / "state.pt", args.resume):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step, running = state["step"], torch.tensor(state["loss"], device=args.device)
        budget.resume(state["minutes"])
        if workers.leads:
            print(f"unet goes on from step {step}, scenes {step * args.batch}", flush=True)

    def keep() -> None:
        saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
        save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step, "loss": running.item()})

    noise = torch.Generator(args.device).manual_seed((args.seed * 1_000_003 + step) * 64 + workers.rank)
    budget.tick_from_now()
    exported, share = budget.used, budget.tick(step * args.batch)
    stop_at = budget.used + (args.stop_after or math.inf)
    while share < 1:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        error, loss = loss_of(denoise, scheduler, scenes.draw(args.batch // workers.count, noise), noise)
        optimizer.zero_grad()
        loss.backward()
        share = budget.tick((step + 1) * args.batch)
        stop = 1.0 if budget.used >= stop_at else share  # the leader's clock, so that all stop at the same step
        mean_loss, share = workers.average_gradients(model, error.detach(), stop)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model, step)
        running = running.lerp(mean_loss, 0.02)
        step += 1
        if step % 50 == 0:
            scenes.look()
        if not workers.leads or step % 50:
            continue
        if not math.isfinite(running.item()):  # waits for the device, so only now and then
            raise FloatingPointError(f"loss diverged at step {step}; start again with a lower --learning-rate")
        if step % 100 == 0:
            seen, rate = step * args.batch, optimizer.param_groups[0]["lr"]
            where = f"unet step {step} scenes {seen} of {scenes.there} minutes {budget.used:.1f}"
            print(f"{where} rate {rate:.2e} loss {running:.4f}", flush=True)
        if budget.state_due():
            keep()
        if budget.used - exported >= args.export_every:
            publish(model, average, args.vae, tokens, args.work, args.out, args.device)
            exported = budget.used
    if workers.leads:
        keep()
        publish(model, average, args.vae, tokens, args.work, args.out, args.device)
        end = "stopped" if budget.tick(step * args.batch) < 1 else "done"
        print(f"unet {end}: {step} steps, {step * args.batch} scenes, loss {running:.4f}", flush=True)
    workers.wait()


def main() -> None:
    """Read the options, join the other workers where there are any, and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=100, batch=512, learning_rate=1.2e-3)
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained autoencoder")
    parser.add_argument("--scenes", type=int, default=24_000, help="scenes to render and train on")
    parser.add_argument(
        "--begin-with", type=int, help="scenes to have before training begins, where a GPU would wait for processors"
    )
    parser.add_argument(
        "--total-scenes", type=int, help="scenes to see in all, instead of --minutes; resumed runs included"
    )
    parser.add_argument("--average", type=float, default=0.9995, help="decay of the average of the weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model: for a GPU")
    parser.add_argument("--start-from", type=Path, help="folder of a trained base to go on from")
    parser.add_argument("--stop-after", type=float, help="minutes after which this run stops, to be resumed")
    parser.add_argument("--export-every", type=float, default=15.0, help="minutes between exports to --out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(args, join_workers(args.device))


if __name__ == "__main__":
    main()
