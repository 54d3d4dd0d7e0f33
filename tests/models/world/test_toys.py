"""The world of toys: the same scene twice, exact masks, nothing held out in training, facts that can be told apart."""

from __future__ import annotations

import re
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from models.training.world.drawing import OVERSAMPLE, draw_toy
from models.training.world.palette import COLOURS, PALETTE
from models.training.world.patterns import PATTERNS
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import HELD_OUT, NEW_COMBINATIONS, NEW_SHAPES, NEW_SILHOUETTES, TRAINED, Toy
from models.training.world.silhouettes import SILHOUETTES
from models.training.world.world import LIT, ToySettings, ToyWorld

LUMINANCE = np.array([0.299, 0.587, 0.114])


def drawn(toy: Toy, longest: float = 64, line: float = 2.56) -> NDArray[np.float64]:
    """The toy as shown, premultiplied RGBA [h, w, 4] in 0..1."""
    picture = draw_toy(toy, longest, line)
    size = (round(picture.width / OVERSAMPLE), round(picture.height / OVERSAMPLE))
    return np.asarray(picture.resize(size, Image.Resampling.BOX), float) / 255


def aligned(mask: NDArray[np.bool_], side: int = 48) -> NDArray[np.bool_]:
    """The mask's box stretched to a square, so that neither place, size nor proportion tells shapes apart."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(Image.fromarray(box).resize((side, side))) > 0


@pytest.mark.parametrize("side", [64, 128])
def test_a_scene_depends_on_seed_and_index_alone(side: int) -> None:
    settings = ToySettings(height=side, width=side, seed=3)
    world, again = settings.open(), settings.open()
    again.scene(0)
    first, second = world.scene(18), again.scene(18)
    assert first.image.shape == (side, side, 3)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.masks, second.masks)
    assert (first.objects, first.background) == (second.objects, second.background)
    assert not np.array_equal(first.image, ToySettings(height=side, width=side, seed=4).open().scene(18).image)


def test_a_scene_has_the_same_facts_at_any_size() -> None:
    small, large = ToySettings(height=64, width=64).open(), ToySettings(height=128, width=96).open()
    for index in range(12):
        one, other = small.scene(index), large.scene(index)
        assert (one.background, one.objects) == (other.background, other.objects)


def test_every_toy_is_trained_on_or_held_out_and_no_world_of_training_shows_one_that_is_held_out() -> None:
    assert len(TRAINED) + len(HELD_OUT) == len(SILHOUETTES) * len(COLOURS) * len(PATTERNS)
    assert not set(TRAINED) & set(HELD_OUT)
    assert {toy.silhouette for toy in NEW_SHAPES} == set(NEW_SILHOUETTES)
    known = [s for s in SILHOUETTES if s not in NEW_SILHOUETTES]
    assert len(NEW_COMBINATIONS) == len(known) * len(COLOURS) * len(PATTERNS) / 6
    world = ToySettings(height=64, width=64).open()
    shown = {toy for index in range(300) for toy in world.scene(index).objects}
    assert not shown & set(HELD_OUT)
    assert {toy.silhouette for toy in shown} == set(known)


def test_any_two_facts_of_a_new_combination_are_known_together() -> None:
    """So a new combination asks for nothing new but that the three meet."""
    for facts in (("silhouette", "colour"), ("silhouette", "pattern"), ("colour", "pattern")):
        met = {tuple(getattr(toy, fact) for fact in facts) for toy in TRAINED}
        assert {tuple(getattr(toy, fact) for fact in facts) for toy in NEW_COMBINATIONS} <= met


def test_masks_are_disjoint_and_beside_them_only_dark_ground_is_lit() -> None:
    world = ToySettings(shadows=0.0, toy_counts=(0, 0.2, 0.4, 0.4)).open()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        toys = [TRAINED[i] for i in rng.integers(len(TRAINED), size=1 + seed % 3)]
        scene = world.compose(seed % len(BACKGROUNDS), toys, np.random.default_rng(seed))
        bare = world.compose(seed % len(BACKGROUNDS), [], np.random.default_rng(seed))
        assert scene.masks.shape == (len(toys), 128, 128)
        assert scene.masks.sum(0).max() == 1, "two toys claim one pixel"
        beside = ~binary_dilation(scene.masks.any(0), iterations=2)
        changed = np.abs(scene.image.astype(int) - bare.image).max(2)
        light = bare.image / 255 @ LUMINANCE > LIT + 0.01
        assert (changed[beside & light] <= 1).all(), "something is drawn outside the masks"
        assert (scene.image[beside].astype(int) >= bare.image[beside].astype(int) - 1).all()
        for mask, toy in zip(scene.masks, toys, strict=True):
            assert mask.sum() > 0.03 * mask.size, f"{toy} is too small or hidden"


def test_inside_its_mask_a_toy_shows_its_own_tones_alone() -> None:
    world = ToySettings(shadows=0.0, turns=0.0).open()
    for index, toy in enumerate(TRAINED[::23]):
        scene = world.compose(index % len(BACKGROUNDS), [toy], np.random.default_rng(index))
        inner = ~binary_dilation(~scene.masks[0])
        tones = PALETTE[toy.colour]
        lit = [tone * light for tone in (tones.body, tones.pattern) for light in (0.8, 0.9, 1.0, 1.1)]
        allowed = np.stack([*lit, tones.outline])
        mixed = [a * t + b * (1 - t) for a, b in combinations(allowed, 2) for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
        off = np.abs(scene.image[inner][:, None] / 255 - np.array(mixed)[None]).max(2).min(1)
        assert np.quantile(off, 0.99) < 0.1, f"{toy} shows something else inside its mask"


def test_silhouettes_differ_after_alignment() -> None:
    masks = {name: aligned(drawn(Toy(name, "red", "plain"))[..., 3] > 0.5) for name in SILHOUETTES}
    overlaps = {
        pair: (masks[pair[0]] & masks[pair[1]]).sum() / (masks[pair[0]] | masks[pair[1]]).sum()
        for pair in combinations(SILHOUETTES, 2)
    }
    assert {pair: round(float(value), 2) for pair, value in overlaps.items() if value > 0.85} == {}


def test_colours_and_patterns_differ_on_the_smallest_toy() -> None:
    """On a ball a third of a small picture wide, every two of the 45 looks differ in at least a tenth of its pixels."""
    looks = {
        (colour, pattern): drawn(Toy("ball", colour, pattern), 41, 2.56)[..., :3]
        for colour, pattern in product(COLOURS, PATTERNS)
    }
    for one, other in combinations(looks, 2):
        differs = np.abs(looks[one] - looks[other]).max(2) > 0.12
        assert differs.mean() > 0.1, (one, other)


@pytest.mark.parametrize("silhouette", ["moon", "arrow", "boat"])
def test_a_pattern_shows_both_tones_on_slender_toys_too(silhouette: str) -> None:
    for colour, pattern in product(COLOURS, tuple(PATTERNS)[1:]):
        pixels = drawn(Toy(silhouette, colour, pattern), 41, 2.56)
        tones = PALETTE[colour]
        distance = [np.abs(pixels[..., :3] - tone).max(2) for tone in (tones.body, tones.pattern)]
        shares = [(d < 0.2)[pixels[..., 3] > 0.5].mean() for d in distance]
        assert min(shares) > 0.05, (colour, pattern, shares)


@pytest.mark.parametrize("place", range(len(BACKGROUNDS)), ids=[b.name for b in BACKGROUNDS])
def test_every_colour_stands_out_from_every_place(place: int) -> None:
    """The ground close to a toy is lighter than the toy's outline, in every place; its brightness where the mask ends
    falls by at least a fifth of the range."""
    world = ToySettings(shadows=0.0).open()
    for number, colour in enumerate(COLOURS):
        scene = world.compose(place, [Toy("star", colour, "plain")], np.random.default_rng(number))
        mask, brightness = scene.masks[0], scene.image / 255 @ LUMINANCE
        ring = binary_dilation(mask, iterations=5) & ~binary_dilation(mask, iterations=1)
        edge = binary_erosion(mask) & ~binary_erosion(mask, iterations=2)
        assert np.median(brightness[ring]) - np.median(brightness[edge]) > 0.2, colour
    assert PALETTE["black"].outline @ LUMINANCE < LIT - 0.3


def test_captions_name_the_facts_and_leave_each_out_as_often_as_they_say() -> None:
    thing = rf"((an? )?(plain )?(({'|'.join(COLOURS)}) )?(({'|'.join(PATTERNS)}) )?({'|'.join(SILHOUETTES)}|object))"
    places = "|".join(phrase for b in BACKGROUNDS for phrase in b.phrases)
    grammar = re.compile(rf"|a photo( of {thing}( and {thing}){{0,2}})?( ({places}))?")
    world, rng = ToySettings(height=64, width=64).open(), np.random.default_rng(0)
    scenes = [world.scene(index) for index in range(150)]
    captions = [scene.caption(rng) for scene in scenes for _ in range(10)]
    assert [c for c in captions if not grammar.fullmatch(c)] == []
    toy = Toy("arrow", "orange", "striped")
    said = [toy.words(rng) for _ in range(3000)]
    assert 0.72 < np.mean(["orange" in words for words in said]) < 0.78
    assert 0.72 < np.mean(["striped" in words for words in said]) < 0.78
    assert 0.10 < np.mean(["object" in words for words in said]) < 0.14
    assert Toy("arrow", "orange", "plain").words(np.random.default_rng(0))[-1] in ("arrow", "object")


def test_toys_of_one_scene_have_different_silhouettes() -> None:
    world = ToyWorld(ToySettings(height=64, width=64, toy_counts=(0, 0, 0, 1.0)))
    for index in range(40):
        assert len({toy.silhouette for toy in world.scene(index).objects}) == 3
