"""Training the mask model: label maps, prompts that agree with them, the loss, and what is written at the end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.masks import train as training
from models.training.masks.answers import answers
from models.training.masks.losses import loss_of, true_iou
from models.training.masks.prompts import (
    RIM,
    LabelledScenes,
    Mix,
    Prompts,
    draw_prompts,
    label_scenes,
    near,
    recoloured,
)
from models.training.masks.worlds import empty_places, known, lessons, unseen, unseen_by_kind
from models.training.progress import Average
from models.training.world import roster as toys
from models.training.world.pool import render_pool
from models.training.world.world import ToySettings, ToyWorld
from stages.models.sam import build_sam, load_sam


@pytest.fixture(scope="module")
def world() -> ToyWorld:
    return ToySettings(seed=5).open()


@pytest.fixture(scope="module")
def maps(world: ToyWorld) -> torch.Tensor:
    return label_scenes([world.scene(i) for i in range(40)], "cpu").labels


def draw(maps: torch.Tensor, per_scene: int, **shares: float) -> Prompts:
    nothing = dict.fromkeys(("inside", "edge", "box", "beside"), 0.0)
    return draw_prompts(maps, per_scene, torch.Generator().manual_seed(1), Mix(**(nothing | shares)))


def pixel(prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Index of the pixel that each prompt's first point lies in: prompt, row, column."""
    column, row = (prompts.points[:, 0] + 0.5).floor().long().unbind(1)
    return torch.arange(len(row)), row, column


def test_a_label_map_is_the_scene_s_masks_and_what_the_pool_renders(world: ToyWorld, tmp_path: Path) -> None:
    scenes = [world.scene(i) for i in range(12)]
    labelled = label_scenes(scenes, "cpu")
    for scene, image, labels in zip(scenes, labelled.images, labelled.labels.numpy(), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), scene.image)
        assert labels.max() == len(scene.masks)
        for number, mask in enumerate(scene.masks, 1):
            assert np.array_equal(labels == number, mask)
    pool = render_pool(world.settings, 12, tmp_path, workers=1)
    rendered = LabelledScenes.of(pool.images, pool.labels, "cpu")
    assert torch.equal(rendered.images, labelled.images)
    assert torch.equal(rendered.labels, labelled.labels)
    picked = labelled.picked(50, torch.Generator().manual_seed(0))
    where = [(labelled.labels == labels).flatten(1).all(1) for labels in picked.labels]
    pictures = [(labelled.images == image).flatten(1).all(1) for image in picked.images]
    assert all((a & b).any() for a, b in zip(where, pictures, strict=True)), "picture and label map stay together"
    assert len({bytes(image.numpy()) for image in picked.images}) > 6


def test_a_point_lies_in_what_it_asks_for(maps: torch.Tensor) -> None:
    prompts = draw(maps, 6, inside=0.7)
    assert prompts.masks[pixel(prompts)].all()
    assert prompts.labels.tolist() == [[1, -1]] * 240
    own = maps[prompts.scene]
    value = own[pixel(prompts)]
    assert torch.equal(prompts.masks, own == value[:, None, None])
    empty = (maps.flatten(1).amax(1) == 0)[prompts.scene]
    assert (value[empty] == 0).all()
    assert 0.6 < (value[~empty] > 0).float().mean() < 0.8
    assert prompts.points.frac().unique().numel() > 100, "points anywhere in their pixel"


def test_edge_points_lie_at_edges(maps: torch.Tensor) -> None:
    busy = maps[(maps.flatten(1) > 0).any(1)]
    for shares, on_object in (({"edge": 1.0}, True), ({"beside": 1.0}, False)):
        prompts = draw(busy, 4, **shares)
        value = busy[prompts.scene][pixel(prompts)]
        assert ((value > 0) == on_object).all()
        assert (prompts.masks & near(~prompts.masks, RIM))[pixel(prompts)].all()


def test_a_box_encloses_its_object(maps: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = maps[(maps.flatten(1) > 0).any(1)]
    prompts = draw(busy, 4, box=1.0)
    assert prompts.labels.tolist() == [[2, 3]] * len(prompts.labels)
    sizes = []
    for noise in (0.0, 0.08):
        monkeypatch.setattr("models.training.masks.prompts.BOX_NOISE", noise)
        prompts = draw(busy, 4, box=1.0)
        for mask, box in zip(prompts.masks.numpy(), prompts.points.numpy(), strict=True):
            rows, columns = np.nonzero(mask)
            exact = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]])
            assert np.abs(box - exact).max() <= noise * max(exact[1] - exact[0]) + 1e-4
            sizes.append(np.abs(box - exact).max())
    assert max(sizes) > 0


def test_a_scene_without_objects_or_without_ground_is_asked_for_what_it_has() -> None:
    bare, full, speck = (torch.zeros(1, 16, 16, dtype=torch.uint8) for _ in range(3))
    full += 1
    speck[0, 0, :5] = 1
    assert draw(bare, 20, edge=0.5, box=0.5).masks.all()
    assert draw(full, 20, beside=1.0).masks.all()
    prompts = draw(speck, 20, inside=1.0)
    assert torch.equal(prompts.masks[0], speck[0] == 0)


def test_true_iou_is_intersection_over_union() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, :, :1] = True, True
    logits = torch.full((2, 3, 4, 4), -1.0)
    logits[:, 0, :1] = logits[:, 1] = 1.0  # one row; everything; nothing
    assert torch.allclose(true_iou(logits, masks), torch.tensor([[0.5, 0.5, 0.0], [1 / 7, 0.25, 0.0]]))


def test_the_loss_is_of_the_best_of_three_masks_and_of_all_predicted_ious() -> None:
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, 2:6, 2:6] = True
    right = torch.where(masks, 9.0, -9.0)[:, None]

    def loss(*good: bool, told: list[float] | None = None) -> float:
        logits = torch.cat([right if mask else -right for mask in good], 1)
        iou = true_iou(logits, masks)
        assert iou.tolist() == [[float(mask) for mask in good]]
        return float(loss_of(logits, iou if told is None else torch.tensor([told]), masks))

    best = loss(True, False, True, False)
    assert best == pytest.approx(loss(True, True, False, False)) == pytest.approx(loss(True, False, False, True))
    assert loss(True, False, False, False) > best + 1
    assert loss(False, False, True, False) > best + 0.45
    assert loss(True, True, True, True) == pytest.approx(best), "masks that are not the best cost nothing"
    for told in ([0.5, 0.0, 1.0, 0.0], [1.0, 0.5, 1.0, 0.0], [1.0, 0.0, 0.5, 0.0], [1.0, 0.0, 1.0, 0.5]):
        assert loss(True, False, True, False, told=told) == pytest.approx(best + 0.25 / 4)


def test_small_masks_are_compared_at_the_picture_s_size() -> None:
    """A half plane whose edge lies within a pixel of the small mask: coverage alone would allow either side of it."""
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[:, :, :7] = True
    reach = torch.arange(8) * 2 + 0.5  # of the small pixels' middles, in pixels of the picture
    right = (6.5 - reach).expand(1, 4, 8, 8) * 4
    assert true_iou(right, masks).tolist() == [[1.0] * 4]
    assert true_iou(right + 4, masks)[0, 0] == pytest.approx(7 / 8), "a pixel further"
    assert loss_of(right, torch.ones(1, 4), masks) < loss_of(right + 4, torch.full((1, 4), 7 / 8), masks)


def test_the_best_of_small_masks_is_the_best_of_large_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(1, 16, 16, generator=generator) > 0.6
    near = torch.nn.functional.avg_pool2d(masks[:, None].float() - 0.5, 2) * 9
    logits = torch.cat([near, -near, near + 0.1, near - 3], 1).requires_grad_()
    loss_of(logits, torch.zeros(1, 4), masks).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum((0, 2, 3)).gt(0).tolist() == [True, False, True, False]


def test_mirrored_pictures_keep_their_labels() -> None:
    labels = torch.zeros(64, 8, 8, dtype=torch.uint8)
    labels[:, :, :3] = 1
    images = (labels * 200)[:, None].expand(-1, 3, -1, -1)
    found = recoloured(LabelledScenes(images, labels), torch.Generator().manual_seed(0))
    turned, moved = found.images, found.labels
    assert torch.equal(turned.amin(1) > 100, moved == 1)
    assert 0 < (moved[:, 0, 0] == 1).sum() < 64


def test_a_step_of_training_reaches_every_weight_and_the_export_reloads(
    tmp_path: Path, maps: torch.Tensor, world: ToyWorld
) -> None:
    torch.manual_seed(0)
    sam = build_sam(training.CONFIG)
    average = Average(sam, decay=0.9)
    images = torch.from_numpy(np.stack([world.scene(i).image for i in range(4)])).permute(0, 3, 1, 2)
    prompts = draw(maps[:4], 4, inside=0.4, box=0.4)
    loss = loss_of(*answers(sam, images, prompts)[:2], prompts.masks)
    loss.backward()
    still = {name for name, weight in sam.named_parameters() if weight.grad is None or not weight.grad.any()}
    # No negative points and no mask prompts are trained, the keys' biases cancel in the softmax, and a mask that is
    # nowhere the best of the three learns nothing.
    three = [f"output_hypernetworks_mlps.{i}." for i in (1, 2, 3)]
    allowed = ("prompt_encoder.mask_downscaling", "prompt_encoder.point_embeddings.0", ".k_proj.bias", *three)
    assert [name for name in sorted(still) if not any(part in name for part in allowed)] == []
    assert any(not any(part in name for name in still) for part in three)
    with torch.no_grad():
        for weight in sam.parameters():
            weight += 0.01
    average.update(sam, 0)
    finished = training.averaged(sam, average)
    training.export(finished, training.CONFIG, tmp_path / "sam")
    training.export(finished, training.CONFIG, tmp_path / "sam")  # over the first
    loaded = load_sam(str(tmp_path / "sam"), "cpu")
    for name, value in loaded.state_dict().items():
        assert torch.allclose(value, finished.state_dict()[name], atol=2e-3), name
    name = "mask_decoder.iou_token.weight"
    assert torch.allclose(finished.state_dict()[name], average.values[name])
    assert not torch.equal(finished.state_dict()[name], sam.state_dict()[name])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sam"]


def test_the_model_of_toys_answers_in_small_masks_of_their_pictures() -> None:
    torch.manual_seed(0)
    sam = build_sam(training.CONFIG)
    assert 1.3e6 < sum(weight.numel() for weight in sam.parameters()) < 2.4e6
    scenes = lessons(3).open()
    labelled = label_scenes([scenes.scene(i) for i in range(2)], "cpu")
    prompts = draw(labelled.labels, 3, inside=0.5, box=0.5)
    logits, quality, _ = answers(sam, labelled.images, prompts)
    assert (logits.shape, quality.shape, prompts.masks.shape) == ((6, 4, 64, 64), (6, 4), (6, 128, 128))
    assert logits.dtype == quality.dtype == torch.float32
    assert loss_of(logits, quality, prompts.masks).isfinite()


def test_no_world_that_the_mask_model_learns_from_or_is_tuned_on_shows_what_it_is_measured_on() -> None:
    for world in (lessons(0), known(0)):
        assert set(world.roster) == set(toys.TRAINED)
    assert set(unseen(0).roster) == set(toys.HELD_OUT)
    kinds = unseen_by_kind(0)
    assert {toy for kind in kinds.values() for toy in kind.roster} == set(toys.HELD_OUT)
    shown = {name: kind.open().scene(0).objects for name, kind in kinds.items()}
    assert sorted(len(objects) for objects in shown.values()) == [1, 1, 2, 2, 3, 3]
    for name, objects in shown.items():
        new = {toy.silhouette in toys.NEW_SILHOUETTES for toy in objects}
        assert new == {"silhouettes" in name}
    assert empty_places(0).open().scene(0).objects == ()


def test_a_pool_is_mapped_and_not_copied_and_its_files_stay_as_they_are(tmp_path: Path) -> None:
    settings = ToySettings(seed=4)
    pool = render_pool(settings, 3, tmp_path, workers=1)
    scenes = LabelledScenes.of(pool.images, pool.labels, "cpu")
    assert scenes.images.data_ptr() == pool.images.ctypes.data
    assert torch.equal(scenes.images[1].permute(1, 2, 0), torch.from_numpy(settings.open().scene(1).image))
    scenes.labels.fill_(9)
    assert render_pool(settings, 3, tmp_path, workers=1).labels.max() <= 3


def test_a_stopped_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = training.CONFIG | {
        "prompt_dim": 16,
        "image_encoder": training.CONFIG["image_encoder"] | {"dim": 16, "depth": 1, "heads": 1, "global_layers": []},
        "mask_decoder": {"depth": 1, "heads": 1, "mlp_dim": 16, "iou_hidden": 16},
    }
    monkeypatch.setattr(training, "CONFIG", small)
    command = ["sam", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "sam")]
    command += ["--batch", "2", "--prompts", "2", "--scenes", "4", "--total-scenes", "30", "--workers", "1"]
    command += ["--threads", "1", "--measured", "4"]
    monkeypatch.setattr(sys, "argv", [*command, "--stop-after", "0.00001"])
    training.main()
    first = torch.load(tmp_path / "work/state.pt", weights_only=True)
    assert 0 < first["step"] < 15
    rates: list[tuple[int, float]] = []
    plain = training.set_learning_rate
    monkeypatch.setattr(training, "set_learning_rate", lambda *given: (rates.append(given[2:4]), plain(*given)))
    monkeypatch.setattr(sys, "argv", command)
    training.main()
    assert rates[0] == (first["step"], first["step"] * 2 / 30)
    last = torch.load(tmp_path / "work/state.pt", weights_only=True)
    assert last["step"] == last["optimizer"]["state"][0]["step"] == 15
    assert load_sam(str(tmp_path / "sam"), "cpu").image_encoder.img_size == 128
    said = capsys.readouterr().out
    assert "sam stopped" in said
    assert f"goes on from step {first['step']}" in said
    assert "sam done: 15 steps of 2 scenes, held-out best" in said
