"""Training the judge: what captions claim, which pairs of a batch fit, how objects are shown, and a short run."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import CLIPTokenizer

from models.training import clip
from models.training.clip_captions import Claim, describe, describe_wrongly
from models.training.clip_losses import (
    ANY_PLACE,
    Facts,
    claim_keys,
    contrast,
    fitting,
    normalised,
    picture_caption_loss,
    sprite_loss,
)
from models.training.clip_pool import CHUNK, ClipPool, Roster, Sightings, render_pool
from models.training.clip_views import boxes, junk_views, object_views, pixels, scene_views
from models.training.sprites import HELD_OUT, TRAINING
from models.training.tokenizer import WordTokens, build, roster_words, world_words
from models.training.world import World, WorldSettings
from stages.models.clip import load_clip
from stages.models.identity import load_identity

KNOWN = TRAINING + HELD_OUT


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ellipses of one colour each stand in for the sprites, which are not part of the repository."""
    folder = tmp_path_factory.mktemp("sprites")
    for number, sprite in enumerate(KNOWN):
        picture = Image.new("RGBA", (64, 64))
        colour = ((37 * number) % 200 + 40, (151 * number) % 200 + 40, (97 * number) % 200 + 40, 255)
        ImageDraw.Draw(picture).ellipse((4, 12, 59, 51), fill=colour)
        picture.save(folder / f"{sprite.code}.webp", lossless=True)
    return folder


WORDS = list(dict.fromkeys([*world_words(), *roster_words(KNOWN)]))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return build(tmp_path_factory.mktemp("tokenizer"), WORDS)


@pytest.fixture(scope="module")
def tokens(tokenizer: CLIPTokenizer) -> WordTokens:
    return WordTokens(tokenizer, WORDS, 32)


@pytest.fixture(scope="module")
def worlds(sprites: Path) -> tuple[World, ...]:
    return tuple(World(WorldSettings(sprites, KNOWN, seed=seed)) for seed in (5, 6))


@pytest.fixture(scope="module")
def pool(worlds: tuple[World, ...], tokens: WordTokens) -> ClipPool:
    return render_pool(worlds, Roster(KNOWN), tokens, 2 * CHUNK, workers=1)


def test_word_by_word_is_what_the_tokenizer_gives(tokens: WordTokens, tokenizer: CLIPTokenizer) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        claim = describe([KNOWN[i] for i in rng.integers(len(KNOWN), size=3)], int(rng.integers(14)), rng)
        expected = tokenizer(claim.text, padding="max_length", truncation=True, max_length=32).input_ids
        assert tokens(claim.text).tolist() == expected, claim.text


def test_a_caption_claims_exactly_what_it_says() -> None:
    rng, apple, frog = np.random.default_rng(0), TRAINING[0], TRAINING[1]
    for _ in range(200):
        claim = describe([apple, frog], 3, rng)
        assert set(claim.nouns) == {noun for noun in (apple.noun, frog.noun) if noun in claim.text.split()}
        assert claim.unnamed == claim.text.split().count("object") == 2 - len(claim.nouns)
        assert (claim.place == 3) == ("snow" in claim.text)


def test_a_nearly_right_caption_differs_in_one_thing(tokens: WordTokens) -> None:
    rng, objects = np.random.default_rng(1), [TRAINING[0], TRAINING[1]]
    wrong = 0
    for _ in range(200):
        claim = describe_wrongly(objects, 3, KNOWN, 4, rng)
        strangers = set(claim.nouns) - {s.noun for s in objects}
        assert len(strangers) + (claim.place not in (3, -1)) <= 1
        wrong += len(strangers) + (claim.place not in (3, -1))
    assert wrong > 120


def claims_of(*rows: tuple[tuple[int, ...], int, int]) -> torch.Tensor:
    return torch.tensor([[*nouns, *[-1] * (4 - len(nouns)), unnamed, place] for nouns, unnamed, place in rows])


def test_a_caption_fits_where_nothing_it_claims_is_missing() -> None:
    facts = Facts(torch.tensor([[5, 0, -1, -1], [5, -1, -1, -1], [5, -1, -1, -1]]), torch.tensor([2, -1, ANY_PLACE]))
    claims = claims_of(((0, 5), 0, 2), ((5,), 0, -1), ((5,), 0, 3), ((), 1, 2), ((4,), 0, -1))
    expected = [[1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [0, 1, 1, 1, 0]]
    assert fitting(facts, claims, 6).int().tolist() == expected
    keys = claim_keys(claims_of(((0, 5), 0, 2), ((5, 0), 0, 2), ((0, 5), 1, 2), ((0,), 0, 2), ((0, 5), 0, -1)))
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 4


def test_contrast_counts_right_leaves_out_what_fits_and_skips_rows_without_any() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5, -1.0], [0.3, 0.2, 0.1, 0.0]])
    right = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    left_out = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    total = math.exp(2.0) + math.exp(0.5) + math.exp(-1.0)
    expected = -(math.log(math.exp(2.0) / total) + math.log(math.exp(0.5) / total)) / 2
    logits.requires_grad_()
    loss = contrast(logits, right, left_out)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] == 0


def test_equal_captions_of_two_pictures_are_no_rivals() -> None:
    features = normalised(torch.eye(3, 8))
    facts = Facts(torch.tensor([[1, -1, -1, -1], [1, -1, -1, -1], [2, -1, -1, -1]]), torch.tensor([4, 4, 4]))
    claims = claims_of(((1,), 0, 4), ((1,), 0, 4), ((2,), 0, 4))
    captions = features[[0, 0, 2]]  # equal captions have equal features, which a one-right-answer loss would punish
    same = features[[0, 0, 2]]
    scale = torch.tensor(50.0)
    loss = picture_caption_loss(same, captions, scale, torch.arange(3), facts, claims, 3)
    assert loss.item() == pytest.approx(math.log(2) * 2 / 3, abs=1e-4)  # only the choice between equals is left
    facts = Facts(torch.tensor([[1, -1, -1, -1], [-1, -1, -1, -1], [2, -1, -1, -1]]), torch.tensor([4, -1, 4]))
    losses = [
        picture_caption_loss(pictures, captions, scale, torch.tensor([0, -1, 2]), facts, claims, 3)
        for pictures in (same, features)
    ]
    assert losses[0] > losses[1] + 0.2  # a picture of nothing that is like a caption's picture is a rival


def test_sprite_loss_wants_views_of_one_sprite_near_and_junk_far() -> None:
    near, far = normalised(torch.eye(4, 8)[[0, 0, 1, 1, 2]]), normalised(torch.eye(4, 8)[[0, 1, 0, 1, 2]])
    sprites = torch.tensor([7, 7, 9, 9, -1])
    assert sprite_loss(near, sprites) < 0.01
    assert sprite_loss(far, sprites) > 9
    assert sprite_loss(normalised(torch.eye(4, 8)[[0, 0, 1, 1, 0]]), sprites) > 0.3


def test_pool_holds_facts_that_its_pictures_show(pool: ClipPool) -> None:
    roster = Roster(KNOWN)
    for row in range(20):
        seen = [slot for slot in range(4) if pool.sprites[row, slot] >= 0]
        for slot in seen:
            sprite = roster.sprites[pool.sprites[row, slot]]
            assert roster.nouns[pool.nouns[row, slot]] == sprite.noun
            mask = pool.mask(torch.tensor([row]), torch.tensor([slot]))[0, 0].bool()
            assert mask.sum() >= 24
            assert pool.images[row][mask].float().std(0).max() < 45  # a stand-in has one colour
    fits = [
        fitting(Facts(pool.nouns[r : r + 1], pool.places[r : r + 1]), pool.claims[r, :, 0], len(roster.nouns)).all()
        for r in range(len(pool.images))
    ]
    assert all(fits), "a scene's own caption does not fit it"
    wrong = [
        fitting(Facts(pool.nouns[r : r + 1], pool.places[r : r + 1]), pool.claims[r, :, 1], len(roster.nouns))
        for r in range(len(pool.images))
    ]
    assert torch.cat(wrong).float().mean() < 0.3


def test_forked_workers_render_the_same_pool(pool: ClipPool, worlds: tuple[World, ...], tokens: WordTokens) -> None:
    other = render_pool(worlds, Roster(KNOWN), tokens, 2 * CHUNK, workers=2)
    assert torch.equal(pool.images, other.images)
    assert torch.equal(pool.masks, other.masks)
    assert torch.equal(pool.tokens, other.tokens)


def test_sightings_are_two_different_ones_of_the_sprite(pool: ClipPool) -> None:
    torch.manual_seed(0)
    sprites, scenes, slots = Sightings(pool, len(KNOWN)).draw(300)
    assert torch.equal(pool.sprites[scenes, slots].long(), sprites.expand(2, -1))
    assert ((scenes[0] != scenes[1]) | (slots[0] != slots[1])).all()
    assert len(sprites.unique()) > 60


def test_boxes_are_centres_and_longer_sides() -> None:
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, 0, 2:4, 4:8] = 1
    centre, size = boxes(masks)
    assert centre[0].tolist() == [0.5, -0.25]
    assert size.tolist() == [1.0, 2.0]
    assert centre[1].tolist() == [0.0, 0.0]


def test_objects_are_shown_on_black_whole_and_in_their_colour(pool: ClipPool) -> None:
    torch.manual_seed(0)
    _, scenes, slots = Sightings(pool, len(KNOWN)).draw(200)
    rows, slots = scenes[0], slots[0]
    views, grounded = object_views(pool, rows, slots)
    shown = views.amax(1) > 0
    on_black = ~grounded
    assert 0.03 < grounded.float().mean() < 0.2
    assert (shown[on_black].float().mean((1, 2)) < 0.9).all()
    masks = pool.mask(rows, slots)
    true = (pixels(pool, rows) * masks).sum((2, 3)) / masks.sum((2, 3))
    seen = views.sum((2, 3)) / shown.sum((1, 2)).clamp(min=1)[:, None]
    off = (true - seen).abs().amax(1)[on_black]
    assert off.median() < 0.12
    assert (shown[on_black].sum((1, 2)) > 10).float().mean() > 0.97
    fills = boxes(shown[:, None].float())[1]
    assert ((fills > 1.2) & on_black).float().mean() > 0.2  # three in ten fill the square


def test_scenes_keep_what_is_on_them_and_junk_shows_no_object(pool: ClipPool) -> None:
    torch.manual_seed(0)
    rows = torch.arange(64)
    views = scene_views(pool, rows)
    assert views.shape == (64, 3, 64, 64)
    assert 0 <= views.min() <= views.max() <= 1
    assert ((views.mean((2, 3)) - pixels(pool, rows).mean((2, 3))).abs().amax(1) < 0.25).all()
    junk = junk_views(pool, rows, torch.zeros_like(rows))
    assert junk.shape == views.shape
    assert junk.std() > 0.05


def test_lessons_are_learned(pool: ClipPool, tokens: WordTokens, tokenizer: CLIPTokenizer) -> None:
    torch.manual_seed(0)
    lesson = clip.Lesson(pool, Roster(KNOWN), tokens, len(KNOWN))
    towers = clip.Towers(clip.build(tokenizer, width=64, layers=2), "cpu").train()
    optimizer = torch.optim.AdamW(towers.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        losses.append(torch.stack(lesson.loss(towers, 16)))
        optimizer.zero_grad()
        losses[-1].sum().backward()
        optimizer.step()
    first, last = torch.stack(losses[:8]).mean(0), torch.stack(losses[-8:]).mean(0)
    assert (last < 0.92 * first).all(), f"captions and sprites: from {first.tolist()} to {last.tolist()}"


def test_claim_row_counts_its_nouns() -> None:
    roster = Roster(KNOWN)
    row = roster.claim_row(Claim("", (KNOWN[3].noun, KNOWN[1].noun), 1, 7))
    assert row.tolist() == [roster.number[KNOWN[3].noun], roster.number[KNOWN[1].noun], -1, -1, 1, 7]


def test_a_short_run_trains_exports_and_goes_on(sprites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "CHECK_SCENES", CHUNK)
    monkeypatch.setattr(clip, "judged_roster", lambda kind, folder: (len(KNOWN), KNOWN))
    options = [
        "--sprites", str(sprites), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "clip"), "--batch", "16",
        "--scenes", str(CHUNK), "--width", "64", "--layers", "2", "--threads", "1", "--workers", "1",
        "--report-every", "1", "--warm-up", "5", "--save-every", "0.004", "--minutes",
    ]  # fmt: skip
    states = []
    for minutes in ("0.015", "0.03"):
        monkeypatch.setattr(sys, "argv", ["clip", *options, minutes])
        clip.main()
        states.append(torch.load(tmp_path / "work" / "state.pt", weights_only=True))
    assert states[1]["step"] > states[0]["step"] > 0
    judge = load_clip(str(tmp_path / "clip"))
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        plain = torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255
        expected = clip.Towers(judge.model, "cpu").pictures(plain)
    torch.testing.assert_close(judge.image_features(picture), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(load_identity(str(tmp_path / "clip")).features(picture), expected, atol=1e-4, rtol=0)
    assert judge.model.config.text_config.vocab_size == len(judge.tokenizer)
