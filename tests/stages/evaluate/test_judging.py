"""What is told of pictures drawn by hand, whose masks and similarities are known: detect-and-tell, and identity.

The judge here sees colours: its feature is the mean colour of what is not black, so cosines can be worked out on paper.
The segmenter's part is taken by one that proposes each connected thing on a grey ground; concept selection is real.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from schemas.errors import SceneError
from schemas.job import Segment
from schemas.masks import encode_mask
from schemas.outcomes import SceneTask
from stages.evaluate.instances import likeness, parts
from stages.evaluate.judging import Judged, Judges
from stages.evaluate.source_scene import read_source
from stages.masks.shapes import label_regions
from stages.segment.proposal import Proposal, Proposals

SIDE = 64
GREY = (128, 128, 128)
RED, GREEN, BLUE, YELLOW, ORANGE = (200, 0, 0), (0, 200, 0), (0, 0, 200), (150, 150, 0), (200, 100, 0)


class ColourJudge:
    """Features are mean colours, unit length; texts are read as names of colours."""

    def features(self, pictures: np.ndarray) -> torch.Tensor:
        means = [picture[picture.any(axis=2)].mean(axis=0) if picture.any() else np.ones(3) for picture in pictures]
        return torch.nn.functional.normalize(torch.tensor(np.stack(means), dtype=torch.float32), dim=1)

    image_features = features

    def text_features(self, texts: list[str]) -> torch.Tensor:
        return torch.nn.functional.normalize(
            torch.tensor([[float("red" in text), float("green" in text), float("blue" in text)] for text in texts]),
            dim=1,
        )


class Regions:
    """Proposes every connected region of one colour that is not grey."""

    def propose_all(self, pictures: Sequence[np.ndarray]) -> Iterator[Proposals]:
        for picture in pictures:
            found = []
            for colour in {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()} - {GREY}:
                labels, areas = label_regions((picture == colour).all(axis=2))
                found += [Proposal(labels == i + 1, 0.9, 0.9) for i in range(len(areas))]
            yield Proposals(sorted(found, key=lambda proposal: -int(proposal.mask.sum())))


def canvas(*boxes: tuple[tuple[int, int, int], int, int, int, int]) -> np.ndarray:
    """A grey picture with boxes (colour, x, y, width, height)."""
    picture = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    for colour, x, y, width, height in boxes:
        picture[y : y + height, x : x + width] = colour
    return picture


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


SOURCE = canvas((RED, 4, 4, 20, 20), (GREEN, 36, 36, 20, 20))


def source_task(background: bool = False) -> SceneTask:
    """A scene with a red and a green concept, and the grey background if asked for."""
    masks = [(colour == SOURCE).all(axis=2) for colour in ((RED, GREEN, GREY) if background else (RED, GREEN))]
    rows = [
        {"index": i, "mask": encode_mask(mask), "origin": "sam" if i < 2 else "background"}
        for i, mask in enumerate(masks)
    ]
    return SceneTask("s", {"concepts": rows[::-1]}, {"png": png(SOURCE)})


def judged(
    pictures: Sequence[np.ndarray],
    asked: Sequence[Sequence[int]],
    text: str = "a red thing",
    background: bool = False,
    found_at: float | Literal["auto"] = 0.9,
) -> list[Judged]:
    judge: Any = ColourJudge()
    regions: Any = Regions()
    judges = Judges(judge, judge, regions, Segment())
    rows = [{"concepts": list(indices), "text": text} for indices in asked]
    return judges.judge(read_source(source_task(background), judge, found_at), rows, pictures)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    a, b = np.array(one, float), np.array(other, float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


BOTH = canvas((GREEN, 6, 6, 14, 14), (RED, 40, 40, 18, 18))


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        (BOTH, [1, 1]),
        (canvas((RED, 6, 6, 14, 14)), [1, 0]),
        (canvas((RED, 2, 2, 14, 14), (RED, 40, 2, 14, 14), (GREEN, 20, 40, 16, 16)), [2, 1]),
        (canvas((GREEN, 2, 2, 14, 14), (GREEN, 40, 2, 14, 14), (GREEN, 20, 40, 16, 16)), [0, 3]),
        (canvas((BLUE, 6, 6, 14, 14), (RED, 40, 40, 18, 18)), [1, 0]),
        (canvas((RED, 6, 6, 14, 14), (YELLOW, 40, 40, 18, 18)), [1, 0]),
        (canvas((RED, 6, 6, 4, 4), (GREEN, 40, 40, 18, 18)), [0, 1]),
        (canvas(), [0, 0]),
    ],
    ids=["both", "one", "twice", "thrice", "a stranger", "half like both", "too small to be one", "none"],
)
def test_each_thing_counts_for_the_concept_it_is(picture: np.ndarray, found: list[int]) -> None:
    (one,) = judged([picture], [[0, 1]])
    assert one.found == found
    shown = parts(one.instances)
    for index, (colour, count) in enumerate(zip((RED, GREEN), found, strict=True)):
        expected = (picture == colour).all(axis=2)
        assert (index in shown) == (count > 0)
        assert count == 0 or np.array_equal(shown[index], expected), "the mask shows all that was counted"


def test_how_sure_is_the_best_mask_that_counts() -> None:
    picture = canvas((RED, 2, 2, 14, 14), (ORANGE, 40, 2, 14, 14), (YELLOW, 20, 40, 16, 16))
    (one,) = judged([picture], [[0, 1]], found_at=cosine(ORANGE, RED) - 0.01)
    assert one.found == [2, 0]
    assert likeness(one.instances) == {0: pytest.approx(1.0)}
    (ground,) = judged([BOTH], [[2]], background=True)
    assert likeness(ground.instances) == {0: pytest.approx(1.0), 1: pytest.approx(1.0), 2: pytest.approx(1.0)}


def test_each_mask_that_counts_is_told_by_itself_and_several_as_one_too() -> None:
    picture = canvas((RED, 2, 2, 14, 14), (ORANGE, 40, 2, 14, 14), (GREEN, 20, 40, 16, 16))
    (one,) = judged([picture], [[0, 1]], found_at=cosine(ORANGE, RED) - 0.01)
    for instance, (colour, concept, like) in zip(
        sorted(one.instances, key=lambda found: (found.concept, -(found.likeness or 0))),
        [(RED, 0, 1.0), (ORANGE, 0, cosine(ORANGE, RED)), (GREEN, 1, 1.0)],
        strict=True,
    ):
        assert (instance.concept, instance.likeness) == (concept, pytest.approx(like))
        assert np.array_equal(instance.mask, (picture == colour).all(axis=2))
    assert one.together == [pytest.approx(cosine(np.add(RED, ORANGE), RED)), None]
    (alone,) = judged([BOTH], [[0, 1]])
    assert alone.together == [None, None]
    reddish, rosy = (200, 60, 0), (200, 0, 60)
    (pieces,) = judged([canvas((reddish, 2, 2, 14, 14), (rosy, 40, 2, 14, 14))], [[0]])
    best = max(one.likeness or 0 for one in pieces.instances)
    assert best == pytest.approx(cosine(reddish, RED))
    assert pieces.together == [pytest.approx(cosine(np.add(reddish, rosy), RED)), None]
    assert (pieces.together[0] or 0) > best, "two halves that make more of it together"


def test_concepts_not_asked_for_are_told_too() -> None:
    (one,) = judged([BOTH], [[1]])
    assert one.found == [1, 1]
    assert one.identity == pytest.approx([1.0])


def test_a_lower_threshold_finds_what_is_only_rather_like_it() -> None:
    picture = canvas((ORANGE, 6, 6, 20, 20))
    like = cosine(ORANGE, RED)
    assert [judged([picture], [[0]], found_at=at)[0].found for at in (like + 0.01, like - 0.01)] == [
        [0, 0],
        [1, 0],
    ]


def test_identity_is_the_cosine_of_the_masked_concepts_each_with_a_mask_of_its_own() -> None:
    picture = canvas((ORANGE, 6, 6, 20, 20), (YELLOW, 40, 40, 18, 18))
    (one,) = judged([picture], [[1, 0]])
    # Green is more like yellow than like orange, and so is red like orange: and the order is that of the question.
    assert one.identity == pytest.approx([cosine(YELLOW, GREEN), cosine(ORANGE, RED)], abs=1e-6)
    (alone,) = judged([picture], [[0]])
    assert alone.identity == pytest.approx([cosine(ORANGE, RED)], abs=1e-6)


def test_a_concept_that_is_not_asked_for_takes_no_mask_away() -> None:
    (one,) = judged([canvas((RED, 0, 10, 20, 20))], [[1]])
    assert one.identity == pytest.approx([cosine(RED, GREEN)], abs=1e-6), "the only mask, poor as it is"
    assert one.found == [1, 0]


def test_where_masks_are_too_few_the_concept_is_compared_with_the_whole_picture() -> None:
    picture = canvas((RED, 0, 10, 20, 20))
    mean = picture.reshape(-1, 3).mean(axis=0)
    (one,) = judged([picture], [[0, 1]])
    assert one.identity == pytest.approx([1.0, cosine(mean, GREEN)], abs=1e-6)
    (empty,) = judged([canvas()], [[0, 1]])
    assert empty.identity == pytest.approx([cosine(GREY, RED), cosine(GREY, GREEN)], abs=1e-6)


def test_the_background_is_what_no_mask_covers() -> None:
    same, other, empty = judged(
        [BOTH, np.where(BOTH == GREY, np.uint8(20), BOTH).astype(np.uint8), canvas()],
        [[2], [0, 2], [2, 1]],
        background=True,
        found_at=0.95,
    )
    assert same.found == [1, 1, 1]
    assert same.identity == pytest.approx([1.0])
    assert np.array_equal(parts(same.instances)[2], (BOTH == GREY).all(axis=2))
    assert other.identity[0] == pytest.approx(1.0)
    assert empty.found == [0, 0, 1]
    assert empty.identity[0] == pytest.approx(1.0)


def test_prompts_are_compared_with_the_whole_picture() -> None:
    picture = canvas((RED, 0, 10, 20, 20))
    mean = picture.reshape(-1, 3).mean(axis=0)
    for text, colour in (("a red thing", (1, 0, 0)), ("a green and blue thing", (0, 1, 1))):
        (one,) = judged([picture], [[0]], text=text)
        assert one.prompt_similarity == pytest.approx(cosine(mean, colour), abs=1e-6)


def test_company_in_a_batch_changes_nothing() -> None:
    pictures, asked = [BOTH, canvas(), canvas((RED, 6, 6, 14, 14))], [[0, 1], [0], [1, 0]]
    together = judged(pictures, asked)
    for number, one in enumerate(together):
        (alone,) = judged([pictures[number]], [asked[number]])
        assert (alone.found, alone.identity, alone.prompt_similarity) == (
            one.found,
            one.identity,
            one.prompt_similarity,
        )
        pairs = list(zip(alone.instances, one.instances, strict=True))
        assert all(np.array_equal(first.mask, second.mask) for first, second in pairs)
        assert all((first.concept, first.likeness) == (second.concept, second.likeness) for first, second in pairs)


def test_a_scene_without_its_picture_or_with_other_masks_is_an_error_that_says_so() -> None:
    judge: Any = ColourJudge()
    task = source_task()
    with pytest.raises(SceneError, match="no concepts or no picture"):
        read_source(SceneTask("s", task.rows, {}), judge)
    with pytest.raises(SceneError, match="no concepts or no picture"):
        read_source(SceneTask("s", {}, task.files), judge)
    with pytest.raises(SceneError, match="32 x 32 pixels"):
        read_source(SceneTask("s", task.rows, {"png": png(SOURCE[:32, :32])}), judge)
