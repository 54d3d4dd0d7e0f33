"""What captions of toys say and claim, which pictures they fit, and how facts are read apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.training.judge.captions import (
    ToyFacts,
    describe,
    describe_alone,
    describe_fully,
    describe_wrongly,
    fact_captions,
    name_of,
)
from models.training.judge.claims import FACTS, KINDS, NO_TOY, NUMBER, ROSTER, UNSAID, Facts, claim_keys, fitting
from models.training.judge.losses import ANY_PLACE
from models.training.judge.reading import FactReader, facts_right, pairs_by_difference
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import HELD_OUT, TRAINED, Toy

SNOW = [place.phrases[0] for place in BACKGROUNDS].index("in the snow")


def facts(*words: str) -> ToyFacts:
    """Of a toy by its words, "" for what is left open."""
    return tuple(kind.index(word) if word else UNSAID for word, kind in zip(words, KINDS, strict=True))


def claims(*captions: tuple[list[ToyFacts], int]) -> Facts:
    rows = [[*toys, *[(NO_TOY,) * 3] * (3 - len(toys))] for toys, _ in captions]
    return Facts(torch.tensor(rows), torch.tensor([place for _, place in captions]))


def test_the_judge_knows_every_toy() -> None:
    assert set(ROSTER) == {*TRAINED, *HELD_OUT}
    assert FACTS[NUMBER[Toy("heart", "green", "checked")]] == facts("heart", "green", "checked")


def test_a_toy_is_called_by_the_facts_that_are_said() -> None:
    assert name_of(facts("star", "red", "striped"), article=True) == "a red striped star"
    assert name_of(facts("fish", "pink", "plain"), article=True) == "a plain pink fish"
    assert name_of(facts("", "orange", ""), article=True) == "an orange object"
    assert name_of(facts("arrow", "", ""), article=True) == "an arrow"
    assert name_of(facts("", "", "spotted"), article=False) == "spotted object"
    toys = [facts("star", "red", "striped"), facts("fish", "pink", "plain")]
    assert describe_fully(toys, SNOW) == "a photo of a red striped star and a plain pink fish in the snow"
    silhouettes, colours, patterns, places = fact_captions()
    assert (silhouettes[0], colours[0], patterns[1]) == (
        "a photo of a star",
        "a photo of a red object",
        "a photo of a striped object",
    )
    assert places[SNOW] == "a photo in the snow"


def test_a_caption_claims_exactly_what_it_says() -> None:
    rng, toys = np.random.default_rng(0), [facts("star", "red", "striped"), facts("fish", "pink", "plain")]
    said = np.zeros((2, 3))
    for _ in range(300):
        claim = describe(toys, SNOW, rng)
        words = set(claim.text.split())
        told = [[KINDS[kind][fact] in words for kind, fact in enumerate(toy)] for toy in toys]
        claimed = [
            tuple(fact if say else UNSAID for fact, say in zip(toy, says, strict=True))
            for toy, says in zip(toys, told, strict=True)
        ]
        assert sorted(claim.toys) == sorted(claimed)
        assert claim.text.split().count("object") == sum(not says[0] for says in told)
        assert (claim.place == SNOW) == ("snow" in words)
        said += told
    assert (np.abs(said / 300 - (0.9, 0.75, 0.75)) < 0.08).all()
    alone = [describe_alone(toys[0], rng) for _ in range(200)]
    assert len({claim.toys for claim in alone}) == 7, "every way to say some of three facts"
    assert {claim.place for claim in alone} == {UNSAID}


def test_a_caption_fits_where_its_toys_can_be_given_to_the_pictures() -> None:
    red_star, blue_fish = facts("star", "red", "plain"), facts("fish", "blue", "striped")
    pictures = claims(([red_star, blue_fish], 2), ([red_star], UNSAID), ([blue_fish], ANY_PLACE), ([], 2))
    captions = claims(
        ([facts("fish", "", "striped"), facts("star", "red", "")], 2),  # in the other order
        ([facts("star", "blue", ""), facts("fish", "red", "")], UNSAID),  # traded colours
        ([facts("", "", ""), facts("", "", "")], UNSAID),  # two objects
        ([facts("", "", ""), facts("star", "", "")], UNSAID),  # both could be the star: it must be given once
        ([red_star, red_star], UNSAID),
        ([facts("star", "", "")], UNSAID),
        ([facts("fish", "", "")], 5),
        ([], 2),
    )
    expected = [
        [1, 0, 1, 1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    assert fitting(pictures, captions).int().tolist() == expected


def test_keys_are_equal_for_the_same_claim_in_any_order_alone() -> None:
    star, fish = facts("star", "red", ""), facts("fish", "", "striped")
    keys = claim_keys(
        claims(([star, fish], 2), ([fish, star], 2), ([star, fish], UNSAID), ([star], 2), ([star, star], 2), ([], 2))
    ).tolist()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5


def test_a_nearly_right_caption_is_wrong_by_one_thing() -> None:
    """Most often by a fact: silhouettes, colours and patterns alike often, and some traded between two toys."""
    rng, toys = np.random.default_rng(1), [facts("star", "red", "striped"), facts("fish", "pink", "plain")]
    picture, traded = claims((toys, SNOW)), (facts("", "pink", ""), facts("", "red", ""))
    wrong, trades, fits, more, elsewhere = np.zeros(3), 0, 0, 0, 0
    for _ in range(900):
        claim = describe_wrongly(toys, SNOW, rng)
        told = Facts(torch.tensor([claim.row]), torch.tensor([claim.place]))
        fits += bool(fitting(picture, told))
        more += len(claim.toys) == 3
        elsewhere += claim.place not in (SNOW, UNSAID)
        nobodys = [[toy[kind] not in (UNSAID, *(own[kind] for own in toys)) for kind in range(3)] for toy in claim.toys]
        if len(claim.toys) == 2:
            assert np.sum(nobodys) + (claim.place not in (SNOW, UNSAID)) <= 1
            wrong += np.sum(nobodys, 0)
            star = [toy for toy in claim.toys if toy[0] == KINDS[0].index("star")]
            fish = [toy for toy in claim.toys if toy[0] == KINDS[0].index("fish")]
            trades += len(star) == len(fish) == 1 and (star[0][1], fish[0][1]) == (traded[0][1], traded[1][1])
    assert fits < 60, "another place that is left out, and no more"
    assert 60 < more < 160
    assert 90 < elsewhere < 190
    assert (wrong > 50).all(), "of five patterns one in four is the other toy's, and not counted here"
    assert wrong.max() < 2 * wrong.min()
    assert trades > 20


def test_facts_are_read_apart_and_pairs_sorted_by_what_differs() -> None:
    """Of features that are the sum of a direction for each fact."""
    sizes = [len(bank) for bank in fact_captions()]
    directions = torch.eye(sum(sizes))
    given = iter(directions.split(sizes))
    reader = FactReader(lambda texts: next(given))
    toys = torch.tensor([facts("star", "red", "plain"), facts("star", "red", "plain"), facts("star", "blue", "plain")])
    starts = torch.tensor([0, sizes[0], sizes[0] + sizes[1]])
    features = directions[toys + starts].sum(1) / 3**0.5
    assert reader.read(features)[:, :3].tolist() == toys.tolist()
    pairs = pairs_by_difference(features, toys)
    assert pairs["same toy"].tolist() == pytest.approx([1])
    assert pairs["other colour"].tolist() == pytest.approx([2 / 3] * 2)
    assert sum(len(scores) for scores in pairs.values()) == 3
    line = facts_right(toys, toys.roll(1, 0))
    assert line == "silhouette 1.000 colour 0.333 pattern 1.000 all three 0.333"
