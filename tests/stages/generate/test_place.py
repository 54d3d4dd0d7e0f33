"""Drawing into a real picture, on tiny models: outside the region it is that picture, at every step and at the end."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from schemas.errors import SpecError
from schemas.masks import decode_mask, encode_mask
from schemas.outcomes import SceneOutput, SceneTask
from schemas.records import VARIATIONS
from stages.extract.stage import ExtractStage
from stages.generate.place import Blend, Spot, cells_of, encoded, restored
from stages.generate.prompts import list_variations
from stages.generate.receiving import Learned
from stages.generate.stage import GenerateStage
from stages.generate.unseen import shift_to, without
from stages.ingest.receivers import content_of, receivers
from stages.masks.shapes import grow
from stages.models.base.loading import load_base
from stages.models.base.sampler import SCHEDULERS, denoise, make_scheduler, picture_streams
from stages.models.base.text_states import TextStates
from stages.stage import StageContext
from tests.stages.generate.test_regions import disc
from tests.support.tiny_models import build_tiny_model, tiny_picture, tiny_spec, tiny_task
from tests.support.tiny_sdxl import build_tiny_sdxl

PLACE = {"mode": "place", "images_per_prompt": 2}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


def learned(model_dir: Path, shared: Path, scenes: Sequence[tuple[int, int]]) -> list[SceneTask]:
    """What the generate stage gets of scenes (number, concepts) where it places them."""
    stage = ExtractStage(tiny_spec(model_dir, extract={"prior": {"weight": 0}}), StageContext(str(shared)))
    stage.prepare()
    stage.setup()
    tasks = [tiny_task(number, concepts, word="cat") for number, concepts in scenes]
    found = []
    for task, output in zip(tasks, stage.process(tasks), strict=True):
        assert output.failure is None, output.failure
        weights = output.files[f"{output.scene_id}.safetensors"]
        rows = {"handles": output.rows, "concepts": task.rows["concepts"]}
        found.append(SceneTask(output.scene_id, rows, {**task.files, "safetensors": weights}))
    return found


@pytest.fixture(scope="module")
def tasks(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SceneTask]:
    return learned(model_dir, tmp_path_factory.mktemp("shared"), [(0, 1), (1, 2), (2, 3)])


def placed(model_dir: Path, tasks: list[SceneTask], **settings: Any) -> dict[str, SceneOutput]:
    stage = GenerateStage(tiny_spec(model_dir, generate=PLACE | settings), StageContext("memory://none"))
    assert (stage.needs, stage.files) == (("handles", "concepts"), ("handles", "scenes"))
    stage.setup()
    return {output.scene_id: output for output in stage.process(tasks)}


def pixels(output: SceneOutput, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(output.files[name])))


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def check_outside(output: SceneOutput, real: np.ndarray) -> None:
    """Every pixel outside the region is the real picture's, and inside it is not."""
    for row in output.rows:
        picture, region = pixels(output, row["file"]), decode_mask(row["region"])
        assert np.array_equal(pixels(output, f"{row['key']}.region.png"), region * np.uint8(255))
        assert 0 < region.sum() < region.size
        assert np.array_equal(picture[~region], real[~region])
        assert (picture[region] != real[region]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("sampler", sorted(SCHEDULERS))
@pytest.mark.parametrize("region", ["replace", "add"])
def test_outside_the_region_it_is_the_real_picture(
    model_dir: Path, tasks: list[SceneTask], sampler: str, region: str
) -> None:
    outputs = placed(model_dir, tasks, sampler=sampler, place={"region": region}, batch=5)
    assert not any(output.failure for output in outputs.values())
    many = {"replace": [0, 4, 6], "add": [2, 4, 6]}[region]
    assert [len(output.rows) for output in outputs.values()] == many
    for number, output in enumerate(outputs.values()):
        check_outside(output, tiny_picture(number, 3)[0])


def test_rows_and_files(model_dir: Path, tasks: list[SceneTask]) -> None:
    output = placed(model_dir, tasks[1:2], images_per_prompt=1)["scene1"]
    assert [set(row) for row in output.rows] == [set(VARIATIONS.names)] * 2
    assert [(row["concepts"], row["replaced"], row["mode"]) for row in output.rows] == [
        ([0], 1, "place"),
        ([1], 0, "place"),
    ]
    row = output.rows[0]
    assert (row["prompt"], row["text"]) == ("a photo of <asset0>", "a photo of cat")
    assert list(output.files) == [f"scene1-000{n}.{end}" for n in (0, 1) for end in ("png", "json", "region.png")]
    assert json.loads(output.files["scene1-0000.json"]) == row
    masks = tiny_picture(1, 2)[1]
    region = decode_mask(row["region"])
    assert region[masks[1]].all()
    assert not region[masks[0]].any()


def test_a_picture_is_the_same_alone_and_in_a_mixed_batch(model_dir: Path, tasks: list[SceneTask]) -> None:
    mixed = placed(model_dir, tasks, batch=7)["scene2"]
    alone = placed(model_dir, tasks[2:], batch=1)["scene2"]
    for one, other in zip(alone.rows, mixed.rows, strict=True):
        assert one == other
        difference = pixels(alone, one["file"]).astype(int) - pixels(mixed, other["file"])
        assert abs(difference).max() <= 1


def test_with_sdxl_too(tmp_path: Path) -> None:
    base = build_tiny_sdxl(tmp_path / "xl")
    scenes = learned(base, tmp_path / "shared", [(1, 2)])
    check_outside(placed(base, scenes)["scene1"], tiny_picture(1, 2)[0])


@pytest.mark.parametrize("sampler", sorted(SCHEDULERS))
def test_the_unet_sees_the_real_picture_at_every_step_s_noise(model_dir: Path, sampler: str) -> None:
    base = load_base(str(model_dir), None, torch.float32, "cpu")
    region = np.zeros((64, 64), bool)
    region[8:40, 16:50] = True
    noise = torch.randn(1, *base.latent_shape, generator=torch.Generator().manual_seed(0))
    picture = tiny_picture(0, 1)[0]
    spot = Spot(picture, region, picture)
    blend, seen = Blend(base, [spot], noise), []

    def predict(latents: Tensor, timesteps: Tensor, text: TextStates) -> Tensor:
        seen.append((int(timesteps[0]), latents))
        return torch.zeros_like(latents)

    scheduler = make_scheduler(sampler, base.scheduler)
    text = TextStates(torch.zeros(1, 1, 32))
    last = denoise(predict, scheduler, noise, 6, 1.0, text, None, blend, picture_streams([0]))
    real = encoded(base, [picture])
    outside = torch.from_numpy(~cells_of(region, 16)).expand(1, 4, 16, 16)
    assert len(seen) == 6
    for time, latents in seen:
        alpha = scheduler.alphas_cumprod[time]
        expected = alpha.sqrt() * real + (1 - alpha).sqrt() * noise
        assert torch.allclose(latents[outside], expected[outside], atol=2e-3), (sampler, time)
    assert torch.allclose(last[outside], real[outside], atol=1e-5)


def test_a_thin_region_is_wider_at_first_and_never_at_the_end(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(str(model_dir), None, torch.float32, "cpu")
    noise = torch.zeros(2, 4, 64, 64)
    thin, wide = np.zeros((2, 256, 256), bool)
    thin[120:124, 40:200], wide[60:200, 60:200] = True, True
    monkeypatch.setattr("stages.generate.place.encoded", lambda base, pictures: noise)
    black = np.zeros((256, 256, 3), np.uint8)
    blend = Blend(base, [Spot(black, thin, black), Spot(black, wide, black)], noise)
    sizes = [blend._inside(step / 10).flatten(1).sum(1).tolist() for step in range(11)]
    assert [size for _, size in sizes] == [35 * 35] * 11
    first = [size for size, _ in sizes]
    assert first[0] > 3 * first[-1]
    assert first == sorted(first, reverse=True)
    assert first[5:] == [40] * 6


def test_the_rim_inside_goes_over_and_all_else_is_one_or_the_other() -> None:
    real, drawn = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64, 3), np.uint8)
    region = np.zeros((64, 64), bool)
    region[:32, 10:40] = True
    made = restored(drawn, Spot(real, region, real))[..., 0]
    assert (made[~region] == 200).all()
    assert (made[:31, 11:39] == 0).all(), "at the picture's own edge nothing goes over"
    assert made[31, 20] == made[10, 10] == 100
    assert np.array_equal(restored(drawn, Spot(real, np.ones((64, 64), bool), real)), drawn)


def test_the_drawing_sees_the_picture_without_what_it_is_to_draw() -> None:
    masks = [disc(20, 20, 8), disc(44, 40, 8)]
    picture = np.full((64, 64, 3), (90, 120, 60), np.uint8)
    picture[masks[0]], picture[masks[1]] = (250, 0, 0), (0, 0, 250)
    seen = without(picture, masks[:1])
    assert (seen[masks[0]] == (90, 120, 60)).all()
    assert np.array_equal(seen[~grow(masks[0], 2)], picture[~grow(masks[0], 2)])
    assert (seen[masks[1]] == (0, 0, 250)).all()
    assert np.array_equal(without(picture, []), picture)
    assert np.array_equal(without(picture, [np.ones((64, 64), bool)]), picture), "there is nothing around it"
    concepts = [{"index": i, "mask": encode_mask(mask)} for i, mask in enumerate(masks)]
    task = SceneTask("s", {"concepts": concepts}, {"png": png(picture)})
    for hide in (True, False):
        spec = tiny_spec("base", generate=PLACE | {"place": {"hide": hide}})
        learned = Learned(task, spec)
        for variation in list_variations("s", ["<a>", "<b>"], ["cat", "dog"], spec.generate):
            spot = learned.spot(variation)
            assert np.array_equal(spot.picture, picture)
            shown = [bool((spot.around[mask] == picture[mask]).all()) for mask in masks]
            assert shown == ([i not in variation.concepts for i in (0, 1)] if hide else [True, True])


def test_the_drawing_sees_the_region_where_the_concept_was_learned() -> None:
    masks = [disc(20, 20, 8), disc(44, 40, 10)]
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    concepts = [{"index": i, "mask": encode_mask(mask)} for i, mask in enumerate(masks)]
    task = SceneTask("s", {"concepts": concepts}, {"png": png(picture)})
    for align in (True, False):
        spec = tiny_spec("base", generate=PLACE | {"place": {"align": align, "hide": False}})
        learned = Learned(task, spec)
        first, *_, last = list_variations("s", ["<a>", "<b>"], ["cat", "dog"], spec.generate)
        spot, other = learned.spot(first), learned.spot(last)
        assert spot.shift == ((20 - 44, 20 - 40) if align else (0, 0))
        assert np.array_equal(spot.seen[spot.drawn], picture[spot.region])
        assert np.array_equal(other.seen[other.drawn], picture[other.region])
        assert np.array_equal(restored(spot.seen, spot), picture), "drawn as it was, it lies as it was"
    edge = np.zeros((64, 64), bool)
    edge[50:64, 0:10] = True
    assert shift_to(edge, disc(2, 62, 1)) == (-50, 54)
    assert np.roll(edge, (-50, 54), (0, 1))[:14, 54:].all(), "all of it is in the picture"


def test_a_scene_that_lacks_what_it_is_placed_into_fails_alone(model_dir: Path, tasks: list[SceneTask]) -> None:
    bare = SceneTask("scene1", {"handles": tasks[1].rows["handles"]}, {"safetensors": tasks[1].files["safetensors"]})
    other = SceneTask("scene2", tasks[2].rows, {**tasks[2].files, "png": png(np.zeros((32, 32, 3), np.uint8))})
    outputs = placed(model_dir, [bare, other])
    assert outputs["scene1"].failure.message.startswith("the scene has no concepts, or an empty mask, so nothing can")
    assert outputs["scene2"].failure.message.startswith("a mask of the scene is of another size than its picture")


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Two pictures, the first with two masks; one without any; and one whose mask is of nothing."""
    folder = tmp_path / "rooms"
    folder.mkdir()
    for number, (name, masks) in enumerate({"a": 2, "b": 1, "bare": 0, "void": 1}.items()):
        picture, found = tiny_picture(number, 2, 96)
        Image.fromarray(picture).save(folder / f"{name}.png")
        for index in range(masks):
            Image.fromarray(found[index] & (name != "void")).save(folder / f"{name}.mask{index}.png")
    return folder


def test_given_pictures_are_drawn_into_in_turn_where_their_masks_are(
    model_dir: Path, tasks: list[SceneTask], rooms: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = {"region": "given", "given": str(rooms)}
    spec = tiny_spec(model_dir, generate=PLACE | {"place": place, "images_per_prompt": 6})
    stage = GenerateStage(spec, StageContext("memory://none"))
    assert (stage.needs, stage.files) == (("handles", "concepts"), ("handles",))
    stage.setup()
    one, other = ({o.scene_id: o for o in stage.process(given)} for given in (tasks[:2], tasks[1:2]))
    for left, right in zip(one["scene1"].rows, other["scene1"].rows, strict=True):
        assert {**left} == {**right}, "company decides nothing"
    output = one["scene0"]
    assert {Path(row["into"]).name for row in output.rows} == {"a.png", "b.png"}
    assert all(row["replaced"] is None for row in output.rows)
    assert len({json.dumps(row["region"]) for row in output.rows}) == 3, "both masks of the first, and the other's"
    for row in output.rows:
        real = pixels(output, f"{row['key']}.source.png")
        assert real.shape == (64, 64, 3)
        region = decode_mask(row["region"])
        assert np.array_equal(pixels(output, row["file"])[~region], real[~region])
    assert len([line for line in caplog.messages if "void.png is not drawn into" in line]) == 1


def test_a_folder_without_masks_is_refused_and_its_content_is_what_counts(model_dir: Path, rooms: Path) -> None:
    spec = tiny_spec(model_dir, generate=PLACE | {"place": {"region": "given", "given": str(rooms)}})
    before = content_of(spec)
    (rooms / "b.png").rename(rooms / "c.png")
    (rooms / "b.mask0.png").rename(rooms / "c.mask0.png")
    assert content_of(spec) == before
    Image.fromarray(tiny_picture(2, 1, 96)[1][0]).save(rooms / "c.mask0.png")
    assert content_of(spec) != before
    for mask in rooms.glob("*.mask*"):
        mask.unlink()
    with pytest.raises(SpecError, match=r"generate\.place\.given: no picture under .*rooms has a mask beside it; put"):
        receivers(spec)
