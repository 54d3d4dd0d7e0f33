"""The painters of the outdoor places: fields and skies, hills, streets, skylines, a tower. See `backgrounds`."""

from __future__ import annotations

import numpy as np

from models.training.world.places.painting import Field, dots, mix, over, rgb, sway, waves


def grass(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """A lawn from above: upright blades of two greens."""
    blades = 0.5 * np.sin(2 * np.pi * (9 * x + 0.4 * waves(x, y, rng, 2, 1.5)))
    return mix(rgb(58, 128, 30), rgb(122, 200, 60), 0.35 + 0.35 * y + 0.3 * blades)


def beach(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Sky, sea, foam, and sand in the lower half."""
    horizon, shore = np.float32(0.26 + rng.uniform(-0.06, 0.04)), np.float32(0.48 + rng.uniform(-0.06, 0.06))
    shore = shore + sway(x, rng, 1.5, 0.025)
    picture = mix(rgb(110, 190, 245), rgb(200, 235, 255), y / horizon)
    picture = over(picture, y > horizon, mix(rgb(20, 110, 170), rgb(70, 200, 205), (y - horizon) / (shore - horizon)))
    sand = mix(rgb(246, 224, 170), rgb(226, 192, 128), (y - shore) / 0.5 + 0.06 * waves(x, y, rng, 2, 4))
    picture = over(picture, y > shore, sand)
    return over(picture, np.exp(-(((y - shore) / 0.02) ** 2)), rgb(255, 255, 255))


def _leaves(x: Field, y: Field, angle: float, scale: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """A lattice of pointed leaves that lie along `angle`: where they are, and their shade from midrib to edge."""
    shift_u, shift_v = rng.uniform(0, 1, 2).astype(np.float32)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = (cosine * x + sine * y) * np.float32(scale) + shift_u
    across = (cosine * y - sine * x) * np.float32(scale * 2.2) + shift_v
    along = along + 0.37 * np.floor(across) + 0.12 * np.sin(9 * across)
    width = 0.5 * np.sin(np.pi * (along % 1))
    side = np.abs(across % 1 - 0.5)
    return np.clip((width - side) * 8, 0, 1), 1 - 1.6 * side


def jungle(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """A dark thicket: trunks behind, three layers of leaves in front, darkest far away."""
    picture = mix(rgb(22, 62, 40), rgb(8, 30, 20), y + 0.15 * waves(x, y, rng, 2, 1.5))
    trunk = np.abs((x * 3 + 0.04 * np.sin(7 * y) + np.float32(rng.uniform())) % 1 - 0.5)
    picture = over(picture, np.clip((0.11 - trunk) * 20, 0, 1), rgb(74, 52, 30))
    layers = ((3.2, rgb(12, 66, 34), rgb(24, 92, 44)), (2.4, rgb(16, 88, 38), rgb(44, 128, 52)))
    for scale, dark, light in (*layers, (1.7, rgb(24, 104, 40), rgb(84, 164, 60))):
        there, shade = _leaves(x, y, rng.uniform(0.3, 2.8), scale, rng)
        thinned = there * np.clip(1.6 + 3 * waves(x, y, rng, 2, 0.9), 0, 1)
        picture = over(picture, thinned, mix(dark, light, shade))
    return picture


def snow(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """A pale sky, a row of firs, white ground, falling flakes."""
    horizon = np.float32(0.38 + rng.uniform(-0.05, 0.05)) + sway(x, rng, 0.8, 0.04)
    picture = mix(rgb(138, 164, 198), rgb(190, 208, 228), y / 0.4)
    cell = x * np.float32(rng.uniform(4, 6)) + np.float32(rng.uniform())
    height = rng.uniform(0.1, 0.3, 8).astype(np.float32)[cell.astype(int)]
    rise = (horizon + 0.02 - y) / height
    fir = np.abs(cell % 1 - 0.5) < 0.42 * (1 - rise) * (0.75 + 0.25 * np.cos(19 * rise))
    picture = over(picture, fir & (rise > 0), mix(rgb(44, 84, 84), rgb(226, 236, 244), 2 * rise - 1.0))
    ground = mix(rgb(252, 253, 255), rgb(214, 228, 246), 0.35 + 0.3 * waves(x, 2 * y, rng, 3, 1.2))
    picture = over(picture, y > horizon, ground)
    return over(picture, 0.9 * dots(x, y, rng, 26, 0.013, 0, 0.5), rgb(255, 255, 255))


def desert(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """An orange sky over two dunes."""
    picture = mix(rgb(255, 150, 74), rgb(255, 214, 132), y / 0.45)
    for level, light, dark in ((0.42, (226, 140, 62), (190, 98, 40)), (0.62, (240, 166, 84), (204, 116, 48))):
        crest = np.float32(level + rng.uniform(-0.03, 0.03)) + sway(x, rng, 0.7, 0.07)
        picture = over(picture, y > crest, mix(rgb(*light), rgb(*dark), (y - crest) / 0.4))
    return picture


_FACADES = np.array(
    [[196, 92, 72], [226, 190, 128], [150, 168, 188], [214, 134, 92], [172, 120, 96], [232, 214, 186]], np.float32
)


def street(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """A road that runs to a row of houses: kerbs, a dashed line, windows."""
    horizon = np.float32(0.42 + rng.uniform(-0.04, 0.04))
    centre = np.float32(0.5 + rng.uniform(-0.12, 0.12))
    picture = mix(rgb(150, 196, 232), rgb(212, 230, 240), y / horizon)
    cell = x * 5 + np.float32(rng.uniform())
    number = cell.astype(int)
    top = rng.uniform(0.04, 0.2, 7).astype(np.float32)[number]
    facade = (_FACADES / 255)[rng.permutation(6)][number % 6]
    window = (np.abs((cell % 0.5) - 0.25) < 0.11) & (np.abs((y * 9) % 1 - 0.5) < 0.26) & (y > top + 0.04)
    facade = over(facade, window, rgb(70, 88, 110))
    facade = over(facade, np.abs(cell % 1 - 0.5) > 0.47, rgb(80, 66, 60))
    picture = over(picture, (y > top) & (y < horizon), facade)
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    off = np.abs(x - centre - (0.5 - centre) * depth)
    half = 0.16 + 0.3 * depth
    below = y >= horizon
    picture = over(picture, below, mix(rgb(176, 172, 164), rgb(194, 190, 182), depth))
    picture = over(picture, below & (off < half + 0.035), rgb(226, 224, 218))
    picture = over(picture, below & (off < half), mix(rgb(84, 86, 92), rgb(104, 106, 112), depth))
    dash = (np.float32(rng.uniform()) + 4.2 * np.sqrt(depth)) % 1 < 0.58
    return over(picture, below & dash & (off < 0.012 + 0.022 * depth), rgb(250, 240, 200))


def city(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Two rows of towers with lit windows under an evening sky, behind a pale square."""
    ground = np.float32(0.66 + rng.uniform(-0.04, 0.05))
    picture = mix(rgb(126, 134, 206), rgb(255, 196, 160), y / ground)
    for count, low, high, wall in ((9, 0.22, 0.44, rgb(124, 122, 164)), (6, 0.04, 0.42, rgb(52, 60, 96))):
        cell = x * count + np.float32(rng.uniform())
        number = cell.astype(int)
        top = rng.uniform(low, high, count + 1).astype(np.float32)[number] + 0.1 * (count == 6)
        tower = (y > top) & (cell % 1 < 0.9)
        tone = rng.uniform(0.8, 1.25, count + 1).astype(np.float32)[number]
        picture = over(picture, tower, wall * tone[..., None])
        if count == 6:
            lit = (np.abs((cell * 3) % 1 - 0.45) < 0.27) & (np.abs((y * 15) % 1 - 0.5) < 0.27) & (y > top + 0.03)
            lamp = rng.random((16, 24)) < 0.75
            lit &= lamp[(y * 15).astype(int), (cell * 3).astype(int)]
            picture = over(picture, lit & tower, rgb(255, 222, 120))
    square = mix(rgb(186, 178, 176), rgb(160, 152, 154), (y - ground) / 0.4)
    square = square * (1 - 0.12 * (((y - ground) * 9) % 1 < 0.12))[..., None].astype(np.float32)
    return over(picture, y > ground, square)


def mountain(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Rocky peaks with snow caps in a clear sky, above a green meadow."""
    meadow = np.float32(0.66 + rng.uniform(-0.05, 0.05)) + sway(x, rng, 0.9, 0.03)
    picture = mix(rgb(84, 158, 232), rgb(196, 226, 250), y / 0.6)
    first = np.float32(rng.uniform(0.2, 0.8))
    second = first + np.float32(rng.uniform(0.3, 0.5) * (1 if first < 0.5 else -1))
    jag = 0.018 * np.sin(23 * x + np.float32(rng.uniform(0, 6))) + 0.01 * np.sin(51 * x + 4 * y)
    for centre, top, slope in ((second, rng.uniform(0.22, 0.32), 1.0), (first, rng.uniform(0.05, 0.14), 1.25)):
        crest = np.float32(top) + np.float32(slope) * np.abs(x - centre) + jag
        lit = np.clip(0.5 - 7 * (x - centre + 0.25 * (y - np.float32(top)) * np.sin(21 * y)), 0, 1)
        cap = np.float32(top + 0.17) + 0.035 * np.sin(38 * x + 2)
        white = mix(rgb(196, 210, 232), rgb(255, 255, 255), lit)
        rock = over(mix(rgb(82, 84, 106), rgb(132, 130, 146), lit), y < cap, white)
        picture = over(picture, y > crest, rock)
    field = mix(rgb(84, 150, 62), rgb(140, 196, 84), (y - meadow) / 0.35 + 0.1 * waves(x, y, rng, 2, 3))
    return over(picture, y > meadow, field)


def eiffel_tower(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """The tower's lattice on four splayed feet with an arch, against a pale sky and over a lawn with trees."""
    foot, top = np.float32(0.72 + rng.uniform(-0.03, 0.04)), np.float32(rng.uniform(0.02, 0.07))
    centre = np.float32(0.5 + rng.uniform(-0.28, 0.28))
    picture = mix(rgb(206, 222, 240), rgb(252, 240, 222), y / foot)
    bushes = foot - 0.06 - 0.025 * np.abs(np.sin(2 * np.pi * (2.5 * x + np.float32(rng.uniform()))))
    picture = over(picture, y > bushes, rgb(70, 118, 72))
    fall = np.clip((y - top) / (foot - top), 0, 1)
    off = np.abs(x - centre)
    half = 0.012 + 0.05 * fall + 0.17 * fall**3
    inside = (off < half) & (y > top) & (y < foot)
    inner = np.clip(fall - 0.42, 0, 1) * 0.30 - 0.01
    legs = inside & ((off > inner) | (fall < 0.45))
    arch = ((off / 0.13) ** 2 + ((fall - 1) / 0.22) ** 2 > 1) | (off > 0.14)
    body = (legs | (inside & (fall > 0.68) & (fall < 0.8))) & arch
    lattice = (np.sin(95 * (x - centre) + 60 * y) > 0.55) | (np.sin(95 * (x - centre) - 60 * y) > 0.55)
    picture = over(picture, body, mix(rgb(122, 92, 66), rgb(84, 62, 46), lattice.astype(np.float32)))
    for level, reach in ((0.42, 0.05), (0.68, 0.115)):
        picture = over(picture, (np.abs(fall - level) < 0.017) & (off < reach), rgb(74, 54, 42))
    picture = over(picture, (off < 0.008) & (y < top + 0.03) & (y > top - 0.04), rgb(84, 62, 46))
    lawn = mix(rgb(112, 178, 84), rgb(148, 208, 104), (y - foot) / 0.3 + 0.08 * waves(x, y, rng, 2, 3))
    path = np.abs(x - centre) < 0.05 + 0.25 * (y - foot)
    return over(picture, y > foot, over(lawn, path, rgb(226, 206, 168)))
