"""Which pictures a scene gets."""

from __future__ import annotations

import pytest

from schemas.job import Generate
from stages.generate.prompts import Variation, list_variations, pick_subsets


@pytest.mark.parametrize(
    ("concepts", "wanted", "expected"),
    [
        (3, ["singles", "union"], [(0,), (1,), (2,), (0, 1, 2)]),
        (3, ["pairs"], [(0, 1), (0, 2), (1, 2)]),
        (1, ["singles", "pairs", "union"], [(0,)]),
        (2, ["pairs", "union"], [(0, 1)]),
        (3, ["all"], [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]),
        (1, ["all", "singles"], [(0,)]),
        (2, [[1, 0], [0, 5], [0], [7], [0, 1], [0]], [(1, 0), (0,), (0, 1)]),
        (1, [[0, 1], [1]], []),
    ],
)
def test_subsets(concepts: int, wanted: list, expected: list[tuple[int, ...]]) -> None:
    assert pick_subsets(concepts, wanted) == expected


def test_pictures_have_prompts_texts_keys_and_streams_of_their_own() -> None:
    settings = Generate(
        prompts=["a photo of {handles} at the beach", "{handles}"], subsets=["union", "singles"], images_per_prompt=2
    )
    pictures = list_variations("abc", ["<asset0>", "<asset1>"], ["cat", "object"], settings)
    assert len(pictures) == 2 * 3 * 2
    assert pictures[0].prompt == "a photo of <asset0> and <asset1> at the beach"
    assert pictures[0].text == "a photo of cat and object at the beach"
    assert [p.key for p in pictures[:2]] == ["abc-0000", "abc-0001"]
    assert len({p.purpose for p in pictures}) == len(pictures)


def test_a_picture_s_stream_does_not_depend_on_what_else_is_asked_for() -> None:
    few = list_variations("abc", ["<asset0>"], ["cat"], Generate(prompts=["in the snow {handles}"]))
    many = list_variations("abc", ["<asset0>"], ["cat"], Generate(prompts=["{handles}", "in the snow {handles}"]))
    assert {p.purpose for p in few} < {p.purpose for p in many}


def named(template: str, words: list[str], **settings: object) -> list[Variation]:
    """Pictures of a scene of one template, one each."""
    asked = Generate.model_validate({"prompts": [template], "images_per_prompt": 1, **settings})
    return list_variations("abc", [f"<asset{i}>" for i in range(len(words))], words, asked)


@pytest.mark.parametrize(
    ("template", "words", "concepts", "prompt", "text"),
    [
        ("{1} beside {0}", ["cat", "cup"], (1, 0), "<asset1> beside <asset0>", "cup beside cat"),
        ("{cat} in a hat", ["cup", "cat"], (1,), "<asset1> in a hat", "cat in a hat"),
        ("{Cat} in a hat", ["cup", " cat"], (1,), "<asset1> in a hat", " cat in a hat"),
        ("{teddy bear} on grass", ["Teddy  Bear"], (0,), "<asset0> on grass", "Teddy  Bear on grass"),
        ("{0}, asleep, {0}", ["cat"], (0,), "<asset0>, asleep, <asset0>", "cat, asleep, cat"),
        ("{cat} at night", ["cat", "cat"], (0,), "<asset0> at night", "cat at night"),
        ("{0} beside {cat}", ["cat", "cat"], (0, 1), "<asset0> beside <asset1>", "cat beside cat"),
        ("{cat} beside {0}", ["cat", "cat"], (1, 0), "<asset1> beside <asset0>", "cat beside cat"),
        ("{cup} on {cat}", ["cat", "{0}", "cup"], (2, 0), "<asset2> on <asset0>", "cup on cat"),
    ],
)
def test_a_template_names_its_concepts(
    template: str, words: list[str], concepts: tuple[int, ...], prompt: str, text: str
) -> None:
    (picture,) = named(template, words, subsets=["union", "singles", "pairs"])
    assert (picture.concepts, picture.prompt, picture.text) == (concepts, prompt, text)
    assert picture.purpose == f"variation/{template}/{','.join(map(str, concepts))}/0"


@pytest.mark.parametrize(
    ("template", "words"),
    [("{2}", ["cat", "cup"]), ("{dog}", ["cat"]), ("{0} beside {cat}", ["cat", "cup"]), ("{cat} on {cup}", ["cat"])],
)
def test_a_scene_without_a_named_concept_gets_no_picture(template: str, words: list[str]) -> None:
    assert named(template, words) == []


def test_named_templates_and_others_stand_side_by_side() -> None:
    settings = Generate(prompts=["{handles}", "{1} at night", "{5}"], subsets=["singles"], images_per_prompt=2)
    pictures = list_variations("abc", ["<a>", "<b>"], ["cat", "cup"], settings)
    assert [p.prompt for p in pictures] == ["<a>", "<a>", "<b>", "<b>", "<b> at night", "<b> at night"]
    assert [p.number for p in pictures] == list(range(6))
    alone = named("{1} at night", ["cat", "cup"])
    assert alone[0].purpose == pictures[4].purpose


def test_a_named_concept_takes_the_place_of_another() -> None:
    placed = named("{1}", ["cat", "cup", "dog"], mode="place", images_per_prompt=2)
    assert [(p.concepts, p.replaced) for p in placed] == [((1,), 0), ((1,), 2)]
    assert named("{0} on {1}", ["cat", "cup"], mode="place") == []
    assert len(named("{0} on {1}", ["cat", "cup"], mode="place", place={"region": "add"})) == 1
