"""Training the judge of toys: the scenes, what a step is shown, and a short run. Captions: test_claims.py."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from models.training.base.dense import DenseHead, parts_of
from models.training.judge import lesson as clip_lesson
from models.training.judge import train as clip
from models.training.judge.claims import FACTS, KINDS, ROSTER
from models.training.judge.lesson import Lesson
from models.training.judge.losses import normalised
from models.training.judge.scenes import JudgedScenes, Sightings, judged_world, make_scenes, open_scenes
from models.training.judge.towers import ClipSize, Towers, build_clip, place_patches
from models.training.judge.views import junk_views, object_views, scene_views
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import Toy
from models.training.world.tokenizer import WordTokens
from models.training.world.world import ToySettings
from stages.models.clip import load_clip
from stages.models.identity import load_identity

SMALL = ClipSize(side=128, patch=32, width=64, layers=2, text_width=48, text_layers=1, heads=2)
FEW = tuple(Toy(*words) for words in product(("bunny", "star", "fish"), ("red", "blue"), ("plain", "striped")))
"""Few enough that each is seen several times in forty scenes; not in the order of `ROSTER`."""
COUNT, SEEN = 48, 40


def few_toys(seed: int) -> ToySettings:
    return replace(judged_world(seed), roster=FEW)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    torch.manual_seed(0)
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=8, layers_per_block=1, **blocks).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, vae: Path) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    make_scenes(few_toys(3), COUNT, SEEN, vae, folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def scenes(folder: Path) -> JudgedScenes:
    return open_scenes(few_toys(3), COUNT, SEEN, None, folder, "cpu")


def test_scenes_show_what_their_facts_say(scenes: JudgedScenes) -> None:
    world = few_toys(3).open()
    for row in (0, 1, 7):
        scene = world.scene(row)
        assert [ROSTER[toy] for toy in scenes.toys[row] if toy >= 0] == list(scene.objects)
        assert scenes.places[row] == scene.background
        for slot, mask in enumerate(scene.masks):
            seen = scenes.mask(torch.tensor([row]), torch.tensor([slot]))[0, 0]
            assert np.array_equal(seen.bool().numpy(), mask)
        assert np.array_equal(scenes.covered(torch.tensor([row]))[0, 0].bool().numpy(), scene.masks.any(0))


def test_three_in_ten_of_those_to_train_on_are_seen_through_the_autoencoder(
    folder: Path, vae: Path, scenes: JudgedScenes
) -> None:
    blurred = open_scenes(few_toys(3), COUNT, SEEN, vae, folder, "cpu")
    same = (blurred.images == scenes.images).flatten(1).all(1)
    assert same.tolist() == [False] * 12 + [True] * 36
    with torch.no_grad():
        model = AutoencoderKL.from_pretrained(vae)
        given_back = model.decode(model.encode(scenes.images[:1].permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mode())
    expected = ((given_back.sample.permute(0, 2, 3, 1) + 1) * 127.5).clamp(0, 255)
    assert (blurred.images[:1] - expected).abs().max() <= 1
    with pytest.raises(FileNotFoundError):
        open_scenes(few_toys(4), COUNT, SEEN, vae, folder, "cpu")


def test_sightings_are_of_toys_that_differ_in_one_fact(scenes: JudgedScenes) -> None:
    toys, rows, slots = Sightings(scenes).draw(40, np.random.default_rng(0))
    assert np.array_equal(scenes.toys[rows, slots], np.broadcast_to(toys, (2, 40)))
    assert (rows[0] != rows[1]).all(), "two scenes, since no scene shows a toy twice"
    differing = np.array(FACTS)[toys].reshape(10, 4, 3)[:, 1:] != np.array(FACTS)[toys].reshape(10, 4, 3)[:, :1]
    assert np.array_equal(differing, np.broadcast_to(np.eye(3, dtype=bool), (10, 3, 3)))
    with pytest.raises(ValueError, match="seen twice"):
        Sightings(scenes.part(slice(0, 1)))


def test_views_are_of_the_scenes_size_and_show_the_toy_alone(scenes: JudgedScenes) -> None:
    torch.manual_seed(0)
    _, rows, slots = Sightings(scenes).draw(40, np.random.default_rng(0))
    rows, slots = torch.from_numpy(rows[0]), torch.from_numpy(slots[0])
    views, grounded = object_views(scenes, rows, slots)
    assert views.shape == (40, 3, 128, 128)
    shown = (views.amax(1) > 0).float().mean((1, 2))[~grounded]
    assert (shown < 0.85).all()
    assert (shown > 0.01).all()
    whole = scene_views(scenes, rows)
    assert (whole.mean((2, 3)) - scenes.images[rows].float().mean((1, 2)) / 255).abs().amax() < 0.25
    assert junk_views(scenes, rows, slots).shape == views.shape


class Oracle:
    """Towers that know: features are the sum of a direction for each fact that a picture shows or a caption says."""

    def __init__(self, tokens: WordTokens, scale: float = 3.0) -> None:
        self.model = SimpleNamespace(logit_scale=torch.tensor(scale))
        known = [word for kind in KINDS for word in kind]
        phrases = [place.phrases[0].lower().split() for place in BACKGROUNDS]
        counts = Counter([*known, *(word for phrase in phrases for word in phrase)])
        words = [*known, *(next(word for word in phrase if counts[word] == 1) for phrase in phrases)]
        self.direction = {word: number for number, word in enumerate(words)}
        self._word = {ids[0]: word for word, ids in tokens.table.items()}

    def pictures(self, batch: torch.Tensor) -> torch.Tensor:
        """batch: the features themselves, see `as_features`."""
        return normalised(batch.flatten(1))

    def pictures_and_patches(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pictures(batch), torch.zeros(len(batch), 8, 8, 8)

    def captions(self, ids: torch.Tensor) -> torch.Tensor:
        said = torch.zeros(len(ids), len(self.direction) + 1)
        for row, line in enumerate(ids.tolist()):
            for number in line:
                if (word := self._word.get(number)) in self.direction:
                    said[row, self.direction[word]] = 1
        return normalised(said + 1e-3)


def as_features(toys: list[list[int]], places: list[int]) -> torch.Tensor:
    """Of scenes of toys (numbers in `ROSTER`) at places; a picture of nothing has a direction of its own."""
    starts = np.cumsum([0, *(len(kind) for kind in KINDS)])
    features = torch.zeros(len(toys), 1, 1, starts[-1] + len(BACKGROUNDS) + 1)
    for row, (numbers, place) in enumerate(zip(toys, places, strict=True)):
        for number in numbers:
            for kind, fact in enumerate(FACTS[number]):
                features[row, ..., starts[kind] + fact] += 1
        if place >= 0:
            features[row, ..., starts[-1] + place] += 1
    features[..., -1] = (features.sum(-1) == 0).float()
    return features


def test_whoever_knows_the_facts_loses_nothing(
    scenes: JudgedScenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures, facts, captions and toys of a step belong together row by row: an oracle's losses are those of choices
    between equals alone, and one that is off by a row loses much."""
    shown: dict[str, list[list[int]]] = {}

    def whole(pool: JudgedScenes, rows: torch.Tensor) -> torch.Tensor:
        shown["scenes"] = [[toy for toy in pool.toys[row] if toy >= 0] for row in rows]
        return as_features(shown["scenes"], [int(pool.places[row]) for row in rows])

    def alone(pool: JudgedScenes, rows: torch.Tensor, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shown["views"] = [[int(pool.toys[row, slot])] for row, slot in zip(rows, slots, strict=True)]
        return as_features(shown["views"], [-1] * len(rows)), torch.zeros(len(rows), dtype=torch.bool)

    def nothing(pool: JudgedScenes, rows: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        return as_features([[] for _ in rows], [-1] * len(rows))

    for name, views in {"still_views": whole, "object_views": alone, "junk_views": nothing}.items():
        monkeypatch.setattr(clip_lesson, name, views)
    plain, matched = clip_lesson.matching_loss, []
    monkeypatch.setattr(clip_lesson, "matching_loss", lambda *given: (matched.append(given), plain(*given))[1])
    _, tokens = clip.open_tokenizer(tmp_path)
    oracle, head = Oracle(tokens), DenseHead(8, 8)
    losses = Lesson(scenes, tokens, head, 0).losses(oracle, 32)
    *_, own, fits, _ = matched[0]
    assert own.tolist() == [*range(32), *range(64, 80), *range(64, 80), -1, -1]
    assert fits[torch.arange(64), own[:64]].all(), "a picture's own caption fits it"
    assert fits[torch.arange(32), torch.arange(32, 64)].float().mean() < 0.3, "the nearly right one does not"
    monkeypatch.setattr(oracle, "pictures", lambda batch: normalised(batch.flatten(1).roll(1, 0)))
    wrong = Lesson(scenes, tokens, head, 0).losses(oracle, 32)
    toys = [view[0] for view in shown["views"]]
    equals = [np.log(toys.count(toy) - 1) for toy in toys]
    near = 3 * np.exp(10 * (2 / 3 - 1))  # at most three of each group differ in one fact, two views each
    assert np.mean(equals) <= losses.telling < np.mean(equals) + 2 * near + 0.1
    assert losses.naming < 0.5 < 2 < wrong.naming
    assert losses.matching < 0.6 * wrong.matching
    assert losses.telling < wrong.telling - 0.5


def test_what_is_asked_of_the_patches_is_what_lies_there(scenes: JudgedScenes, tmp_path: Path) -> None:
    _, tokens = clip.open_tokenizer(tmp_path)
    rows = np.arange(12)
    shown = clip_lesson._TOY_FACTS[scenes.toys[rows]]
    parts = Lesson(scenes, tokens, DenseHead(8, 8), 0)._parts(torch.from_numpy(rows), shown)
    for row in rows:
        toys = tuple(ROSTER[toy] for toy in scenes.toys[row] if toy >= 0)
        masks = np.stack([(scenes.labels[row] == slot + 1).numpy() for slot in range(len(toys))]) if toys else None
        expected = np.zeros((3, 32, 32), np.uint8) if masks is None else parts_of(masks, toys)
        assert (parts[row].numpy() == expected).mean() > 0.97, "but for places on an outline"


def test_a_short_run_trains_exports_and_goes_on(
    vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"SIZE": SMALL, "CHECK_SCENES": 8, "GROUP": 4, "judged_world": few_toys}.items():
        monkeypatch.setattr(clip, name, value)
    command = ["clip", "--vae", str(vae), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "clip"), "--batch"]
    command += ["16", "--scenes", str(SEEN), "--threads", "1", "--workers", "1", "--warm-up", "5", "--minutes"]
    states = []
    for minutes in ("0.01", "0.02"):
        monkeypatch.setattr(sys, "argv", [*command, minutes])
        clip.main()
        states.append(torch.load(tmp_path / "work/state.pt", weights_only=True))
    assert states[1]["step"] > states[0]["step"] > 0
    said = capsys.readouterr().out
    assert f"clip goes on from step {states[0]['step']}" in said
    assert said.count("clip caption first of 4") == 2

    judge = load_clip(str(tmp_path / "clip"))
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    with torch.no_grad():
        plain = torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255
        expected = Towers(judge.model, "cpu").pictures(plain)
    torch.testing.assert_close(judge.image_features(picture), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(load_identity(str(tmp_path / "clip")).features(picture), expected, atol=1e-4, rtol=0)


def test_a_shipped_judge_is_small() -> None:
    size = clip.SIZE
    assert (size.side, size.patch) == (128, 16)
    vision = size.layers * 10 * size.width**2 + 3 * size.patch**2 * size.width
    text = size.text_layers * 10 * size.text_width**2 + 700 * size.text_width
    assert vision + text < 4e6, "two bytes each, under 8 MB"


def test_patches_start_where_they_are(tmp_path: Path) -> None:
    tokenizer, _ = clip.open_tokenizer(tmp_path)
    model = build_clip(tokenizer, clip.SIZE)
    table = model.vision_model.embeddings.position_embedding.weight
    token = table[0].clone()
    place_patches(model)
    assert torch.equal(table[0], token), "the class token has no place"
    places = normalised(table[1:]).detach().view(8, 8, -1)
    near = (places @ places[3, 3]).flatten()
    distance = torch.tensor([abs(row - 3) + abs(column - 3) for row in range(8) for column in range(8)])
    means = [near[distance == steps].mean().item() for steps in range(5)]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(1)
    assert means[4] < 0.8
