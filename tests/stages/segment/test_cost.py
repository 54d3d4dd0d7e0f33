"""What a picture costs a Segment Anything, by its sizes alone: against published numbers, and counted as it works."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from torch.utils.flop_counter import FlopCounterMode

from schemas.job import Segment
from stages.models.place import bundled
from stages.models.sam import load_sam
from stages.segment.sam.cost import sam_cost
from stages.segment.sam.decoder import decode
from tests.support import ROOT


def test_vit_h_costs_what_is_known_of_it() -> None:
    """5.96 TFLOP for the encoder; 3.6 GFLOP a prompt in the library's decoder, of which ours does less than half."""
    cost = sam_cost("https://example.org/sam_vit_h_4b8939.pth", Segment())
    assert (cost.kind, cost.certain, cost.pictures) == ("vit_h", True, 1)
    assert cost.encoder == pytest.approx(5.96, abs=0.01)
    assert cost.grid / 1024 == pytest.approx(0.0016, abs=0.0001)
    assert cost.weights == pytest.approx(641e6, rel=0.01)
    assert 5e9 < cost.memory < 12e9
    crops = sam_cost("https://example.org/sam_vit_h_4b8939.pth", Segment(crop_n_layers=1))
    assert crops.pictures == 5
    assert crops.grid / 1024 == pytest.approx(0.0036, abs=0.0001)
    assert crops.tflop == pytest.approx(5 * (5.96 + 3.71), rel=0.01)


@pytest.mark.parametrize(("kind", "encoder"), [("vit_b", 0.97), ("vit_l", None), ("vit_h", 5.96)])
def test_every_layout_is_counted_as_torch_counts_it(kind: str, encoder: float | None) -> None:
    with torch.device("meta"):
        sam = sam_model_registry[kind](checkpoint=None).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as whole:
        embedding = sam.image_encoder(torch.empty(1, 3, 1024, 1024, device="meta"))
    with torch.no_grad(), FlopCounterMode(display=False) as prompts:
        decode(sam, embedding, torch.empty(16, 2, 256, device="meta")).enlarged(torch.empty(16, dtype=torch.long))
    cost = sam_cost(f"https://example.org/sam_{kind}.pth", Segment(points_per_side=4, points_per_batch=16))
    assert cost.encoder == pytest.approx(whole.get_total_flops() / 1e12, rel=1e-6)
    assert cost.grid == pytest.approx(prompts.get_total_flops() / 1e12, rel=1e-6)
    assert [call.times for call in cost.calls] == [1, 16]
    assert encoder is None or cost.encoder == pytest.approx(encoder, abs=0.01)


def test_a_grid_of_twice_the_side_has_four_times_the_prompts() -> None:
    few, many = (sam_cost("seedling", Segment(points_per_side=side, points_per_batch=16)) for side in (8, 16))
    assert few.encoder == many.encoder
    assert many.grid == pytest.approx(4 * few.grid)


def test_the_seedling_is_counted_as_it_works() -> None:
    sam = load_sam(bundled("seedling", "models.sam"), "cpu")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        embedding = sam.image_encoder(torch.zeros(1, 3, 128, 128))
        decode(sam, embedding, torch.zeros(64, 2, sam.prompt_encoder.embed_dim)).enlarged(torch.arange(64))
    settings = Segment(points_per_side=8, points_per_batch=64)
    assert sam_cost("seedling", settings).tflop == pytest.approx(counter.get_total_flops() / 1e12)


@pytest.mark.parametrize(("size", "kind"), [(375e6, "vit_b"), (1.25e9, "vit_l"), (2.56e9, "vit_h")])
def test_a_checkpoint_of_another_name_is_known_by_its_size(tmp_path: Path, size: float, kind: str) -> None:
    with (tmp_path / "mine.pth").open("wb") as file:
        file.truncate(int(size))
    assert sam_cost(str(tmp_path / "mine.pth"), Segment(points_per_side=1)).kind == kind


def test_of_a_download_without_a_name_the_largest_is_assumed_and_said() -> None:
    cost = sam_cost("https://example.org/checkpoint.pth", Segment(points_per_side=1))
    assert (cost.kind, cost.certain) == ("vit_h", False)
    assert set(sam_model_registry) >= {"vit_b", "vit_l", "vit_h"}
    assert not list(ROOT.glob("checkpoint.pth"))
