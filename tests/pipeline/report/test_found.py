"""Masks over variations: where the label mask has them, light enough for a page, and told where they cannot be read."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.report.facts import gather
from pipeline.report.found import GRIDS, Found, draw_found
from pipeline.report.scenes import SceneReader
from pipeline.report.thumbnails import PALETTE, css_colour
from pipeline.shards.reader import OutputReader
from stages.masks.label_mask import label_mask
from stages.masks.shapes import Mask
from tests.pipeline.report.test_page import Page, flat, page_of
from tests.support.sample_output import SampleOutput, encoded

FINE = 8
"""Pixels of a cell, where paths are filled to look at them."""


def disc(height: int, width: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:height, :width]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def filled(found: Found, index: int, size: tuple[int, int]) -> Mask:
    """The path as a browser fills it, even-odd, at the size of the picture (width, height)."""
    parity = np.zeros((found.height * FINE, found.width * FINE), dtype=bool)
    for ring in found.paths[index].split("z")[:-1]:
        numbers = [int(number) for number in re.findall(r"-?\d+", ring)]
        assert re.fullmatch(r"M\d+ \d+l-?\d+(?:[ -]-?\d+)*", ring), ring
        corners = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0) * FINE
        image = Image.new("1", (parity.shape[1], parity.shape[0]))
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
        parity ^= np.asarray(image)
    return np.asarray(Image.fromarray(parity).resize(size))


def test_a_path_lies_where_its_label_does() -> None:
    ring = disc(384, 512, 150, 180, 120) & ~disc(384, 512, 150, 180, 60)
    parts = disc(384, 512, 380, 100, 60) | disc(384, 512, 420, 300, 50)
    found = draw_found(label_mask((384, 512), {0: ring, 4: parts}), 5_000)
    assert (found.width, found.height) == (64, 48)
    assert set(found.paths) == {0, 4}
    for index, mask in ((0, ring), (4, parts)):
        drawn = filled(found, index, (512, 384))
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.88
    assert not filled(found, 0, (512, 384))[180, 150], "its hole"
    assert found.size < 800


def test_what_is_small_or_nothing() -> None:
    hair = np.zeros((1024, 1024), dtype=bool)
    hair[500, 7] = True
    for most in (10_000, 0):
        (path,) = draw_found(label_mask(hair.shape, {2: hair}), most).paths.values()
        assert path.count("z") == 1, "one pixel of a million is drawn, as one cell"
    assert draw_found(label_mask((32, 32), {}), 100) == Found(32, 32, {})
    assert draw_found(label_mask((32, 32), {}), 100).size == 0
    whole = draw_found(label_mask((3, 500), {0: np.ones((3, 500), dtype=bool)}), 1000)
    assert filled(whole, 0, (500, 3)).all()


def test_masks_weigh_little_however_frayed() -> None:
    """Specks of many concepts: coarser until they fit, and at the worst as coarse as it gets."""
    frayed = np.random.default_rng(0).random((512, 512)) < 0.5
    data = label_mask(frayed.shape, {0: frayed, 1: ~frayed})
    sizes = [draw_found(data, most).width for most in (100_000, 12_000, 10)]
    assert sizes == list(GRIDS)
    assert draw_found(data, 12_000).size <= 12_000


@pytest.mark.parametrize("data", [b"", b"nothing", encoded((1, 2, 3))])
def test_what_is_no_mask_is_not_drawn(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a mask"):
        draw_found(data, 1000)


def masks_on(page: Page) -> list[str]:
    return [attrs["aria-label"] or "" for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "found"]


def test_each_variation_has_its_masks(tmp_path: Path) -> None:
    page = page_of(SampleOutput(tmp_path / "out", scenes=6).storage)
    labels = masks_on(page)
    assert sorted(set(labels)) == ["Masks of 0 <asset0> cat", "Masks of 0 <asset0> cat, 1 <asset1>"]
    assert len(labels) == 20
    paths = [attrs for tag, attrs in page.tags if tag == "path"]
    assert len(paths) == 10 + 2 * 10
    left, right = paths[-2:]
    assert (left["color"], right["color"]) == (css_colour(PALETTE[0]), css_colour(PALETTE[1]))
    assert left["d"] in ("M2 4l12 0 0 24-12 0z", "M2 4l0 24 12 0 0-24z")  # the left half of 32 x 32, less a margin
    (box,) = (attrs for tag, attrs in page.tags if attrs.get("id") == "masks")
    assert "checked" not in box, "a picture is looked at first without"
    assert "masks not readable" not in page.text


def test_masks_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """One that is damaged costs itself; of a tar that is gone, every picture says so."""
    sample = SampleOutput(tmp_path / "out", scenes=6)
    reader = OutputReader(sample.storage)
    commit = reader.commit("scores", 1)
    assert commit is not None
    name = next(name for name in sorted(commit.members) if name.endswith(".mask.png"))
    tar = tmp_path / "out/scores/scores-000001.tar"
    data = bytearray(tar.read_bytes())
    data[commit.members[name][0] + 60] ^= 255
    tar.write_bytes(data)
    page = page_of(sample.storage)
    assert (len(masks_on(page)), flat(page.text).count("masks not readable")) == (19, 1)
    tar.unlink()
    page = page_of(sample.storage)
    lost = flat(page.text).count("masks not readable")
    assert lost == 4 * len(commit.done) > 0
    assert len(masks_on(page)) == 20 - lost
    assert len(page.images("Variation")) == 20


def test_thumbnail_and_masks_share_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8))
    frayed = np.random.default_rng(1).random((256, 256)) < 0.5
    monkeypatch.setattr("pipeline.report.scenes.open_picture", lambda data: noise)
    monkeypatch.setattr(
        "pipeline.report.scenes.draw_found", lambda _, most: draw_found(label_mask(frayed.shape, {0: frayed}), most)
    )
    sample = SampleOutput(tmp_path / "out", scenes=2)
    (facts,) = gather(OutputReader(sample.storage), {0: sample.plan.scenes(0)[:1]})
    for most in (20_000, 8_000):
        view = SceneReader(OutputReader(sample.storage), "", most).view(facts)
        for made in (made for prompt in view.prompts for made in prompt.pictures):
            assert made.image
            assert made.found
            thumbnail = len(base64.b64decode(made.image.split(",")[1]))
            assert thumbnail + made.found.size * 3 / 4 <= most
            assert 0 < made.found.size <= most / 4 + 1
