"""Which pictures a scene gets."""

from __future__ import annotations

import pytest

from schemas.job import Generate
from stages.generate.prompts import list_variations, pick_subsets


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
