"""How good a trained segmenter is: COCO's mask AP, by pycocotools, over all test pictures and over groups of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.downstream_scenes import SHOWN, Labelled
from schemas.masks import encode_mask


def groups(pictures: Sequence[Labelled], trained: Iterable[int]) -> dict[str, list[int]]:
    """Name -> indices of test pictures: in places of the real scenes, in places that prompts and pasted backgrounds
    show beside those, and in places that nothing shows. trained: the real scenes' places."""
    seen = set(trained)
    found: dict[str, list[int]] = {"all": list(range(len(pictures))), "scenes": [], "shown": [], "unshown": []}
    for number, shown in enumerate(pictures):
        found["scenes" if shown.place in seen else "shown" if shown.place in SHOWN else "unshown"].append(number)
    return found


def mask_ap(
    pictures: Sequence[Labelled],
    answers: Sequence[Mapping[str, np.ndarray]],
    classes: int,
    among: Mapping[str, Sequence[int]],
    kinds: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """AP at IoU 0.50:0.95 of each group of pictures; of all pictures also AP at 0.50, as `ap50`, and of kinds of
    classes. answers: as `downstream_detector.predict` gives them; classes: how many; kinds: name -> classes, from 1."""
    marks: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    for number, (shown, answer) in enumerate(zip(pictures, answers, strict=True)):
        for mask, class_ in zip(shown.masks, shown.classes, strict=True):
            rle = encode_mask(mask)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
            marks.append(
                {"id": len(marks) + 1, "image_id": number, "category_id": class_, "segmentation": rle,
                 "area": int(mask.sum()), "bbox": box, "iscrowd": 0}
            )  # fmt: skip
        for mask, label, score in zip(answer["masks"], answer["labels"], answer["scores"], strict=True):
            told.append(
                {"image_id": number, "category_id": int(label), "segmentation": encode_mask(mask),
                 "score": float(score)}
            )  # fmt: skip
    if not told:
        return dict.fromkeys((*among, *kinds, "ap50"), 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        height, width = pictures[0].image.shape[:2]
        truth.dataset = {
            "images": [{"id": i, "height": height, "width": width} for i in range(len(pictures))],
            "categories": [{"id": i, "name": str(i)} for i in range(1, classes + 1)],
            "annotations": marks,
        }
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(told), "segm")
        found: dict[str, float] = {}
        for name, images in among.items():
            judged.params.imgIds = list(images)
            judged.evaluate()
            judged.accumulate()
            precision = judged.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class], all areas, most detections
            found[name] = _mean(precision)
            if name == "all":
                found["ap50"] = _mean(precision[:1])
                found |= {kind: _mean(precision[:, :, [i - 1 for i in of]]) for kind, of in kinds.items()}
    return found


def _mean(precision: np.ndarray) -> float:
    """Over what has an answer: -1 is a class without a thing."""
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else float("nan")
