"""The sprites of the procedural world as files: which there are, what they are called, how they load and travel.

Sprites are the Fluent 3D emoji (MIT) as the npm package `@lobehub/fluent-emoji-3d` ships them: 256x256 RGBA WebP files
named by code point. `npm pack @lobehub/fluent-emoji-3d`, unpack, and give the `assets` folder as `--sprites`. To carry
them to another machine, pack them into one file, which `--sprites` takes as well:

    python -m models.training.sprites --sprites assets --pack sprites.npz --longest 96
"""

from __future__ import annotations

import argparse
import io
import unicodedata
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from models.training.rosters import FIRST, HELD_OUT, TRAINING, UNSEEN, SpriteName, plain

__all__ = ["FIRST", "HELD_OUT", "TRAINING", "SpriteName", "load_sprite", "named_roster", "pack", "wide_roster"]

_NEWER_NAMES = (
    "1f6dc:wireless 1fa75:light_blue_heart 1fa76:gray_heart 1fa77:pink_heart 1fa87:maracas 1fa88:flute "
    "1faad:folding_fan 1faae:hair_pick 1faaf:khanda 1fabb:hyacinth 1fabc:jellyfish 1fabd:wing 1fabf:goose "
    "1face:moose 1facf:donkey 1fada:ginger_root 1fadb:pea_pod 1fae8:shaking_face 1faf7:leftwards_pushing_hand "
    "1faf8:rightwards_pushing_hand"
)
"""Names of Unicode 15, which older Pythons do not know."""


@lru_cache(maxsize=2)
def _open_pack(path: Path) -> dict[str, bytes]:
    with np.load(path) as archive:
        codes, sizes, data = archive["codes"], archive["sizes"], archive["webp"].tobytes()
    ends = np.cumsum(sizes)
    return {str(c): data[end - size : end] for c, size, end in zip(codes, sizes.tolist(), ends.tolist(), strict=True)}


def _stems(folder: Path) -> list[str]:
    return sorted(_open_pack(folder)) if folder.is_file() else sorted(p.stem for p in folder.glob("*.webp"))


def wide_roster(folder: Path) -> tuple[SpriteName, ...]:
    """Every sprite of one code point in `folder` (or in a packed file) that is neither held out nor the near twin of
    one that is, called "object" and given no colour.

    The autoencoder and the mask model need shapes of every kind, not names, so they train on some 1,300 sprites where
    the diffusion model trains on `TRAINING`. Skin-tone and other multi-code-point variants are left out, and so are
    the "square button" pictographs, which are backgrounds of a kind.
    """
    codes = [s for s in _stems(folder) if "-" not in plain(s) and plain(s) not in UNSEEN]
    return tuple(SpriteName(code, "object", "") for code in codes if not 0x1F170 <= int(plain(code), 16) <= 0x1F265)


def _name(code: str) -> str:
    """The sprite's Unicode name in at most four plain words: "cat face", "closed mailbox raised flag"."""
    newer = dict(entry.replace("_", " ").split(":") for entry in _NEWER_NAMES.split())
    name = newer.get(plain(code))
    if name is None:
        name = unicodedata.name(chr(int(plain(code), 16)), "object").lower().replace("-", " ")
    words = [word for word in name.split() if word not in ("sign", "symbol", "emblem", "ornament")]
    if int(plain(code), 16) < 0x2C00:  # the old names call an outline white and a filled shape black
        words = [word for word in words if word not in ("black", "white", "heavy", "medium")]
    if len(words) > 4:
        words = [word for word in words if word not in ("with", "and", "of", "the", "a", "in", "on", "to", "for")]
    return " ".join(words[:4]) or "object"


def named_roster(folder: Path) -> tuple[SpriteName, ...]:
    """Every sprite of `wide_roster`, `TRAINING` and `HELD_OUT` by a name: its noun there, or else its Unicode name.

    For a judge of pictures, which has to know the new concepts too. No colours: a judge reads names.
    """
    nouns = {sprite.code: sprite.noun for sprite in TRAINING + HELD_OUT}
    codes = sorted({sprite.code for sprite in wide_roster(folder)} | nouns.keys())
    return tuple(SpriteName(code, nouns.get(code) or _name(code), "") for code in codes)


def load_sprite(folder: Path, code: str, longest: int) -> Image.Image:
    """The sprite cropped to its visible pixels, its longer side `longest` pixels, as premultiplied RGBa.

    `folder` holds the WebP files, or is the one file that `pack` made of them. Raises FileNotFoundError, with what to
    do about it, when the sprite is not there.
    """
    path = folder / f"{code}.webp"
    packed = _open_pack(folder).get(code) if folder.is_file() else None
    if packed is None and not path.exists():
        raise FileNotFoundError(
            f"--sprites: no {path.name} in {folder}; run `npm pack @lobehub/fluent-emoji-3d`, unpack it, "
            "and name its assets folder"
        )
    image = Image.open(path if packed is None else io.BytesIO(packed)).convert("RGBA")
    box = Image.fromarray((np.asarray(image)[..., 3] > 8).astype(np.uint8)).getbbox()
    image = image.crop(box).convert("RGBa")
    ratio = longest / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.BOX if ratio < 0.5 else Image.Resampling.BILINEAR)


def pack(folder: Path, out: Path, longest: int) -> int:
    """Write every sprite of `named_roster` at `longest` pixels into the one file `out`; returns how many.

    The file is an .npz of the sprites' lossless WebP bytes, end to end, with their codes and sizes.
    """
    codes = [sprite.code for sprite in named_roster(folder)]
    files: list[bytes] = []
    for code in codes:
        stream = io.BytesIO()
        load_sprite(folder, code, longest).convert("RGBA").save(stream, "WEBP", lossless=True, method=4)
        files.append(stream.getvalue())
    sizes = np.array([len(file) for file in files])
    with out.open("wb") as stream_out:
        np.savez(stream_out, codes=np.array(codes), sizes=sizes, webp=np.frombuffer(b"".join(files), np.uint8))
    return len(codes)


def main() -> None:
    """Pack the sprites."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--pack", type=Path, required=True, help="file to write, .npz")
    parser.add_argument("--longest", type=int, default=96, help="longer side of each packed sprite, pixels")
    args = parser.parse_args()
    count = pack(args.sprites, args.pack, args.longest)
    print(f"sprites: {count} in {args.pack}, {args.pack.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
