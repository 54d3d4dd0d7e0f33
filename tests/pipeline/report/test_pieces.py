"""What a report is made of: which scenes and variations it shows, overlays, thumbnails, curves, sizes."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.report.choosing import spread
from pipeline.report.curves import Curve, curves_of, draw
from pipeline.report.facts import by_prompt
from pipeline.report.thumbnails import OPACITY, colour_of, css_colour, data_uri, outline, overlay
from pipeline.report.views import PictureView
from pipeline.wording import size_text
from tests.support.sample_output import half_masks


@pytest.mark.parametrize(
    ("per_shard", "most"),
    [({0: 64, 1: 64, 2: 3}, 100), ({0: 5}, 100), ({}, 3), (dict.fromkeys(range(1000), 64), 100), ({3: 1, 9: 2}, 2)],
)
def test_scenes_are_spread_evenly(per_shard: dict[int, int], most: int) -> None:
    chosen = spread(per_shard, most)
    assert sum(map(len, chosen.values())) == min(most, sum(per_shard.values()))
    for shard, places in chosen.items():
        assert places == sorted(set(places))
        assert places[-1] < per_shard[shard]
        share = per_shard[shard] / sum(per_shard.values()) * min(most, sum(per_shard.values()))
        assert abs(len(places) - share) <= 1


def test_prompts_share_the_places_for_variations() -> None:
    rows = [{"prompt": name, "n": n} for name, count in (("a", 9), ("b", 1), ("c", 9)) for n in range(count)]
    groups = by_prompt(rows, 12)
    assert {name: len(group) for name, group in groups.items()} == {"a": 6, "b": 1, "c": 5}
    assert [row["n"] for row in groups["c"]] == [0, 1, 2, 3, 4]
    assert len(by_prompt([{"prompt": str(n)} for n in range(40)], 12)) == 12


def test_a_picture_says_where_it_was_placed() -> None:
    rows = [{"mode": "place", "replaced": 1}, {"mode": "place", "replaced": None}, {"mode": "variations"}, {}]
    assert [PictureView(row, None, {}, "").placed for row in rows] == ["in place of 1", "added", "", ""]
    given = {"mode": "place", "replaced": None, "into": "s3://rooms/2/kitchen.jpg"}
    assert PictureView(given, None, {}, "").placed == "into kitchen.jpg"


def test_masks_are_drawn_where_they_are() -> None:
    picture = np.full((32, 32, 3), 100, dtype=np.uint8)
    left, right = half_masks()
    drawn = overlay(picture, [(left, colour_of(0)), (right, colour_of(1))])
    assert tuple(drawn[4, 2]) == colour_of(0)  # the outline is the pure colour of the legend
    assert tuple(drawn[4, 18]) == colour_of(1)
    assert css_colour(colour_of(0)) == "#e69f00"
    assert tuple(drawn[16, 8]) == tuple(round(100 * (1 - OPACITY) + c * OPACITY) for c in colour_of(0))
    assert (drawn[~(left | right)] == 100).all()
    assert (picture == 100).all()
    whole = np.ones((32, 32), dtype=bool)
    assert not outline(whole).any()
    assert len({colour_of(index) for index in range(17)}) == 17


def test_thumbnails_keep_to_their_budget() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 768, 3), dtype=np.uint8))
    for most in (60_000, 12_000, 4_000):
        data = base64.b64decode(data_uri(noise, most).split(",")[1])
        assert len(data) <= most
        assert max(Image.open(io.BytesIO(data)).size) <= 256
    small = Image.new("RGB", (64, 64), (1, 2, 3))
    assert Image.open(io.BytesIO(base64.b64decode(data_uri(small, 5_000).split(",")[1]))).size == (64, 64)


def test_curves_of_either_form_and_of_nonsense() -> None:
    wanted = [Curve("diffusion", ((0.0, 0.5), (10.0, 0.25)))]
    assert curves_of({"curves": {"step": [0, 10], "diffusion": [0.5, 0.25]}}) == wanted
    assert curves_of({"curves": {"diffusion": [[10, 0.25], [0, 0.5]]}}) == wanted
    assert curves_of({"curves": {"step": [0, 10, 20], "diffusion": [0.5, 0.25, float("nan")]}}) == wanted
    for odd in ({}, {"curves": None}, {"curves": {"diffusion": 3}}, {"curves": {"prior": ["<b>", None, []]}}):
        assert curves_of(odd) == []
    svg = draw(wanted[0], boundary=5)
    assert 'class="phase"' in svg
    assert 'class="phase"' not in draw(wanted[0], boundary=400)
    points = re.search(r'polyline class="curve" points="([^"]+)"', svg)
    assert points is not None
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in points[1].split())
    assert x0 < x1
    assert y0 < y1  # the loss falls: down is larger in SVG
    assert "polyline" in draw(Curve("prior", ((3.0, 0.1),)))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (812.4, "812 bytes"), (3.44e6, "3.4 MB"), (999_700.0, "999.7 kB"), (3.6e15, "3.6 PB")],
)
def test_sizes_as_people_write_them(count: float, text: str) -> None:
    assert size_text(count) == text
