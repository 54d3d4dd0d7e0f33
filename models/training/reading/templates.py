"""Where a picture has the outline of a silhouette: its slopes of brightness against those that a drawn toy would have.

A slope counts by its way and hardly by its steepness, so that neither a toy's colour nor its place's tells. A toy's
outline is a dark line, so slopes go up on both sides of it: the edge of a ring or a stripe goes up on one side alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.training.world.places.painting import Field
from models.training.world.poses import Pose, half_box
from models.training.world.silhouettes import SILHOUETTES
from models.training.world.world import LINE

SIZES = tuple(float(size) for size in np.geomspace(0.28, 0.76, 18))
"""Longer sides that are looked for. Unit: share of the picture's shorter side."""
_BANDS = 3
"""Small, middling and large."""
TURNS = (-8.0, -4.0, 0.0, 4.0, 8.0)
"""Unit: degrees."""
_SOFT = 0.7
"""Blur before slopes are taken, pixels."""
_FAINT = 0.03
"""Slopes that count by half, brightness 0..1 a pixel: the noise of an autoencoder is below, a black toy's rim above."""
_TONES = (0.77, 0.28, 0.92)
"""Brightness around, of the outline and ink, and inside: of the toy that templates are made from."""
_OUTSIDE = 2
"""Pixels by which a template may leave the picture."""


@dataclass(frozen=True)
class Slopes:
    """x, y: float32 [h, w], how brightness rises to the right and downwards, together at most 1 long."""

    x: Field
    y: Field

    def without(self, covered: NDArray[np.bool_]) -> Slopes:
        """Level where `covered`, bool [h, w]."""
        return Slopes(np.where(covered, 0, self.x), np.where(covered, 0, self.y))

    def halved(self) -> Slopes:
        """Of half the height and width, each the mean of four: on both sides of a thin line they survive this, where
        a line of a halved picture does not."""
        height, width = (side // 2 for side in self.x.shape)
        x, y = (
            field[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3)) for field in (self.x, self.y)
        )
        return Slopes(x, y)


@dataclass(frozen=True)
class Found:
    """A silhouette where it fits best. score: 1 where every slope of the template is the picture's."""

    silhouette: str
    pose: Pose
    score: float


def brightness(picture: NDArray[np.uint8]) -> Field:
    """Root of the brightest channel, [h, w] in 0..1: an outline is dark in all three, a saturated blue is not, and
    black stands off from its outline, which is darker still."""
    return np.sqrt(picture.max(-1).astype(np.float32) / 255)


def slopes(bright: Field) -> Slopes:
    """Of a brightness [h, w] in 0..1."""
    down, across = np.gradient(gaussian_filter(bright, _SOFT, mode="nearest"))
    steep = np.sqrt(across**2 + down**2 + _FAINT**2)
    return Slopes((across / steep).astype(np.float32), (down / steep).astype(np.float32))


def template(name: str, longest: float, turn: float, line: float, half: bool = False) -> Slopes:
    """The slopes of a toy alone, on a grid of an odd number of pixels a side in whose middle pixel's middle it lies;
    together they sum up to a length of 1. longest, line: pixels of that grid; with `half`, it is drawn at twice the
    size and halved."""
    fine = 2 if half else 1
    across, down = (int(np.ceil(half_side)) + 3 for half_side in half_box(name, longest, turn))
    height, width = fine * (2 * down + 1), fine * (2 * across + 1)
    pose = Pose(width / 2, height / 2, fine * longest, turn)
    depth, ink = pose.depth(name, height, width), pose.ink(name, height, width)
    solid = np.clip(depth + 0.5, 0, 1)
    inside = np.clip(depth - fine * line + 0.5, 0, 1) * np.clip(0.5 - ink, 0, 1)
    around, dark, bright = _TONES
    found = slopes(around * (1 - solid) + dark * (solid - inside) + bright * inside)
    found = found.halved() if half else found
    total = np.hypot(found.x, found.y).sum()
    return Slopes(found.x / total, found.y / total)


@dataclass(frozen=True)
class _Bank:
    """All templates of one silhouette for halved slopes of one size. poses: longer side, pixels, and turn, degrees;
    spectra: complex64 [2, t, h, w // 2 + 1], of x and y; barred: float32 [t, h, 1] and [t, 1, w], 2 where a template's
    middle cannot be."""

    poses: tuple[tuple[float, float], ...]
    spectra: NDArray[np.complex64]
    barred: tuple[Field, Field]


@cache
def _templates(name: str, side: int) -> tuple[Slopes, ...]:
    """Of every size and turn, for halved slopes whose shorter side is `side`."""
    return tuple(template(name, size * side, turn, LINE * side, half=True) for size in SIZES for turn in TURNS)


@cache
def _bank(name: str, height: int, width: int) -> _Bank:
    side = min(height, width)
    poses = tuple((size * side, turn) for size in SIZES for turn in TURNS)
    spectra = np.empty((2, len(poses), height, width // 2 + 1), np.complex64)
    rows, columns = np.full((len(poses), height, 1), 2, np.float32), np.full((len(poses), 1, width), 2, np.float32)
    for i, (made, (longest, turn)) in enumerate(zip(_templates(name, side), poses, strict=True)):
        tall, wide = made.x.shape
        for j, field in enumerate((made.x, made.y)):
            frame = np.zeros((height, width), np.float32)
            frame[:tall, :wide] = field
            frame = np.roll(frame, (-(tall // 2), -(wide // 2)), (0, 1))
            spectra[j, i] = scipy.fft.rfft2(frame).conj()
        half_x, half_y = (max(0, int(half) - _OUTSIDE) for half in half_box(name, longest, turn))
        rows[i, half_y : height - half_y] = 0
        columns[i, :, half_x : width - half_x] = 0
    return _Bank(poses, spectra, (rows, columns))


def search(found: Slopes, most: int) -> list[Found]:
    """The `most` silhouettes that fit best in each of three bands of size, each where it fits best, at steps of a
    pixel. found: a picture's slopes, halved.

    In bands, because between the spots of a large black toy there is room for many a small dark one.
    """
    height, width = found.x.shape
    across, down = scipy.fft.rfft2(found.x), scipy.fft.rfft2(found.y)
    bands: list[list[Found]] = [[] for _ in range(_BANDS)]
    for name in SILHOUETTES:
        bank = _bank(name, height, width)
        fits = scipy.fft.irfft2(bank.spectra[0] * across + bank.spectra[1] * down, (height, width))
        fits -= bank.barred[0]
        fits -= bank.barred[1]
        each = len(fits) // _BANDS
        for i, band in enumerate(bands):
            which, row, column = np.unravel_index(int(fits[i * each : (i + 1) * each].argmax()), fits.shape)
            longest, turn = bank.poses[i * each + which]
            pose = Pose(float(column) + 0.5, float(row) + 0.5, longest, turn)
            band.append(Found(name, pose, float(fits[i * each + which, row, column])))
    return [one for band in bands for one in sorted(band, key=lambda one: -one.score)[:most]]


def refined(slope: Slopes, start: Found) -> Found:
    """The best fit close to `start`, in finer steps of size, turn and place. Both of one picture's pixels."""
    best = start
    side = min(slope.x.shape)
    for grow, turn, reach in ((0.03, 2.0, 3), (0.015, 1.0, 1)):
        middle = best.pose
        tried = [
            _shifted(
                slope, start.silhouette, middle, middle.longest * (1 + i * grow), middle.turn + j * turn, reach, side
            )
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        best = max(tried, key=lambda one: one.score)
    return best


def _shifted(slope: Slopes, name: str, middle: Pose, longest: float, turn: float, reach: int, side: int) -> Found:
    """The best of the places up to `reach` pixels from the middle of a pose."""
    made = template(name, longest, turn, LINE * side)
    tall, wide = made.x.shape
    top, left = int(middle.y) - tall // 2, int(middle.x) - wide // 2
    margin = reach + max(0, -top, -left, top + tall - slope.x.shape[0], left + wide - slope.x.shape[1])
    window = (
        slice(top - reach + margin, top + tall + reach + margin),
        slice(left - reach + margin, left + wide + reach + margin),
    )
    across, down = (np.pad(field, margin)[window] for field in (slope.x, slope.y))
    steps = range(2 * reach + 1)
    fits = np.array(
        [
            [
                np.vdot(across[i : i + tall, j : j + wide], made.x) + np.vdot(down[i : i + tall, j : j + wide], made.y)
                for j in steps
            ]
            for i in steps
        ]
    )
    row, column = np.unravel_index(int(fits.argmax()), fits.shape)
    pose = Pose(int(middle.x) + int(column) - reach + 0.5, int(middle.y) + int(row) - reach + 0.5, longest, turn)
    return Found(name, pose, float(fits[row, column]))
