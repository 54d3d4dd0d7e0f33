"""Pictures a second of the segment stage's masks, against segment_anything's generator picture by picture.

    python -m benchmarks.segment                                        # the seedling at the demo's settings
    python -m benchmarks.segment --sam vit_b --side 512 --images 4 --points-per-side 32     # official size, random

Both run in this process on the same pictures, in rounds that take turns, so that what else the machine does meets both
alike; the table shows medians. "cpu" is the processor time of this process: on a busy machine it tells more than the
clock. Official sizes have random weights (the time is that of trained ones), whose estimates and masks mean nothing:
`--keep-iou` and `--keep-stability` say which share of all masks is to pass each threshold, the thresholds are read off
the first picture, and the number of masks that came out is reported. Both sides get the same thresholds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
from segment_anything.modeling import Sam

from benchmarks.measure import clock, machine, medians, peak_gib, reset_peak, write_json
from schemas.job import Segment
from stages.models.device import pick_device
from stages.models.sam import load_sam
from stages.segment.sam.proposer import Proposer

ROOT = Path(__file__).parent.parent
SEEDLING = ROOT / "models" / "seedling" / "sam"


def main() -> None:
    """Measure, print the table, write JSON."""
    args = _arguments()
    device = pick_device() if args.device == "auto" else torch.device(args.device)
    sam = _sam(args.sam).to(device).eval()
    side = args.side or sam.image_encoder.img_size
    shown = _pictures(args.images, side)
    settings = _settings(args, sam, shown[0])
    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=settings.points_per_side,
        points_per_batch=settings.points_per_batch,
        pred_iou_thresh=settings.pred_iou_thresh,
        stability_score_thresh=settings.stability_score_thresh,
    )
    proposer = Proposer(sam, settings)

    def library() -> list[int]:
        return [len(generator.generate(picture)) for picture in shown]

    def ours() -> list[int]:
        kept = []
        for start in range(0, len(shown), args.batch):
            for found in proposer.propose_all(shown[start : start + args.batch]):
                if isinstance(found, Exception):
                    raise found
                kept.append(len(found))
        return kept

    ways: dict[str, Callable[[], list[int]]] = {"SamAutomaticMaskGenerator": library, "unscene": ours}
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    masks: dict[str, list[int]] = {}
    for _ in range(args.warmup):
        for way in ways.values():
            way()
    for turn in range(args.rounds):
        for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
            reset_peak(device)
            wall, cpu = clock(lambda: masks.update({name: ways[name]()}), device)  # noqa: B023
            seconds[name].append({"seconds": wall, "cpu_seconds": cpu, "peak_gib": peak_gib(device)})
    result = {
        "what": "automatic masks, pictures a second",
        "arguments": vars(args),
        "side": side,
        "settings": settings.model_dump(include=set(_SETTINGS)),
        "machine": machine(device),
        "masks": masks,
        "rounds": seconds,
        **_summary(seconds, len(shown)),
    }
    _print(result)
    write_json(args.out, result)


_SETTINGS = ("points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sam", choices=["seedling", "vit_b", "vit_l", "vit_h"], default="seedling")
    parser.add_argument("--side", type=int, help="of the pictures, in pixels; default: the model's own")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4, help="pictures side by side; the stage's unit is 4")
    parser.add_argument("--points-per-side", type=int, default=12)
    parser.add_argument("--points-per-batch", type=int, default=64)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1, help="rounds before the first that counts")
    parser.add_argument("--pred-iou-thresh", type=float, help="default: the demo's for the seedling")
    parser.add_argument("--stability-score-thresh", type=float, help="default: the demo's for the seedling")
    parser.add_argument("--keep-iou", type=float, default=0.4, help="share of masks that pass (random weights)")
    parser.add_argument("--keep-stability", type=float, default=0.5, help="share of those that pass (random weights)")
    parser.add_argument("--out", help="JSON file to write")
    return parser.parse_args()


def _sam(name: str) -> Sam:
    """The seedling, or an official size with random weights and masks that differ from prompt to prompt."""
    if name == "seedling":
        return load_sam(str(SEEDLING), "cpu")
    torch.manual_seed(0)
    sam = sam_model_registry[name](checkpoint=None)
    with torch.no_grad():  # official weights start with these at zero, and logits of random weights are tiny
        sam.image_encoder.pos_embed.normal_(std=0.5)
        for net in sam.mask_decoder.output_hypernetworks_mlps:
            net.layers[-1].weight.mul_(300)
            net.layers[-1].bias.zero_()
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.5)
    return sam


def _pictures(count: int, side: int) -> list[NDArray[np.uint8]]:
    """The demo's pictures, cut to squares, as often as needed; repeats are mirrored."""
    paths = sorted((ROOT / "demo" / "bucket").glob("scene-*"))
    out = []
    for i in range(count):
        image = Image.open(paths[i % len(paths)]).convert("RGB")
        edge = min(image.size)
        pixels = np.asarray(image.crop((0, 0, edge, edge)).resize((side, side)))
        out.append(np.ascontiguousarray(pixels[:, ::-1] if i // len(paths) % 2 else pixels))
    return out


def _settings(args: argparse.Namespace, sam: Sam, picture: NDArray[np.uint8]) -> Segment:
    """Thresholds as given, the demo's, or such that the wished shares of the first picture's masks pass."""
    grid = {"points_per_side": args.points_per_side, "points_per_batch": args.points_per_batch}
    iou, stability = args.pred_iou_thresh, args.stability_score_thresh
    if args.sam == "seedling":
        iou, stability = 0.5 if iou is None else iou, 0.4 if stability is None else stability
    if iou is None or stability is None:
        # Without suppression, the library tells the estimates of all masks.
        coarse = SamAutomaticMaskGenerator(
            sam,
            points_per_side=min(8, args.points_per_side),
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
            box_nms_thresh=1.0,
        )
        records = coarse.generate(picture)
        if iou is None:
            iou = float(np.quantile([r["predicted_iou"] for r in records], 1 - args.keep_iou))
        passed = [np.nan_to_num(r["stability_score"]) for r in records if r["predicted_iou"] > iou]
        if stability is None:
            stability = float(np.quantile(passed, 1 - args.keep_stability)) if passed else 0.0
    return Segment(
        **grid, pred_iou_thresh=min(max(iou, 0.0), 1.0), stability_score_thresh=min(max(stability, 0.0), 1.0)
    )


def _summary(seconds: dict[str, list[dict[str, float]]], images: int) -> dict[str, Any]:
    """Medians over the rounds, and ratios: of each round's pair first, then the median, so that drift cancels."""
    middle = {name: medians(turns) for name, turns in seconds.items()}
    yardstick, mine = seconds.values()
    ratios = {
        key: statistics.median(a[key] / b[key] for a, b in zip(yardstick, mine, strict=True))
        for key in ("seconds", "cpu_seconds")
    }
    return {
        "medians": middle,
        "ratios": ratios,
        "images_per_second": {name: images / median["seconds"] for name, median in middle.items()},
    }


def _print(result: dict[str, Any]) -> None:
    facts, settings = result["machine"], result["settings"]
    print(
        f"{result['arguments']['sam']} on {facts['device']} ({facts['cpu']}, {facts['threads']} threads, "
        f"torch {facts['torch']}); {result['arguments']['images']} pictures of {result['side']} pixels, "
        f"{settings['points_per_side']}^2 prompts, {settings['points_per_batch']} at once, thresholds "
        f"{settings['pred_iou_thresh']:.3f} and {settings['stability_score_thresh']:.3f}"
    )
    print(f"{'':28}{'images/s':>10}{'s/image':>10}{'cpu s/image':>13}{'masks':>7}{'peak GiB':>10}")
    images = result["arguments"]["images"]
    for name, median in result["medians"].items():
        print(
            f"{name:28}{result['images_per_second'][name]:10.2f}{median['seconds'] / images:10.3f}"
            f"{median['cpu_seconds'] / images:13.3f}{sum(result['masks'][name]):7}{median['peak_gib']:10.2f}"
        )
    print(f"{'ratio':28}{result['ratios']['seconds']:10.2f}{'':10}{result['ratios']['cpu_seconds']:13.2f}")


if __name__ == "__main__":
    main()
