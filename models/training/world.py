"""The procedural world: scene i of a seed is always the same picture, masks and facts; captions are drawn apart.

A scene is a background and zero to three sprites that overlap little, with their exact visible masks. A caption is in
the grammar that the product prompts with, "a photo of {objects} {place}", with words dropped at random, so that
one scene has many captions: `Scene.caption(rng)` draws one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.backgrounds import BACKGROUNDS, paint
from models.training.sprites import TRAINING, SpriteName, load_sprite

SCALES = {1: (0.45, 0.62), 2: (0.36, 0.50), 3: (0.32, 0.42)}
"""An object's longer side as a share of the image's, by how many objects the scene has."""


@dataclass(frozen=True)
class WorldSettings:
    """What a world is made of. Two worlds of equal settings are equal, scene by scene."""

    sprites: Path
    """Folder of the sprite files."""
    roster: tuple[SpriteName, ...] = TRAINING
    """The sprites that its scenes draw from."""
    height: int = 64
    """Pixels."""
    width: int = 64
    """Pixels."""
    object_counts: tuple[float, ...] = (0.04, 0.52, 0.32, 0.12)
    """Probability of 0, 1, 2, ... objects."""
    jitter: bool = False
    """Turn, mirror and recolour sprites at random: variety for models that need shapes and not names."""
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """image: uint8 [h, w, 3]; masks: bool [k, h, w], visible pixels only, one per object; background: an index."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    objects: tuple[SpriteName, ...]
    background: int

    def caption(self, rng: np.random.Generator) -> str:
        """One caption drawn at random; "" (no conditioning) for one in ten."""
        return draw_caption(self.objects, self.background, rng)


def draw_caption(objects: tuple[SpriteName, ...], background: int, rng: np.random.Generator) -> str:
    """A caption of the objects in random order.

    Dropped at random: everything (10 %), the place (15 %), articles (half of the captions, because handles take none),
    each colour word (30 %). Each noun is "object" in 15 % of its captions: a handle that starts from the embedding
    of "object" then starts from a word that the model knows to be any object.
    """
    if rng.random() < 0.10:
        return ""
    articles = rng.random() < 0.5
    names: list[str] = []
    for i in rng.permutation(len(objects)):
        words = [objects[i].colour] if objects[i].colour and rng.random() < 0.7 else []
        words.append("object" if rng.random() < 0.15 else objects[i].noun)
        plural = words[-1] in ("grapes", "broccoli", "cheese")
        if articles and not plural:
            words.insert(0, "an" if words[0][0] in "aeiou" else "a")
        names.append(" ".join(words))
    caption = "a photo of " + " and ".join(names) if names else "a photo"
    if rng.random() < 0.85:
        phrases = BACKGROUNDS[background].phrases
        caption += " " + phrases[0 if rng.random() < 0.7 else rng.integers(len(phrases))]
    return caption


class World:
    """Composes scenes. Holds every sprite of its roster at the largest size in which a scene shows it."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        longest = round(0.65 * min(settings.height, settings.width))
        self._sprites = [load_sprite(settings.sprites, s.code, longest) for s in settings.roster]

    def scene(self, index: int) -> Scene:
        """Scene `index` of this world's seed."""
        rng = np.random.default_rng((self.settings.seed, index))
        background = int(rng.integers(len(BACKGROUNDS)))
        count = int(rng.choice(len(self.settings.object_counts), p=self.settings.object_counts))
        picks = [int(p) for p in rng.choice(len(self._sprites), count, replace=False)]
        return self.compose(background, picks, rng)

    def compose(self, background: int, picks: list[int], rng: np.random.Generator) -> Scene:
        """A scene of the roster's sprites `picks` on `background`, the later ones in front."""
        height, width = self.settings.height, self.settings.width
        canvas = paint(background, height, width, rng)
        masks = np.zeros((len(picks), height, width), bool)
        boxes: list[tuple[int, int, int, int]] = []
        for slot, pick in enumerate(picks):
            low, high = SCALES[min(3, len(picks))]
            sprite = self._resize(self._sprites[pick], rng.uniform(low, high) * min(height, width), rng)
            left, top = self._place(sprite.size, boxes, rng)
            boxes.append((left, top, left + sprite.width, top + sprite.height))
            pixels = np.asarray(sprite, np.float32) / 255
            if self.settings.jitter:
                pixels[..., :3] *= rng.uniform(0.75, 1.0) if rng.random() < 0.5 else 1.0
                if rng.random() < 0.3:
                    pixels[..., :3] = pixels[..., rng.permutation(3)]
            rows, columns = slice(top, top + sprite.height), slice(left, left + sprite.width)
            canvas[rows, columns] = canvas[rows, columns] * (1 - pixels[..., 3:]) + pixels[..., :3]
            solid = pixels[..., 3] > 0.5
            masks[:slot, rows, columns] &= ~solid
            masks[slot, rows, columns] = solid
        image = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Scene(image, masks, tuple(self.settings.roster[p] for p in picks), background)

    def _resize(self, sprite: Image.Image, longest: float, rng: np.random.Generator) -> Image.Image:
        ratio = longest / max(sprite.size)
        sprite = sprite.resize(
            (max(2, round(sprite.width * ratio)), max(2, round(sprite.height * ratio))), Image.Resampling.BILINEAR
        )
        if self.settings.jitter and rng.random() < 0.5:
            sprite = sprite.transpose(Image.Transpose(int(rng.choice([0, 2, 4]))))
        return sprite

    def _place(
        self, size: tuple[int, int], taken: list[tuple[int, int, int, int]], rng: np.random.Generator
    ) -> tuple[int, int]:
        """Left and top, inside the frame: of up to 24 random places the first that covers under 5 % of any other box
        and lies under 5 % covered, or else the one that overlaps least."""
        best, best_overlap = (0, 0), np.inf
        for _ in range(24):
            left = int(rng.integers(max(1, self.settings.width - size[0] + 1)))
            top = int(rng.integers(max(1, self.settings.height - size[1] + 1)))
            overlap = 0.0
            for x0, y0, x1, y1 in taken:
                shared = max(0, min(left + size[0], x1) - max(left, x0)) * max(0, min(top + size[1], y1) - max(top, y0))
                overlap = max(overlap, shared / min(size[0] * size[1], (x1 - x0) * (y1 - y0)))
            if overlap < best_overlap:
                best, best_overlap = (left, top), overlap
            if overlap < 0.05:
                break
        return best
