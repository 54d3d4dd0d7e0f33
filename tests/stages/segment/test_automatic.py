"""Automatic masks of many pictures at once: the same as segment_anything's generator makes of each alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from schemas.job import Segment
from schemas.spec_file import load_spec
from stages.models.sam import build_sam, load_sam
from stages.segment.sam.automatic import AutomaticMasks, Masks
from stages.segment.sam.decoder import decode, point_tokens
from stages.segment.sam.proposer import Proposer
from stages.segment.sam.runs import joined, runs_of
from tests.support import ROOT

DEMO = load_spec(ROOT / "jobs" / "demo.yaml").segment.model_dump(
    include={"points_per_side", "pred_iou_thresh", "stability_score_thresh"}
)
TINY: dict[str, Any] = {
    "image_size": 128,
    "patch_size": 16,
    "prompt_dim": 32,
    "image_encoder": {
        "dim": 32,
        "depth": 2,
        "heads": 2,
        "mlp_ratio": 2.0,
        "window": 4,
        "global_layers": [1],
        "relative_positions": True,
    },
    "mask_decoder": {"depth": 3, "heads": 2, "mlp_dim": 32, "iou_hidden": 16},
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}
"""Unlike the seedling: logits of 32 x 32, relative positions, three layers in the decoder."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def seedling() -> Sam:
    return load_sam(str(ROOT / "models" / "seedling" / "sam"), "cpu")


@pytest.fixture(scope="module")
def tiny() -> Sam:
    """Untrained, with no bias or position left at zero, so that a forgotten one shows; clear-cut masks, and quality
    estimates around 1/2."""
    torch.manual_seed(5)
    sam = build_sam(TINY).eval()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if parameter.dim() == 1 or "pos" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
        for net in sam.mask_decoder.output_hypernetworks_mlps:
            net.layers[-1].weight.mul_(300)
            net.layers[-1].bias.zero_()
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.5)
    return sam


def pictures(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    paths = sorted((ROOT / "demo" / "bucket").glob("scene-*"))[:count]
    return [np.asarray(Image.open(path).convert("RGB").resize((width, height))) for path in paths]


def assert_same(sam: Sam, shown: list[NDArray[np.uint8]], **settings: Any) -> list[Masks]:
    """Ours of all pictures at once against the library's of each: masks, estimates, boxes, order."""
    batch = settings.pop("points_per_batch", 64)
    found = AutomaticMasks(sam, Segment(**settings, points_per_batch=batch))(shown)
    generator = SamAutomaticMaskGenerator(sam, **settings)
    for picture, ours in zip(shown, found, strict=True):
        wanted = generator.generate(picture)
        masks = ours.runs.masks()
        assert len(masks) == len(wanted)
        # A pixel whose logit is zero but for noise may fall on either side.
        assert sum(int((mask != record["segmentation"]).sum()) for mask, record in zip(masks, wanted, strict=True)) <= 1
        assert [r["predicted_iou"] for r in wanted] == pytest.approx(ours.predicted_iou.tolist(), abs=1e-4)
        assert [r["stability_score"] for r in wanted] == pytest.approx(
            ours.stability_score.tolist(), abs=1e-4, nan_ok=True
        )
        boxes = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in ours.boxes.tolist()]
        assert boxes == [record["bbox"] for record in wanted]
    return found


def test_the_seedling_finds_what_the_library_finds_with_the_demos_settings(seedling: Sam) -> None:
    found = assert_same(seedling, pictures(5, 128, 128), **DEMO)
    assert sum(len(masks.runs) for masks in found) > 10, "enough masks to tell"


@pytest.mark.parametrize(("iou", "stability"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.6)])
def test_thresholds_are_the_librarys(seedling: Sam, iou: float, stability: float) -> None:
    found = assert_same(
        seedling, pictures(2, 64, 64), points_per_side=6, pred_iou_thresh=iou, stability_score_thresh=stability
    )
    assert any(len(masks.runs) for masks in found)


@pytest.mark.parametrize("size", [(128, 128), (64, 64), (100, 100), (96, 60)])
def test_any_sam_and_any_size_of_picture(tiny: Sam, size: tuple[int, int]) -> None:
    """64 is half of the model's input and twice its logits, the short way; 96 x 60 is resized and padded."""
    found = assert_same(tiny, pictures(3, *size), points_per_side=5, pred_iou_thresh=0.3, stability_score_thresh=0.5)
    assert any(len(masks.runs) for masks in found)


def test_masks_are_enlarged_as_the_library_does(tiny: Sam) -> None:
    """At each size, the short way included, where a wrong logit need not flip a pixel."""
    low = torch.randn(2, 32, 32)
    made = AutomaticMasks(tiny, Segment())
    for side in (32, 64, 96, 128, 200):
        wanted = tiny.postprocess_masks(low[:, None], (128, 128), (side, side))[:, 0]
        assert torch.allclose(made._enlarge(low, (128, 128), (side, side)), wanted, atol=1e-5), side


def test_decoding_many_pictures_is_decoding_each(tiny: Sam) -> None:
    embeddings, points = torch.randn(3, 32, 8, 8), torch.rand(4, 2) * 128
    with torch.inference_mode():
        decoded = decode(tiny, embeddings, point_tokens(tiny, points))
        logits = decoded.logits(torch.ones(12, 3, dtype=torch.bool)).view(3, 4, 3, 32, 32)
        sparse, dense = tiny.prompt_encoder((points[:, None], torch.ones(4, 1)), None, None)
        for i, embedding in enumerate(embeddings):
            masks, iou = tiny.mask_decoder(embedding[None], tiny.prompt_encoder.get_dense_pe(), sparse, dense, True)
            assert torch.allclose(logits[i], masks, atol=1e-4 * float(masks.abs().max()))
            assert torch.allclose(decoded.predicted_iou.view(3, 4, 3)[i], iou, atol=1e-5)


def test_runs_are_pycocotools_rle() -> None:
    torch.manual_seed(1)
    masks = torch.rand(6, 7, 5) > 0.5
    masks[0], masks[1] = False, True
    masks[2, 0, 0], masks[3, 0, 0], masks[4, -1, -1] = True, False, True
    masks[5] = False
    masks[5, 2:, 1], masks[5, :2, 2] = True, True  # one run, over a column's end
    runs = runs_of(masks)
    for mask, rle, again, box in zip(masks.numpy(), runs.rles(), runs.masks(), runs.boxes().tolist(), strict=True):
        wanted = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert coco.frPyObjects(rle, *mask.shape)["counts"] == wanted["counts"]
        assert np.array_equal(again, mask)
        x, y, width, height = coco.toBbox(wanted).astype(int).tolist() if mask.any() else (0, 0, 1, 1)
        assert box == [x, y, x + width - 1, y + height - 1]
    keep = torch.tensor([False, True, False, True, True, False])
    assert runs.kept(keep).rles() == [rle for rle, kept in zip(runs.rles(), keep, strict=True) if kept]
    assert joined([runs, runs.kept(keep)]).rles() == runs.rles() + runs.kept(keep).rles()


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_neither_company_nor_the_size_of_a_pass_changes_masks(tiny: Sam, batch: int) -> None:
    settings = {"points_per_side": 4, "pred_iou_thresh": 0.45, "stability_score_thresh": 0.0}
    shown = pictures(4, 128, 128)
    together = AutomaticMasks(tiny, Segment(**settings, points_per_batch=batch))(shown)
    alone = AutomaticMasks(tiny, Segment(**settings))
    for picture, masks in zip(shown, together, strict=True):
        [own] = alone([picture])
        assert len(own.runs)
        assert masks.runs.rles() == own.runs.rles()
        assert torch.allclose(masks.predicted_iou, own.predicted_iou, atol=1e-5)


def test_pictures_of_different_sizes_keep_their_order(tiny: Sam) -> None:
    proposer = Proposer(tiny, Segment(points_per_side=4, pred_iou_thresh=0.45, stability_score_thresh=0.0))
    shown = [*pictures(2, 128, 128), *pictures(1, 64, 64), *pictures(3, 128, 128)[2:]]
    together = list(proposer.propose_all(shown))
    for picture, found in zip(shown, together, strict=True):
        assert not isinstance(found, Exception)
        own = proposer.propose(picture)
        assert own
        assert len(found) == len(own)
        assert all(np.array_equal(a.mask, b.mask) for a, b in zip(found, own, strict=True))


def test_a_batch_that_does_not_fit_is_split(tiny: Sam) -> None:
    """An encoder with room for two pictures, and one picture that it cannot do at all."""
    shown = pictures(5, 128, 128)
    shown[3] = np.zeros_like(shown[3])
    proposer = Proposer(tiny, Segment(points_per_side=3, pred_iou_thresh=0.45, stability_score_thresh=0.0))
    wanted = [proposer.propose(picture) for picture in shown]
    sizes: list[int] = []

    def small(_: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
        sizes.append(len(args[0]))
        if len(args[0]) > 2 or any(float(one.std(dim=(1, 2)).max()) < 1e-6 for one in args[0]):
            raise torch.OutOfMemoryError("no room")

    handle = tiny.image_encoder.register_forward_pre_hook(small)
    try:
        found = list(proposer.propose_all(shown))
    finally:
        handle.remove()
    assert max(sizes) == 5
    assert [isinstance(one, Exception) for one in found] == [False, False, False, True, False]
    assert isinstance(found[3], torch.OutOfMemoryError)
    for one, own in zip(found, wanted, strict=True):
        if not isinstance(one, Exception):
            assert [p.mask.tolist() for p in one] == [p.mask.tolist() for p in own]
