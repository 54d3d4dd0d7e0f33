"""Concept selection on drawn masks: what a person would name, from what a segmenter offers."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from schemas.job import Segment
from stages.masks.pairs import overlaps
from stages.masks.shapes import grow
from stages.segment.proposal import Proposal
from stages.segment.selection import Selection, select_concepts

SIDE = 128


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def box(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[max(y, 0) : y + height, max(x, 0) : x + width] = True
    return mask


def offer(*masks: np.ndarray, quality: float = 0.95) -> list[Proposal]:
    return [Proposal(mask, quality, quality) for mask in masks]


def names(selection: Selection, **things: np.ndarray) -> list[str]:
    """Which of the named masks the concepts are (IoU over 0.8), in their order; `?` for none of them."""

    def name_of(mask: np.ndarray) -> str:
        for name, thing in things.items():
            if (mask & thing).sum() > 0.8 * (mask | thing).sum():
                return name
        return "?"

    return [name_of(concept.mask) for concept in selection.concepts]


HEAD, BODY = disc(40, 28, 16), disc(40, 60, 19)
DOG = HEAD | BODY | box(30, 36, 20, 12)
BALL = disc(96, 92, 18)


def test_the_whole_is_named_not_its_parts() -> None:
    selection = select_concepts(offer(HEAD, BODY, DOG, BALL), Segment())
    assert sorted(names(selection, dog=DOG, ball=BALL, head=HEAD, body=BODY)) == ["ball", "dog"]
    assert selection.dropped["parts or groups of other masks"] == 2


def test_a_group_mask_does_not_swallow_its_objects() -> None:
    selection = select_concepts(offer(DOG | BALL, DOG, BALL, HEAD), Segment())
    assert sorted(names(selection, dog=DOG, ball=BALL, group=DOG | BALL)) == ["ball", "dog"]


def test_where_two_things_touch_the_better_masks_win() -> None:
    """Two discs that lean on each other may be two balls or a bear: geometry cannot tell."""
    one, two = disc(40, 64, 18), disc(74, 64, 18)
    bear = [Proposal(one | two, 0.98, 0.98), Proposal(one, 0.92, 0.95), Proposal(two, 0.92, 0.95)]
    balls = [Proposal(one | two, 0.90, 0.95), Proposal(one, 0.98, 0.98), Proposal(two, 0.98, 0.98)]
    assert names(select_concepts(bear, Segment()), bear=one | two) == ["bear"]
    assert sorted(names(select_concepts(balls, Segment()), one=one, two=two)) == ["one", "two"]


def test_halves_of_a_thing_are_parts_however_good() -> None:
    upper, lower = box(40, 30, 40, 34), box(40, 64, 40, 34)
    offers = [Proposal(upper | lower, 0.88, 0.93), *offer(upper, lower, quality=0.99)]
    assert names(select_concepts(offers, Segment()), all=upper | lower) == ["all"]


def test_a_group_with_the_ground_between_its_objects_is_still_a_group() -> None:
    left, right = disc(38, 64, 20), disc(88, 64, 20)
    blanket = left | right | box(40, 60, 46, 8)
    assert sorted(names(select_concepts(offer(blanket, left, right), Segment()), left=left, right=right)) == [
        "left",
        "right",
    ]


def test_nested_groups_end_in_single_objects() -> None:
    things = {f"thing{i}": disc(24 + 40 * (i % 3), 30 + 64 * (i // 3), 12) for i in range(6)}
    masks = list(things.values())
    rows = [masks[0] | masks[1] | masks[2], masks[3] | masks[4] | masks[5]]
    offers = offer(*rows, rows[0] | rows[1], *masks)
    selection = select_concepts(offers, Segment(max_concepts=6))
    assert sorted(names(selection, **things)) == sorted(things)


def test_a_mask_that_few_small_things_fill_stays_whole() -> None:
    table = box(20, 60, 90, 40)
    cups = [disc(40, 80, 11), disc(80, 80, 11)]
    selection = select_concepts(offer(table, *cups), Segment(min_area=0.02))
    assert names(selection, table=table) == ["table"], "two cups explain a fifth of the table"


def test_of_near_duplicates_the_better_one_stays() -> None:
    good, sloppy = Proposal(DOG, 0.97, 0.97), Proposal(np.roll(DOG, 2, axis=1), 0.90, 0.93)
    selection = select_concepts([sloppy, good], Segment())
    assert len(selection.concepts) == 1
    assert selection.concepts[0].proposal is good
    assert selection.dropped == {"near-duplicates": 1}


def test_background_small_and_large_masks_are_no_concepts() -> None:
    sky, speck, everything = box(0, 0, SIDE, 50), disc(64, 64, 5), box(4, 4, 120, 120)
    assert sky.mean() < 0.60
    selection = select_concepts(offer(sky, speck, everything), Segment())
    assert selection.concepts == []
    assert selection.dropped == {"along the border": 1, "too small": 1, "too large": 1}


def test_a_thing_that_the_frame_cuts_is_still_a_concept() -> None:
    cut = disc(0, 64, 30)
    assert names(select_concepts(offer(cut), Segment()), cut=cut) == ["cut"]


def test_the_border_rule_follows_the_spec() -> None:
    sky = box(0, 0, SIDE, 50)
    assert len(select_concepts(offer(sky), Segment(max_border=0.6)).concepts) == 1


def test_the_cap_keeps_the_best() -> None:
    discs = [disc(20 + 22 * i, 64, 5 + 2 * i) for i in range(5)]
    selection = select_concepts(offer(*discs), Segment(max_concepts=2, min_area=0.001))
    assert names(selection, fourth=discs[3], fifth=discs[4]) == ["fifth", "fourth"]


def test_quality_decides_between_things_of_one_size() -> None:
    good, better = disc(32, 64, 20), disc(96, 64, 20)
    offers = [Proposal(good, 0.90, 0.95), Proposal(better, 0.99, 0.95)]
    assert names(select_concepts(offers, Segment(max_concepts=1)), good=good, better=better) == ["better"]


def test_concepts_are_disjoint_and_the_smaller_one_is_on_top() -> None:
    plate, fork = disc(56, 64, 34), box(78, 20, 14, 88)
    assert (plate & fork).any()
    selection = select_concepts(offer(plate, fork), Segment())
    assert sorted(names(selection, plate=plate, fork=fork)) == ["fork", "plate"]
    masks = [concept.mask for concept in selection.concepts]
    assert not (masks[0] & masks[1]).any()
    assert min(masks, key=np.sum).sum() == fork.sum(), "the fork lost nothing"
    assert np.array_equal(masks[0] | masks[1], plate | fork)


def test_what_others_cover_makes_room_for_the_next_best() -> None:
    left, right = disc(46, 64, 18), disc(86, 64, 18)
    between = box(34, 52, 62, 24)  # most of it lies on the two, not enough to be inside either
    other = disc(64, 112, 13)
    selection = select_concepts(offer(left, right, between, other), Segment(max_concepts=3, min_area=0.005))
    assert sorted(names(selection, left=left, right=right, other=other)) == ["left", "other", "right"]


def test_specks_of_a_mask_do_not_become_concept() -> None:
    dirty = DOG.copy()
    dirty[120:123, 120:123] = True
    dirty[60:62, 40:42] = False
    concept = select_concepts(offer(dirty), Segment()).concepts[0]
    assert np.array_equal(concept.mask, DOG)


def test_no_proposals_is_no_concept() -> None:
    assert select_concepts([], Segment()) == Selection([])


@pytest.mark.parametrize("seed", range(5))
def test_any_scene_any_order_same_concepts_and_all_rules_hold(seed: int) -> None:
    draw = random.Random(seed)
    offers = [
        Proposal(
            disc(draw.uniform(0, SIDE), draw.uniform(0, SIDE), draw.uniform(8, 50)),
            draw.choice([0.9, 0.95]),
            draw.choice([0.93, 0.99]),
        )
        for _ in range(25)
    ]
    offers += [Proposal(offers[0].mask | offers[1].mask, 0.9, 0.93), offers[2]]
    settings = Segment(max_concepts=4)
    first = select_concepts(offers, settings)
    assert first.concepts, "the drawing is meant to hold concepts"
    for _ in range(3):
        draw.shuffle(offers)
        again = select_concepts(offers, settings)
        assert again.dropped == first.dropped
        assert len(again.concepts) == len(first.concepts)
        for a, b in zip(first.concepts, again.concepts, strict=True):
            assert np.array_equal(a.mask, b.mask)
            assert a.score == b.score
    assert len(first.concepts) <= 4
    assert all(settings.min_area <= concept.share <= settings.max_area for concept in first.concepts)
    assert [c.score for c in first.concepts] == sorted((c.score for c in first.concepts), reverse=True)
    for a, b in itertools.combinations(first.concepts, 2):
        assert not (a.mask & b.mask).any()


def test_equal_twins_are_ordered_by_position() -> None:
    right, left, top = disc(100, 70, 16), disc(28, 70, 16), disc(64, 28, 16)
    selection = select_concepts(offer(right, left, top), Segment())
    assert names(selection, top=top, left=left, right=right) == ["top", "left", "right"]


def test_a_sloppy_outline_of_a_thin_thing_is_the_same_thing() -> None:
    """One pixel more all around a rake halves its IoU with itself, and must neither double it nor hide a group."""
    rake = box(20, 20, 50, 4) | np.logical_or.reduce([box(20 + 9 * i, 20, 4, 50) for i in range(6)])
    sloppy = grow(rake, 1)
    assert (rake & sloppy).sum() < 0.7 * (rake | sloppy).sum()
    offers = [Proposal(rake, 0.97, 0.97), Proposal(sloppy, 0.90, 0.93), Proposal(rake | BALL, 0.92, 0.95), *offer(BALL)]
    selection = select_concepts(offers, Segment())
    assert sorted(names(selection, rake=rake, ball=BALL)) == ["ball", "rake"]


def test_overlaps_count_pixels() -> None:
    masks = [np.random.default_rng(n).random((9, 7)) < 0.5 for n in range(4)]  # 63 pixels: not whole words
    expected = [[int((a & b).sum()) for b in masks[1:]] for a in masks]
    assert overlaps(masks, masks[1:]).tolist() == expected


def test_of_near_duplicates_size_does_not_decide() -> None:
    exact, spilling = disc(64, 64, 14), disc(64, 64, 16)
    offers = [Proposal(spilling, 0.95, 0.95), Proposal(exact, 0.97, 0.97)]
    assert np.array_equal(select_concepts(offers, Segment()).concepts[0].mask, exact)
    larger_scores_more = [select_concepts([offered], Segment()).concepts[0].score for offered in offers]
    assert larger_scores_more[0] > larger_scores_more[1], "or this test shows nothing"
