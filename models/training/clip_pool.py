"""The pool of scenes that the judge trains on: rendered once by all cores, then held as tensors on the device.

Half of the scenes draw from the named sprites of the world, `TRAINING` and `HELD_OUT`, half from the whole roster.
A scene comes with several captions, each with a nearly right one beside it, all in token ids.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.clip_captions import Claim, describe, describe_wrongly, name_of
from models.training.sprites import SpriteName
from models.training.tokenizer import WordTokens
from models.training.world import World

MAX_OBJECTS = 4
"""Slots a scene; more than any scene has."""

CAPTIONS = 4
"""Captions drawn for each scene."""

VISIBLE_PIXELS = 24
"""An object with fewer visible pixels is not looked at by itself."""

CHUNK = 128


@dataclass(frozen=True)
class ClipPool:
    """n scenes. Sprites and nouns are numbers in the roster and in its list of different nouns; -1 is none."""

    images: Tensor
    """uint8 [n, 64, 64, 3]."""
    masks: Tensor
    """uint8 [n, 4, 512], packed bits of [64, 64]: visible pixels."""
    sprites: Tensor
    """int16 [n, 4]; also -1 where too little is visible."""
    nouns: Tensor
    """int16 [n, 4], of everything in the scene."""
    places: Tensor
    """int16 [n]."""
    tokens: Tensor
    """int16 [n, captions, 2, length]: right, nearly right."""
    claims: Tensor
    """int16 [n, captions, 2, 6]: up to four nouns, the number of unnamed objects, the place."""

    def to(self, device: str) -> ClipPool:
        """The same on `device`."""
        return ClipPool(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def part(self, rows: slice) -> ClipPool:
        """Some of the scenes."""
        return ClipPool(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def mask(self, rows: Tensor, slots: Tensor) -> Tensor:
        """Unpacked masks float [b, 1, 64, 64] of one object a row."""
        packed = self.masks[rows, slots]
        bits = (packed[..., None] >> torch.arange(7, -1, -1, device=packed.device)) & 1
        return bits.view(len(rows), 1, *self.images.shape[1:3]).float()

    def covered(self, rows: Tensor) -> Tensor:
        """Where any object is seen, float [b, 1, 64, 64]."""
        return torch.stack([self.mask(rows, torch.full_like(rows, slot)) for slot in range(MAX_OBJECTS)]).amax(0)


class Roster:
    """All sprites that the judge knows, and the numbers of their nouns."""

    def __init__(self, sprites: tuple[SpriteName, ...]) -> None:
        self.sprites = sprites
        self.nouns = list(dict.fromkeys(sprite.noun for sprite in sprites))
        self.number = {noun: i for i, noun in enumerate(self.nouns)}
        self.place = {sprite.code: i for i, sprite in enumerate(sprites)}

    def claim_row(self, claim: Claim) -> NDArray[np.int16]:
        """A claim as int16 [6], see `ClipPool.claims`."""
        nouns = [self.number[noun] for noun in claim.nouns]
        return np.array([*nouns, *[-1] * (MAX_OBJECTS - len(nouns)), claim.unnamed, claim.place], np.int16)

    def single_captions(self, tokens: WordTokens) -> tuple[Tensor, Tensor]:
        """What to call each sprite alone: token ids int16 [sprites, 4, length], with and without article and colour,
        and claims int16 [sprites, 6]."""
        ways = [(article, colour) for article in (True, False) for colour in (True, False)]
        ids = [[tokens("a photo of " + name_of(s, a, c, s.noun)) for a, c in ways] for s in self.sprites]
        claims = [self.claim_row(Claim("", (s.noun,), 0, -1)) for s in self.sprites]
        return torch.from_numpy(np.array(ids)), torch.from_numpy(np.stack(claims))


def render_chunk(worlds: tuple[World, ...], roster: Roster, tokens: WordTokens, first: int) -> tuple[NDArray, ...]:
    """Scenes `first` to `first + CHUNK`, from the worlds in turn: the arrays of a `ClipPool`, in its order."""
    rows: list[tuple[NDArray, ...]] = []
    for index in range(first, first + CHUNK):
        world = worlds[index % len(worlds)]
        scene, rng = world.scene(index // len(worlds)), np.random.default_rng((world.settings.seed, 7, index))
        masks = np.zeros((MAX_OBJECTS, *scene.image.shape[:2]), bool)
        sprites, nouns = np.full((2, MAX_OBJECTS), -1, np.int16)
        for slot, (sprite, mask) in enumerate(zip(scene.objects, scene.masks, strict=True)):
            masks[slot], nouns[slot] = mask, roster.number[sprite.noun]
            if mask.sum() >= VISIBLE_PIXELS:
                sprites[slot] = roster.place[sprite.code]
        objects = list(scene.objects)
        told = []
        for _ in range(CAPTIONS):
            told.append(describe(objects, scene.background, rng))
            told.append(describe_wrongly(objects, scene.background, world.settings.roster, MAX_OBJECTS, rng))
        ids = np.stack([tokens(claim.text) for claim in told]).reshape(CAPTIONS, 2, -1)
        claims = np.stack([roster.claim_row(claim) for claim in told]).reshape(CAPTIONS, 2, -1)
        packed = np.packbits(masks.reshape(MAX_OBJECTS, -1), axis=1)
        rows.append((scene.image, packed, sprites, nouns, np.int16(scene.background), ids, claims))
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def render_pool(worlds: tuple[World, ...], roster: Roster, tokens: WordTokens, scenes: int, workers: int) -> ClipPool:
    """A pool of at least `scenes` scenes, of the worlds in turn, rendered by `workers` processes.

    Call it before anything touches a GPU: the processes are forked, so that they share the loaded sprites."""
    work = partial(render_chunk, worlds, roster, tokens)
    starts = range(0, scenes, CHUNK)
    if workers <= 1:
        return _gather(map(work, starts), len(starts))
    global _work
    _work = work  # forked processes find it here; sent with each chunk it would cost more than the rendering
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        return _gather(pool.imap(_forked, starts), len(starts))


_work: partial[tuple[NDArray, ...]]


def _forked(first: int) -> tuple[NDArray, ...]:
    return _work(first)


def _gather(chunks: Iterator[tuple[NDArray, ...]], count: int) -> ClipPool:
    """Chunks copied in as they come, so that no second copy of everything is ever made."""
    columns: list[NDArray] = []
    for number, chunk in enumerate(chunks):
        if not columns:
            columns = [np.empty((count * CHUNK, *part.shape[1:]), part.dtype) for part in chunk]
        for column, part in zip(columns, chunk, strict=True):
            column[number * CHUNK : (number + 1) * CHUNK] = part
    return ClipPool(*(torch.from_numpy(column) for column in columns))


class Sightings:
    """Where each sprite is seen in a pool, so that two views of one sprite can be drawn on the device."""

    def __init__(self, pool: ClipPool, favoured: int) -> None:
        """favoured: the first so many sprites of the roster make half of the draws."""
        flat = pool.sprites.flatten().long()
        seen = torch.nonzero(flat >= 0)[:, 0]
        self._where = seen[flat[seen].argsort()]
        counts = torch.bincount(flat[seen], minlength=favoured)
        self._counts, self._starts = counts, counts.cumsum(0) - counts
        several = (counts >= 2).float()
        weights = torch.zeros_like(several)
        for rows in (slice(0, favoured), slice(0, len(counts))):
            weights[rows] += 0.5 * several[rows] / several[rows].sum()
        self._weights = weights

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sprites int64 [count], and of each two different sightings: scenes and slots int64 [2, count]."""
        sprites = torch.multinomial(self._weights, count, replacement=True)
        counts = self._counts[sprites]
        first = (torch.rand(count, device=counts.device) * counts).long().clamp(max=counts - 1)
        step = 1 + (torch.rand(count, device=counts.device) * (counts - 1)).long().clamp(max=counts - 2)
        places = self._where[self._starts[sprites] + torch.stack([first, (first + step) % counts])]
        return sprites, places // MAX_OBJECTS, places % MAX_OBJECTS
