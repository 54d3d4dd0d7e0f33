"""Train the seedling's mask model: segment-anything's own classes, small, prompted with points and boxes.

    python -m models.training.sam --sprites assets --work runs/sam --out models/seedling/sam

It learns on every sprite that is not held out (see `wide_roster`) and is measured on the held-out ones, through
segment-anything's automatic mask generator as the product uses it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam
from torch import Tensor
from torch.nn import functional

from models.training.progress import Average, Budget, load_state, save_state, set_learning_rate, training_arguments
from models.training.prompts import Prompts, draw_prompts
from models.training.sprites import HELD_OUT, wide_roster
from models.training.world import Scene, World, WorldSettings
from stages.sam_model import build_sam

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

PROMPTS_PER_SCENE = 5


def embed_points(encoder: PromptEncoder, points: Tensor, labels: Tensor) -> Tensor:
    """Sparse prompts [P, 2, d]. points: [P, 2, 2] pixels; labels: [P, 2], box corners too, so that points and boxes
    share a batch, which the prompt encoder's own forward does not allow."""
    embedded = encoder.pe_layer.forward_with_coords(points + 0.5, encoder.input_image_size)
    table = torch.cat([encoder.not_a_point_embed.weight, *(e.weight for e in encoder.point_embeddings)])
    return embedded * (labels >= 0)[..., None] + table[labels + 1]


def decode(
    decoder: MaskDecoder, images: Tensor, positions: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Mask logits [P, 4, h, w] and predicted IoU [P, 4] of P prompts, each about its own image.

    The decoder's own forward takes many prompts about one image; this is the same computation, prompt by prompt.
    images: [P, d, g, g] embeddings; positions: [1, d, g, g]; sparse: [P, n, d]; dense: [1, d, g, g].
    """
    count, dim, height, width = images.shape
    outputs = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(count, -1, -1)
    tokens = torch.cat([outputs, sparse], 1)
    hidden, source = decoder.transformer(images + dense, positions.expand(count, -1, -1, -1), tokens)
    upscaled = decoder.output_upscaling(source.transpose(1, 2).reshape(count, dim, height, width))
    weights = [mlp(hidden[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = torch.einsum("pkc,pchw->pkhw", torch.stack(weights, 1), upscaled)
    return masks, decoder.iou_prediction_head(hidden[:, 0])


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Ten times the focal loss plus the dice loss of each mask: [P, k]. logits: [P, k, h, w]; masks: [P, h, w]."""
    target = masks[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = logits.sigmoid()
    missed = chance + target - 2 * chance * target
    focal = (missed.square() * entropy).mean((2, 3))
    dice = 1 - (2 * (chance * target).sum((2, 3)) + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)
    return 10 * focal + dice


def loss_of(sam: Sam, scenes: list[Scene], prompts: Prompts) -> Tensor:
    """Loss of the best of the three masks and of the single mask, plus the error of the predicted IoUs; a scalar."""
    pixels = torch.stack([torch.from_numpy(scene.image) for scene in scenes]).permute(0, 3, 1, 2)
    embeddings = sam.image_encoder(sam.preprocess(pixels.to(sam.device).float()))
    encoder = sam.prompt_encoder
    sparse = embed_points(encoder, prompts.points.to(sam.device), prompts.labels.to(sam.device))
    dense = encoder.no_mask_embed.weight[:, :, None, None]
    owners, masks = prompts.scene.to(sam.device), prompts.masks.to(sam.device)
    logits, quality = decode(sam.mask_decoder, embeddings[owners], encoder.get_dense_pe(), sparse, dense)
    losses = mask_loss(logits, masks)
    found, wanted = logits.detach() > 0, masks[:, None] > 0
    iou = (found & wanted).sum((2, 3)) / (found | wanted).sum((2, 3)).clamp(min=1)
    return losses[:, 1:].min(1).values.mean() + 0.5 * losses[:, 0].mean() + functional.mse_loss(quality, iou)


def mask_generator(sam: Sam, points_per_side: int = 12) -> SamAutomaticMaskGenerator:
    """segment-anything's automatic masks with thresholds that suit a small model."""
    return SamAutomaticMaskGenerator(
        sam, points_per_side=points_per_side, points_per_batch=144, pred_iou_thresh=0.5, stability_score_thresh=0.6
    )


def best_iou(sam: Sam, world: World, count: int, points_per_side: int = 12) -> tuple[float, float, float]:
    """Over the objects of `count` scenes: the mean best IoU of the automatic masks, the share of objects found with an
    IoU of 0.7 or more, and the mean number of masks a scene."""
    generator = mask_generator(sam, points_per_side)
    scores, found = [], 0
    for index in range(count):
        scene = world.scene(index)
        masks = [m["segmentation"] for m in generator.generate(scene.image)]
        found += len(masks)
        for wanted in scene.masks:
            scores.append(max(((m & wanted).sum() / (m | wanted).sum() for m in masks), default=0.0))
    return float(np.mean(scores)), float(np.mean(np.array(scores) >= 0.7)), found / count


def export(sam: Sam, average: Average, folder: Path) -> Sam:
    """Write the averaged weights, fp16, swapping `folder` in whole; returns the model as written."""
    fresh = build_sam(CONFIG)
    fresh.load_state_dict({name: value.cpu() for name, value in sam.state_dict().items()})
    average.copy_to(fresh)
    part, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({k: v.half().contiguous() for k, v in fresh.state_dict().items()}, part / "model.safetensors")
    (part / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        os.rename(folder, old)
    os.rename(part, folder)
    shutil.rmtree(old, ignore_errors=True)
    return fresh.eval()


def main() -> None:
    """Train for the budget; state, an export and a short measurement every few minutes."""
    args = training_arguments(__doc__.splitlines()[0], minutes=50, batch=6, learning_rate=1e-3).parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    world = World(WorldSettings(args.sprites, roster=wide_roster(args.sprites), jitter=True, seed=args.seed + 10))
    unseen = World(WorldSettings(args.sprites, roster=HELD_OUT, seed=args.seed + 11))
    sam = build_sam(CONFIG).to(args.device).train()
    torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    average = Average(sam, decay=0.998)
    optimizer = torch.optim.AdamW(sam.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=0.02)
    budget, step, running = Budget(args.minutes, args.save_every), 0, 3.0
    if state := load_state(args.work / "state.pt", args.resume):
        sam.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.values, step = state["average"], state["step"]
        budget.resume(state["minutes"])
    while (share := budget.tick()) < 1:
        set_learning_rate(optimizer, args.learning_rate, step, share)
        scenes = [world.scene(step * args.batch + i) for i in range(args.batch)]
        loss = loss_of(sam, scenes, draw_prompts(scenes, PROMPTS_PER_SCENE, np.random.default_rng((args.seed, step))))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        average.update(sam, step)
        running += 0.02 * (loss.item() - running)
        step += 1
        if step % 50 == 0:
            print(
                f"sam step {step} scenes {step * args.batch} minutes {budget.used:.1f} loss {running:.4f}", flush=True
            )
        if budget.state_due():
            saved = {"model": sam.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
            save_state(args.work / "state.pt", saved | {"minutes": budget.used, "step": step})
            mean, share_found, masks = best_iou(export(sam, average, args.out), unseen, 10)
            print(f"sam step {step} held-out iou {mean:.3f} found {share_found:.2f} masks {masks:.1f}", flush=True)
    mean, share_found, masks = best_iou(export(sam, average, args.out), unseen, 200)
    summary = f"held-out iou {mean:.3f} found {share_found:.2f} masks {masks:.1f}"
    print(f"sam done: {step} steps, {step * args.batch} scenes, {summary}", flush=True)


if __name__ == "__main__":
    main()
