"""Train the seedling's mask model: segment-anything's own classes, small, prompted with points and boxes.

    python -m models.training.sam --sprites assets --work runs/sam --out models/seedling/sam

It learns on every sprite that is not held out (see `wide_roster`) and is measured on the held-out ones, one point an
object. Scenes are rendered first, by all cores, and kept on the device; prompts are drawn there too, so that a GPU
does not wait:

    python -m models.training.sam ... --world full --device cuda --batch 256 --scenes 300000 --minutes 5 --save-every 1
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from segment_anything.modeling import Sam

from models.training.pool import render_pool
from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.prompts import LabelledScenes, draw_prompts, label_scenes, recoloured
from models.training.sam_answers import answers
from models.training.sam_losses import loss_of
from models.training.sam_points import point_score
from models.training.sprites import HELD_OUT, wide_roster
from models.training.world import World, world_settings
from stages.models.sam import build_sam, load_sam

CONFIG: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 4,
    "prompt_dim": 96,
    "image_encoder": {
        "dim": 128,
        "depth": 5,
        "heads": 4,
        "mlp_ratio": 3.0,
        "window": 8,
        "global_layers": [1, 3, 4],
        "relative_positions": False,
    },
    "mask_decoder": {"depth": 2, "heads": 4, "mlp_dim": 192, "iou_hidden": 96},
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}
"""For the calm world, and what two cores can train: 1.3 M parameters."""

WIDE: dict[str, Any] = CONFIG | {
    "prompt_dim": 128,
    "image_encoder": CONFIG["image_encoder"] | {"dim": 192, "depth": 6, "heads": 6, "global_layers": [1, 3, 5]},
    "mask_decoder": {"depth": 2, "heads": 4, "mlp_dim": 256, "iou_hidden": 128},
}
"""For the full world: 3.1 M parameters, a third slower. A patch of 4 x 4 pixels is 16 logits of the mask, which
`prompt_dim` numbers must tell."""


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
    config = CONFIG if args.world == "calm" else WIDE
    sam = build_sam(config)
    torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    return sam, config


def arguments() -> argparse.Namespace:
    """The options of every training script, and what is shown to this model."""
    parser = training_arguments(__doc__.splitlines()[0], minutes=50, batch=8, learning_rate=1e-3)
    parser.add_argument("--scenes", type=int, default=40_000, help="scenes to render and train on")
    parser.add_argument("--prompts", type=int, default=4, help="prompts a scene and step")
    parser.add_argument("--start-from", type=Path, help="folder of a trained mask model to go on from")
    parser.add_argument("--measured", type=int, default=512, help="scenes of held-out sprites to measure on")
    return parser.parse_args()


def main() -> None:
    """Train for the budget; state, an export and a short measurement every few minutes."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(args.seed)
    roster = wide_roster(args.sprites)
    settings = world_settings(args.world, args.sprites, roster, jitter=True, seed=args.seed + 10)
    pool = render_pool(settings, args.scenes, args.work / "scenes", args.workers)
    scenes = LabelledScenes.of(pool.images, pool.labels, args.device)
    world = World(world_settings(args.world, args.sprites, HELD_OUT, seed=args.seed + 11))
    train(args, scenes, label_scenes([world.scene(i) for i in range(args.measured)], args.device))


def train(args: argparse.Namespace, scenes: LabelledScenes, unseen: LabelledScenes) -> None:
    """Train on `scenes`, measure on `unseen`."""
    sam, config = start(args)
    sam = sam.to(args.device).train()
    average = Average(sam, decay=0.998)
    optimizer = torch.optim.AdamW(
        sam.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True
    )
    step, running = 0, torch.tensor(3.0, device=args.device)
    state = load_state(args.work / "state.pt", args.resume)
    if state:
        sam.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"])
        step = state["step"]
    generator = torch.Generator(args.device).manual_seed(args.seed + step)
    budget = Budget(args.minutes, args.save_every)
    if state:
        budget.resume(state["minutes"])
    while (share := budget.tick()) < 1:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        batch = recoloured(scenes.picked(args.batch, generator), generator)
        prompts = draw_prompts(batch.labels, args.prompts, generator)
        loss = loss_of(*answers(sam, batch.images, prompts), prompts.masks)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        average.update(sam, step)
        running = running.lerp(loss.detach(), 0.02)
        step += 1
        if step % 50 == 0:
            if not running.isfinite():  # reading the loss waits for the GPU, so not at every step
                raise FloatingPointError(f"the loss is {running.item()} at step {step}; lower --learning-rate")
            seen = f"step {step} scenes {step * args.batch} minutes {budget.used:.2f}"
            print(f"sam {seen} loss {running.item():.4f}", flush=True)
        if budget.state_due():
            saved = {"model": sam.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
            save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})
            finished = averaged(sam, average)
            export(finished, config, args.out)
            print(f"sam step {step} held-out {point_score(finished, unseen)}", flush=True)
    finished = averaged(sam, average)
    export(finished, config, args.out)
    print(f"sam done: {step} steps of {args.batch} scenes, held-out {point_score(finished, unseen)}", flush=True)


if __name__ == "__main__":
    main()
