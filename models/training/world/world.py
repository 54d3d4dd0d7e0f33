"""The world of toys: scene i of a seed is always the same picture, masks and facts.

A scene is a place and zero to three toys of different silhouettes in front of it, the later in front, with their exact
visible masks. Where a place is dark the ground close to a toy is lit, so that every toy's dark outline is seen on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.training.world.drawing import draw_toy
from models.training.world.places.backgrounds import BACKGROUNDS, paint
from models.training.world.placing import APART, OVERLAPPING, Pixels, Placing, darken_below, defocused, relit
from models.training.world.roster import TRAINED, Toy
from models.training.world.scene import Scene

SCALES = {1: (0.50, 0.72), 2: (0.38, 0.50), 3: (0.32, 0.42)}
"""A toy's longer side as a share of the image's, by how many toys the scene has."""
LINE = 0.02
"""Width of the toys' outlines, whatever their size. Unit: share of the shorter side."""
LIT = 0.45
"""Luminance, 0..1, up to which the ground close to a toy is lifted."""
_GLOW = 0.05
"""How far the lit ground reaches. Unit: share of the shorter side."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ToySettings:
    """What a world of toys is made of. Two worlds of equal settings are equal, scene by scene."""

    roster: tuple[Toy, ...] = TRAINED
    """The toys that its scenes draw from."""
    height: int = 128
    """Pixels."""
    width: int = 128
    """Pixels."""
    toy_counts: tuple[float, ...] = (0.03, 0.47, 0.33, 0.17)
    """Probability of 0, 1, 2, ... toys."""
    overlaps: float = 0.15
    """Share of the scenes whose toys may hide up to `OVERLAPPING` of each other."""
    shadows: float = 0.6
    """Share of the scenes on some ground whose toys throw a shadow."""
    defocus: float = 0.022
    """Blur of the place, as a lens focused on the toys makes it. Unit: share of the shorter side."""
    turns: float = 8.0
    """Toys turn by up to this much either way. Unit: degrees."""
    mirrored: float = 0.0
    """Share of the toys that are mirrored."""
    seed: int = 0

    def open(self) -> ToyWorld:
        """The world of these settings."""
        return ToyWorld(self)


class ToyWorld:
    """Composes scenes."""

    def __init__(self, settings: ToySettings) -> None:
        self.settings = settings
        self._of_silhouette: dict[str, list[Toy]] = {}
        for toy in settings.roster:
            self._of_silhouette.setdefault(toy.silhouette, []).append(toy)

    def scene(self, index: int) -> Scene:
        """Scene `index` of this world's seed."""
        rng = np.random.default_rng((self.settings.seed, index))
        background = int(rng.integers(len(BACKGROUNDS)))
        count = int(rng.choice(len(self.settings.toy_counts), p=self.settings.toy_counts))
        nouns = list(self._of_silhouette)
        kinds = [self._of_silhouette[nouns[i]] for i in rng.choice(len(nouns), min(count, len(nouns)), False)]
        return self.compose(background, [toys[rng.integers(len(toys))] for toys in kinds], rng)

    def compose(self, background: int, toys: list[Toy], rng: np.random.Generator) -> Scene:
        """A scene of `toys` on `background`, the later ones in front."""
        settings, place = self.settings, BACKGROUNDS[background]
        side = min(settings.height, settings.width)
        canvas = defocused(paint(background, settings.height, settings.width, rng), settings.defocus)
        hidden = OVERLAPPING if rng.random() < settings.overlaps else APART
        placing = Placing(settings.height, settings.width, hidden, place.horizon)
        shown: list[tuple[Pixels, slice, slice]] = []
        for toy in toys:
            longest = rng.uniform(*SCALES[min(3, len(toys))]) * side
            turn, mirrored = rng.uniform(-settings.turns, settings.turns), rng.random() < settings.mirrored
            shown.append(placing.place(draw_toy(toy, longest, LINE * side, turn, mirrored), longest, rng))
        masks = placing.visible()
        if toys:
            light_around(canvas, masks.any(0), _GLOW * side)
        if place.ground and rng.random() < settings.shadows:
            strength = np.float32(rng.uniform(0.25, 0.45))
            for _, rows, columns in shown:
                darken_below(canvas, rows, columns, strength)
        for pixels, rows, columns in shown:
            pixels = relit(pixels, rng)
            canvas[rows, columns] = canvas[rows, columns] * (1 - pixels[..., 3:]) + pixels[..., :3]
        image = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Scene(image, masks, tuple(toys), background)


def light_around(canvas: Pixels, solid: NDArray[np.bool_], reach: float) -> None:
    """Lift the canvas, float [h, w, 3] in 0..1, in place, to the luminance `LIT` close to what is solid (bool [h, w]),
    fading over `reach` pixels. What is lighter stays as it is."""
    near = np.clip(3 * gaussian_filter(solid.astype(np.float32), reach), 0, 1)
    missing = np.maximum(LIT - canvas @ _LUMINANCE, 0)
    canvas += (near * missing)[..., None]
