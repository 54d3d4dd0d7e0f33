"""The procedural world: scene i of a seed is always the same picture, masks and facts; captions are drawn apart.

A scene is a background and zero to three sprites, the later in front, with their exact visible masks. One scene has
many captions: `Scene.caption(rng)` draws one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.backgrounds import BACKGROUNDS, paint
from models.training.captions import Named, draw_caption
from models.training.placing import APART, OVERLAPPING, Pixels, Placing, darken_below, defocused, posed, relit
from models.training.sprites import FIRST, TRAINING, SpriteName, load_sprite, wide_roster

SCALES = {1: (0.40, 0.68), 2: (0.32, 0.52), 3: (0.26, 0.44)}
"""An object's longer side as a share of the image's, by how many objects the scene has."""


@dataclass(frozen=True)
class WorldSettings:
    """What a world is made of. Two worlds of equal settings are equal, scene by scene."""

    sprites: Path
    """Folder of the sprite files, or one packed file of them."""
    roster: tuple[SpriteName, ...] = TRAINING
    """The sprites that its scenes draw from."""
    weights: tuple[float, ...] | None = None
    """How often each sprite of the roster is drawn, relative to the others; all alike where None."""
    height: int = 64
    """Pixels."""
    width: int = 64
    """Pixels."""
    object_counts: tuple[float, ...] = (0.03, 0.45, 0.35, 0.17)
    """Probability of 0, 1, 2, ... objects."""
    jitter: bool = False
    """Flip, quarter-turn and recolour sprites at random: variety for models that need shapes and not names."""
    overlaps: float = 0.35
    """Share of the scenes whose objects may hide up to `OVERLAPPING` of each other."""
    shadows: float = 0.6
    """Share of the scenes on some ground whose objects throw a shadow."""
    defocus: float = 0.016
    """Blur of the background, as a lens focused on the objects makes it. Unit: share of the shorter side."""
    turns: float = 15.0
    """Sprites turn by up to this much either way. Unit: degrees."""
    mirrored: float = 0.5
    """Share of the sprites that are mirrored."""
    seed: int = 0

    def open(self) -> World:
        """The world of these settings."""
        return World(self)


def world_settings(
    kind: str, sprites: Path, roster: tuple[SpriteName, ...] | None = None, **more: Any
) -> WorldSettings:
    """The settings of the world that `--world` names: "full", or "calm", whose sprites are few (where `roster` names no
    others), upright and seldom hidden. `more`: further settings."""
    if kind == "full":
        return WorldSettings(sprites, roster or TRAINING, **more)
    return WorldSettings(sprites, roster or FIRST, **({"turns": 5.0, "mirrored": 0.0, "overlaps": 0.15} | more))


def broad_roster(sprites: Path) -> dict[str, Any]:
    """`roster` and `weights` of a calm world of every sprite that may be trained on: 35 % of the objects are of the 24
    of `FIRST`, 45 % of the rest of `TRAINING`, 20 % of the thousand others, which are called "object".

    A base that has only ever drawn 24 things draws a new concept as a mixture of them.
    """
    rest = tuple(sprite for sprite in TRAINING if sprite not in FIRST)
    named = {sprite.code for sprite in TRAINING}
    nameless = tuple(sprite for sprite in wide_roster(sprites) if sprite.code not in named)
    groups = ((FIRST, 0.35), (rest, 0.45), (nameless, 0.20))
    return {
        "roster": tuple(sprite for group, _ in groups for sprite in group),
        "weights": tuple(share / len(group) for group, share in groups for _ in group),
    }


@dataclass(frozen=True)
class Scene:
    """image: uint8 [h, w, 3]; masks: bool [k, h, w], visible pixels only, one per object; background: an index."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    objects: tuple[Named, ...]
    background: int

    def caption(self, rng: np.random.Generator) -> str:
        """One caption drawn at random; "" (no conditioning) for one in ten."""
        return draw_caption(self.objects, self.background, rng)


class World:
    """Composes scenes. Holds every sprite of its roster at twice the largest size in which a scene shows it, so that
    a turned sprite stays sharp."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        longest = round(2 * SCALES[1][1] * min(settings.height, settings.width))
        self._sprites = [load_sprite(settings.sprites, s.code, longest) for s in settings.roster]
        weights = None if settings.weights is None else np.array(settings.weights)
        self._odds = None if weights is None else weights / weights.sum()

    def scene(self, index: int) -> Scene:
        """Scene `index` of this world's seed."""
        rng = np.random.default_rng((self.settings.seed, index))
        background = int(rng.integers(len(BACKGROUNDS)))
        count = int(rng.choice(len(self.settings.object_counts), p=self.settings.object_counts))
        picks = [int(p) for p in rng.choice(len(self._sprites), count, False, self._odds)]
        return self.compose(background, picks, rng)

    def compose(self, background: int, picks: list[int], rng: np.random.Generator) -> Scene:
        """A scene of the roster's sprites `picks` on `background`, the later ones in front."""
        height, width = self.settings.height, self.settings.width
        canvas = defocused(paint(background, height, width, rng), self.settings.defocus)
        place = BACKGROUNDS[background]
        placing = Placing(height, width, OVERLAPPING if rng.random() < self.settings.overlaps else APART, place.horizon)
        shown: list[tuple[Pixels, slice, slice]] = []
        for pick in picks:
            low, high = SCALES[min(3, len(picks))]
            longest = rng.uniform(low, high) * min(height, width)
            turned = posed(self._sprites[pick], rng, self.settings.turns, self.settings.mirrored, self.settings.jitter)
            shown.append(placing.place(turned, longest, rng))
        if place.ground and rng.random() < self.settings.shadows:
            strength = np.float32(rng.uniform(0.25, 0.45))
            for _, rows, columns in shown:
                darken_below(canvas, rows, columns, strength)
        for pixels, rows, columns in shown:
            pixels = relit(pixels, rng, self.settings.jitter)
            canvas[rows, columns] = canvas[rows, columns] * (1 - pixels[..., 3:]) + pixels[..., :3]
        image = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Scene(image, placing.visible(), tuple(self.settings.roster[p] for p in picks), background)
