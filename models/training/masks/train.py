"""Train the seedling's mask model: segment-anything's own classes, small, prompted with points and boxes.

    python -m models.training.masks.train --work runs/sam --out models/seedling/sam

It learns on everything that is not held out (see `worlds`), and is measured on what is, one point an object. Its
scenes are rendered first, by all cores. A GPU keeps them, and draws prompts from them, so that it does not wait:

    python -m models.training.masks.train ... --device cuda --batch 256 --scenes 300000 --minutes 5 --save-every 1

On a shared CPU two processes of one thread do more than one of two (see `workers`). A budget of scenes may be spent in
many sittings: the learning rate follows the scenes seen, and the same command goes on from the last state.

    python -m torch.distributed.run --nproc-per-node 2 -m models.training.masks.train ... --total-scenes 120000
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from segment_anything.modeling import Sam

from models.training.masks.answers import answers
from models.training.masks.losses import loss_of
from models.training.masks.points import PointScore, point_score
from models.training.masks.prompts import LabelledScenes, draw_prompts, label_scenes, recoloured
from models.training.masks.whereabouts import WayHead, way_loss
from models.training.masks.worlds import lessons, unseen
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.workers import Workers, join_workers
from models.training.world.pool import open_pool, render_pool
from stages.models.sam import build_sam, load_sam

CONFIG: dict[str, Any] = {
    "image_size": 128,
    "patch_size": 8,
    "prompt_dim": 128,
    "image_encoder": {
        "dim": 160,
        "depth": 5,
        "heads": 5,
        "mlp_ratio": 3.0,
        "window": 8,
        "global_layers": [1, 3, 4],
        "relative_positions": False,
    },
    "mask_decoder": {"depth": 2, "heads": 4, "mlp_dim": 256, "iou_hidden": 128},
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}
"""2.2 M parameters, what two cores can train. As many patches as pictures of half the size would have, so that
attention costs the same, of four times the pixels; the masks are 64 x 64 and are enlarged, which toys' clear outlines
bear."""


def averaged(sam: Sam, average: Average) -> Sam:
    """A copy of the model with the averaged weights, in evaluation mode, on the same device."""
    fresh = copy.deepcopy(sam)
    average.copy_to(fresh)
    return fresh.eval()


def export(sam: Sam, config: dict[str, Any], folder: Path) -> None:
    """Write the weights, fp16, and the configuration that they are of, swapping `folder` in whole."""
    part, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({k: v.half().cpu().contiguous() for k, v in sam.state_dict().items()}, part / "model.safetensors")
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        os.rename(folder, old)
    os.rename(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def start(args: argparse.Namespace) -> tuple[Sam, dict[str, Any]]:
    """The model to train, fresh or with the weights of `--start-from`, and its configuration."""
    if args.start_from:
        config = json.loads((args.start_from / "config.json").read_text(encoding="utf-8"))
        return load_sam(str(args.start_from), "cpu"), config
    config = CONFIG
    sam = build_sam(config)
    torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    return sam, config


def load_scenes(args: argparse.Namespace, workers: Workers) -> LabelledScenes:
    """The scenes to train on, rendered by the leader."""
    settings, folder = lessons(args.seed + 10), args.work / "scenes"
    if workers.leads:
        render_pool(settings, args.scenes, folder, args.workers)
        print(f"sam: {args.scenes} scenes ready", flush=True)
    workers.wait()
    pool = open_pool(folder, settings.roster)
    return LabelledScenes.of(pool.images, pool.labels, args.device)


def train(args: argparse.Namespace, workers: Workers) -> None:
    """Train for the budget; state, an export and a short measurement every few minutes."""
    scenes = load_scenes(args, workers)
    world = unseen(args.seed + 11).open()
    measured = label_scenes([world.scene(i) for i in range(args.measured if workers.leads else 1)], args.device)

    sam, config = start(args)
    sam = sam.to(args.device).train()
    head = WayHead(config["prompt_dim"]).to(args.device)
    both = torch.nn.ModuleList([sam, head])
    average = Average(sam, decay=args.average)
    optimizer = torch.optim.AdamW(
        both.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True
    )
    budget, step = Budget(args.minutes, args.save_every, args.total_scenes), 0
    running = torch.tensor(3.0, device=args.device)
    if state := load_state(args.work / "state.pt", args.resume):
        both.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step, running = state["step"], torch.tensor(state.get("loss", 3.0), device=args.device)
        budget.resume(state["minutes"])
        if workers.leads:
            print(f"sam goes on from step {step}, scenes {step * args.batch}", flush=True)

    def publish() -> PointScore:
        """The state, and the averaged weights in `--out`; their score."""
        saved = {"model": both.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
        save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step, "loss": running.item()})
        finished = averaged(sam, average)
        export(finished, config, args.out)
        return point_score(finished, measured)

    generator = torch.Generator(args.device).manual_seed((args.seed * 1_000_003 + step) * 64 + workers.rank)
    budget.tick_from_now()
    share = budget.tick(step * args.batch)
    stop_at = budget.used + (args.stop_after or math.inf)
    while share < 1:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        batch = recoloured(scenes.picked(args.batch // workers.count, generator), generator)
        prompts = draw_prompts(batch.labels, args.prompts, generator)
        logits, quality, embeddings = answers(sam, batch.images, prompts)
        loss = loss_of(logits, quality, prompts.masks)
        total = loss + way_loss(head(embeddings), batch.labels)
        optimizer.zero_grad()
        total.backward()
        share = budget.tick((step + 1) * args.batch)
        stop = 1.0 if budget.used >= stop_at else share  # the leader's clock, so that all stop at the same step
        mean_loss, share = workers.average_gradients(both, loss.detach(), stop)
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        average.update(sam, step)
        running = running.lerp(mean_loss, 0.02)
        step += 1
        if not workers.leads or step % 50:
            continue
        if not running.isfinite():  # reading the loss waits for the GPU, so not at every step
            raise FloatingPointError(f"the loss is {running.item()} at step {step}; lower --learning-rate")
        seen = f"step {step} scenes {step * args.batch} minutes {budget.used:.2f}"
        print(f"sam {seen} loss {running.item():.4f}", flush=True)
        if budget.state_due():
            print(f"sam step {step} held-out {publish()}", flush=True)
    if workers.leads:
        score, end = publish(), "stopped" if budget.tick(step * args.batch) < 1 else "done"
        print(f"sam {end}: {step} steps of {args.batch} scenes, held-out {score}", flush=True)
    workers.wait()


def main() -> None:
    """Read the options, join the other workers where there are any, and train."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=50, batch=8, learning_rate=1e-3)
    parser.add_argument("--scenes", type=int, default=40_000, help="scenes to render and train on")
    parser.add_argument(
        "--total-scenes", type=int, help="scenes to see in all, instead of --minutes; resumed runs included"
    )
    parser.add_argument("--prompts", type=int, default=4, help="prompts a scene and step")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the average of the weights")
    parser.add_argument("--start-from", type=Path, help="folder of a trained mask model to go on from")
    parser.add_argument("--stop-after", type=float, help="minutes after which this run stops, to be resumed")
    parser.add_argument("--measured", type=int, default=512, help="scenes of what is held out to measure on")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(args.seed)
    train(args, join_workers(args.device))


if __name__ == "__main__":
    main()
