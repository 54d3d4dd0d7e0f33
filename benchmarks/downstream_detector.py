"""The instance segmenter of `benchmarks.downstream`: torchvision's Mask R-CNN, small enough for a CPU.

Nobody trains a detector on two pictures from nothing, so all arms begin with one that has seen the known toys in the
shown places, as photographs begin with COCO. The new toys, and the unshown places, are new to it. Its last layers
are then made for the new classes, boxes and masks from the mean of those of the known ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from benchmarks.downstream_scenes import SHOWN, Labelled
from models.training.world.silhouettes import SILHOUETTES
from models.training.world.world import ToySettings

SIDE, WIDTH = 128, 64
"""Of pictures and of the features, pixels and channels."""
KNOWN = tuple(SILHOUETTES)
"""The classes of the start: what toys are called. Four of them are never seen."""
START_STEPS, START_BATCH, START_RATE = 600, 8, 1e-3
STEPS, BATCH, RATE = 80, 4, 5e-4
"""Of every arm."""
SURE = 0.05
"""Boxes below this score are not told."""
Draw = Callable[[np.random.Generator], Labelled]


def _layer(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.GroupNorm(8, outside), nn.ReLU(inplace=True)
    )


def build(classes: int) -> MaskRCNN:
    """650,000 parameters, features at an eighth of the picture, one level of anchors of the toys' sizes."""
    backbone = nn.Sequential(
        _layer(3, 24, 2), _layer(24, 32, 1), _layer(32, 48, 2), _layer(48, 48, 1), _layer(48, WIDTH, 2),
        _layer(WIDTH, WIDTH, 1), _layer(WIDTH, WIDTH, 1),
    )  # fmt: skip
    backbone.out_channels = WIDTH
    return MaskRCNN(
        backbone,
        min_size=SIDE,
        max_size=SIDE,
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
        rpn_anchor_generator=AnchorGenerator(((36, 52, 72),), ((0.6, 1.0, 1.6),)),
        rpn_pre_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_train=60,
        rpn_post_nms_top_n_test=20,
        rpn_batch_size_per_image=64,
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 1),
        box_head=TwoMLPHead(WIDTH * 49, 128),
        box_predictor=FastRCNNPredictor(128, classes + 1),
        box_batch_size_per_image=24,
        box_score_thresh=SURE,
        box_detections_per_img=8,
        mask_roi_pool=MultiScaleRoIAlign(["0"], 14, 1),
        mask_head=nn.Sequential(_layer(WIDTH, 32, 1), _layer(32, 32, 1)),
        mask_predictor=nn.Sequential(
            nn.ConvTranspose2d(32, 32, 2, 2), nn.ReLU(inplace=True), nn.Conv2d(32, classes + 1, 1)
        ),
    )


def for_classes(start: dict[str, Tensor], classes: int, seed: int) -> MaskRCNN:
    """The start with its last layers for new classes."""
    torch.manual_seed(seed)
    model = build(classes)
    fresh, state = model.state_dict(), dict(start)
    for name, value in fresh.items():
        if value.shape == state[name].shape:
            continue
        each = 4 if "bbox_pred" in name else 1
        rows = state[name].reshape(-1, each, *state[name].shape[1:])
        mean = rows[1:].mean(0).expand(classes, *rows.shape[1:])
        if "cls_score" in name:
            mean = fresh[name].reshape(-1, 1, *value.shape[1:])[1:] * 0.5 + mean
        state[name] = torch.cat([rows[:1], mean]).reshape(value.shape)
    model.load_state_dict(state)
    return model


def known_scenes(dice: np.random.Generator) -> Labelled:
    """A scene of one or two known toys in a shown place."""
    world = ToySettings().open()
    roster = world.settings.roster
    toys = [roster[i] for i in dice.integers(len(roster), size=int(dice.integers(1, 3)))]
    scene = world.compose(int(dice.choice(SHOWN)), toys, dice)
    return Labelled(scene.image, scene.masks, tuple(KNOWN.index(toy.silhouette) + 1 for toy in toys))


def make_start(file: Path) -> None:
    """Trains the start and writes it, unless it is there."""
    if file.exists():
        return
    torch.manual_seed(0)
    model = build(len(KNOWN))
    train(model, known_scenes, START_STEPS, START_BATCH, START_RATE, 0)
    whole = file.with_suffix(".part")
    torch.save(model.state_dict(), whole)
    whole.replace(file)


def train(model: MaskRCNN, draw: Draw, steps: int, batch: int, rate: float, seed: int) -> list[float]:
    """AdamW, warmed up over a tenth of the steps, down a cosine; returns the loss of every step."""
    dice, losses = np.random.default_rng((seed, 81)), []
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-3)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / (0.1 * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))
        drawn = [_with_things(draw, dice) for _ in range(batch)]
        terms = model([_pixels(shown) for shown in drawn], [_target(shown) for shown in drawn])
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@torch.no_grad()
def predict(model: MaskRCNN, pictures: Sequence[Labelled]) -> Iterator[dict[str, np.ndarray]]:
    """For each picture `scores` [k], `labels` [k] and `masks` bool [k, h, w]."""
    model.eval()
    for start in range(0, len(pictures), 8):
        for found in model([_pixels(shown) for shown in pictures[start : start + 8]]):
            yield {
                "scores": found["scores"].numpy(),
                "labels": found["labels"].numpy(),
                "masks": found["masks"][:, 0].numpy() > 0.5,
            }


def _with_things(draw: Draw, dice: np.random.Generator) -> Labelled:
    """The next picture with a thing on it: a crop may have lost all of them."""
    while not (shown := draw(dice)).classes:
        pass
    return shown


def _pixels(shown: Labelled) -> Tensor:
    return torch.from_numpy(shown.image).permute(2, 0, 1) / 255


def _target(shown: Labelled) -> dict[str, Tensor]:
    boxes = []
    for mask in shown.masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return {
        "boxes": torch.tensor(np.array(boxes), dtype=torch.float32),
        "labels": torch.tensor(shown.classes),
        "masks": torch.from_numpy(shown.masks.astype(np.uint8)),
    }
