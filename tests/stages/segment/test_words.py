"""Words for concepts, by a tiny random CLIP: what it chooses can be worked out with transformers alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from transformers import CLIPModel, CLIPProcessor

from schemas.job import JobSpec
from schemas.outcomes import SceneTask
from stages.handles.tokens import HandleTokens
from stages.masks.views import filling, on_black
from stages.models.clip import load_clip
from stages.segment.stage import SegmentStage
from stages.segment.words import Namer, caption
from stages.stage import StageContext
from tests.stages.segment.test_stage import mask_of, picture
from tests.stages.segment.test_stage import task as masked_task
from tests.support.tiny_judges import build_tiny_clip
from tests.support.tiny_models import build_tokenizer

VOCABULARY = ["cat", "dog", "ball", "car", "object", "wooden floor"]
MASKS = {0: mask_of(10, 10, 20, 20), 1: mask_of(30, 36, 30, 24), 2: mask_of(0, 0, 64, 4)}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("judges") / "clip", seed=4)


def stage(clip: Path | str, **segment: Any) -> SegmentStage:
    made = SegmentStage(
        JobSpec.model_validate(
            {
                "source": {"uri": "in"},
                "output": "out",
                "models": {"clip": str(clip)},
                "segment": {"vocabulary": VOCABULARY, **segment},
            }
        ),
        StageContext("memory://none"),
    )
    made.setup()
    return made


def test_the_word_is_the_nearest_caption_to_both_views(clip_folder: Path) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(picture())))
    model = CLIPModel.from_pretrained(clip_folder).eval()
    processor = CLIPProcessor.from_pretrained(clip_folder)
    captions = [
        "a photo of a cat",
        "a photo of a dog",
        "a photo of a ball",
        "a photo of a car",
        "a photo of an object",
        "a photo of a wooden floor",
    ]
    assert [caption(word) for word in VOCABULARY] == captions
    expected = []
    with torch.no_grad():
        texts = model(
            **processor(text=captions, images=Image.fromarray(pixels), padding=True, return_tensors="pt")
        ).text_embeds
        for mask in MASKS.values():
            views = [Image.fromarray(view(pixels, mask)) for view in (on_black, filling)]
            seen = model(**processor(text=["a"], images=views, return_tensors="pt")).image_embeds
            cosines = functional.normalize(seen.mean(0), dim=0) @ texts.T
            expected.append((VOCABULARY[int(cosines.argmax())], float(cosines.max())))
    found = Namer(load_clip(str(clip_folder)), VOCABULARY).name(pixels, list(MASKS.values()))
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert Namer(load_clip(str(clip_folder)), VOCABULARY).name(pixels, []) == []


def test_only_concepts_without_a_word_get_one(clip_folder: Path) -> None:
    (output,) = stage(clip_folder, background=True).process([masked_task(MASKS, ["cube", None, None])])
    named = [(row["word"], row["word_score"]) for row in output.rows]
    assert named[0] == ("cube", None)
    assert named[3] == ("background", None)
    expected = Namer(load_clip(str(clip_folder)), VOCABULARY).name(
        np.asarray(Image.open(io.BytesIO(picture()))), [MASKS[1], MASKS[2]]
    )
    assert named[1:3] == expected


def test_without_a_vocabulary_no_judge_is_loaded_and_no_word_given() -> None:
    (output,) = stage("/nowhere", vocabulary=[]).process([masked_task(MASKS, ["cube", None, None])])
    assert [row["word"] for row in output.rows] == ["cube", None, None]
    assert {row["word_score"] for row in output.rows} == {None}


def test_a_picture_that_cannot_be_named_costs_one_scene(clip_folder: Path) -> None:
    good = masked_task(MASKS, [None] * 3)
    bad = SceneTask("f" * 16, good.rows, {**good.files, "png": b"not a png"})
    outputs = list(stage(clip_folder).process([bad, good]))
    assert [output.failure is None for output in outputs] == [False, True]
    assert all(row["word"] in VOCABULARY for row in outputs[1].rows)


def test_a_handle_starts_from_all_tokens_of_its_concepts_word() -> None:
    tokens = HandleTokens([build_tokenizer()])
    word, ids = tokens.start("wooden floor", "object")
    assert word == "wooden floor"
    assert ids == (tokens.pieces("wooden")[0] + tokens.pieces("floor")[0],)
