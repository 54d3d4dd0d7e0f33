"""One step of the judge's training: what it is shown, what is said of that, and how wrong it is.

Whole scenes and single toys on black are contrasted with captions (`matching`), read fact by fact with the captions of
one fact (`naming`), and single toys with each other (`telling`). What lies where in a scene is asked of its patches
(`placing`, see `dense`): without it the picture encoder sees colours, then patterns, and silhouettes not for hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.training.base.dense import SIDE, DenseHead, dense_loss
from models.training.judge.captions import (
    Claim,
    describe,
    describe_alone,
    describe_wrongly,
    fact_captions,
)
from models.training.judge.claims import FACTS, KINDS, NO_TOY, UNSAID, Facts, claim_keys, fitting
from models.training.judge.losses import ANY_PLACE, contrast, identity_loss, matching_loss
from models.training.judge.scenes import JudgedScenes, Sightings
from models.training.judge.towers import Towers
from models.training.judge.views import junk_views, object_views, still_views
from models.training.world.tokenizer import WordTokens

JUNK_SHARE = 16
"""One picture of nothing for so many of toys."""
MAX_SCALE = 60.0
"""Of cosines in logits; the model's own, at most so much."""
_TOY_FACTS = np.array([*FACTS, (NO_TOY,) * 3])
"""[toys + 1, 3]: -1, no toy, is its last row."""


@dataclass(frozen=True)
class Losses:
    """Scalars: of pictures and captions, of pictures and single facts, of toys among themselves, of places."""

    matching: Tensor
    naming: Tensor
    telling: Tensor
    placing: Tensor

    def total(self) -> Tensor:
        """What is minimised. Matching is the whole of it in the end; the others show it what to look at."""
        return self.matching + 0.5 * self.naming + 0.5 * self.telling + self.placing


class Lesson:
    """Draws batches and gives their losses. Captions are drawn on the host, pictures on the device of the scenes."""

    def __init__(self, scenes: JudgedScenes, tokens: WordTokens, head: DenseHead, seed: int) -> None:
        """head: asks the patches what lies where, and is thrown away in the end; seed: of the draws; each process its
        own."""
        self.head = head
        self.scenes, self.sightings, self._tokens = scenes, Sightings(scenes), tokens
        self._rng, self._device = np.random.default_rng(seed), scenes.images.device
        banks = fact_captions()
        self._bank_sizes, self._bank = (
            [len(bank) for bank in banks],
            self._ids([text for bank in banks for text in bank]),
        )

    def losses(self, towers: Towers, batch: int) -> Losses:
        """Of `batch` scenes with two captions each, right and nearly right; two views each of half as many toys, with a
        caption a toy; and pictures of nothing."""
        rng, device = self._rng, self._device
        rows = rng.integers(len(self.scenes), size=batch)
        shown = _TOY_FACTS[self.scenes.toys[rows]]  # [batch, 3, 3]
        toys, seen, slots = self.sightings.draw(batch // 2, rng)
        claims = self._claims(shown, self.scenes.places[rows].tolist(), toys)

        scenes, places_seen = torch.from_numpy(seen).to(device), torch.from_numpy(slots).to(device)
        junk = max(1, batch // JUNK_SHARE)
        views, grounded = object_views(self.scenes, scenes.flatten(), places_seen.flatten())
        nothing = junk_views(self.scenes, scenes[0, :junk], places_seen[0, :junk])
        here = torch.from_numpy(rows).to(device)
        whole = still_views(self.scenes, here)
        pictures, patches = towers.pictures_and_patches(torch.cat([whole, views, nothing]))
        placing = dense_loss(self.head(patches[:batch].float()), self._parts(here, shown))
        captions = towers.captions(self._ids([claim.text for claim in claims]))

        facts = np.full((len(pictures), 3, 3), NO_TOY)
        facts[:batch] = shown
        facts[batch : batch + len(views), 0] = np.tile(_TOY_FACTS[toys], (2, 1))
        places = torch.full((len(pictures),), UNSAID, device=device)
        places[:batch] = torch.from_numpy(self.scenes.places[rows]).to(device)
        places[batch : batch + len(views)] = torch.where(grounded, ANY_PLACE, UNSAID)
        shows = Facts(torch.from_numpy(facts).to(device), places)
        claimed = Facts(
            torch.tensor([claim.row for claim in claims], device=device),
            torch.tensor([claim.place for claim in claims], device=device),
        )
        own = torch.full((len(pictures),), -1, device=device)
        own[:batch] = torch.arange(batch, device=device)
        own[batch : batch + len(views)] = 2 * batch + torch.arange(len(toys), device=device).repeat(2)
        scale = towers.model.logit_scale.exp().clamp(max=MAX_SCALE)
        matching = matching_loss(pictures, captions, scale, own, fitting(shows, claimed), claim_keys(claimed))
        identities = np.concatenate([np.tile(toys, 2), np.full(junk, -1)])
        telling = identity_loss(pictures[batch:], torch.from_numpy(identities).to(device))
        return Losses(matching, self._naming(towers, pictures, shows, scale), telling, placing)

    def _parts(self, rows: Tensor, shown: np.ndarray) -> Tensor:
        """What lies at each place of scenes, as `dense.parts_of` has it: uint8 [b, 3, 32, 32]. shown: [b, 3, 3]."""
        labels = self.scenes.labels[rows]
        step = labels.shape[-1] // SIDE
        owners = labels[:, step // 2 :: step, step // 2 :: step].long().flatten(1)  # 0 the ground, i + 1 toy i
        ground = np.full_like(shown[:, :1], -1)
        facts = torch.from_numpy(np.concatenate([ground, shown], 1) + 1).to(rows.device)  # [b, 1 + toys, facts]
        told = facts.gather(1, owners[..., None].expand(-1, -1, facts.shape[2]))
        return told.mT.unflatten(2, (SIDE, SIDE)).to(torch.uint8)

    def _claims(self, shown: np.ndarray, places: list[int], toys: np.ndarray) -> list[Claim]:
        """The scenes' right captions, their nearly right ones, and the toys'."""
        rng = self._rng
        there = [[tuple(toy) for toy in scene if toy[0] != NO_TOY] for scene in shown.tolist()]
        return [
            *(describe(scene, place, rng) for scene, place in zip(there, places, strict=True)),
            *(describe_wrongly(scene, place, rng) for scene, place in zip(there, places, strict=True)),
            *(describe_alone(FACTS[toy], rng) for toy in toys),
        ]

    def _naming(self, towers: Towers, pictures: Tensor, shows: Facts, scale: Tensor) -> Tensor:
        """Each picture against the captions of one fact, kind by kind; right are those of what it shows."""
        banks = towers.captions(self._bank).split(self._bank_sizes)
        losses = []
        for kind, bank in enumerate(banks):
            known = shows.places[:, None] if kind == len(KINDS) else shows.toys[..., kind]
            right = (known[..., None] == torch.arange(len(bank), device=known.device)).any(1)
            losses.append(contrast(scale * pictures @ bank.T, right, right))
        return torch.stack(losses).mean()

    def _ids(self, texts: list[str]) -> Tensor:
        """int64 [n, longest]: padding that all of them have is left out, which changes nothing but the cost."""
        ids = np.stack([self._tokens(text) for text in texts])
        longest = int((ids != self._tokens.end).sum(1).max()) + 1
        return torch.from_numpy(ids[:, :longest].astype(np.int64)).to(self._device)
