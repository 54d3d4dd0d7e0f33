"""Any mode and colour space -> 8-bit sRGB, by the profile that the file carries.

Profiles are converted with relative colorimetric intent and black point compensation: colours that sRGB has stay exact,
and the darkest of a print profile becomes black. The perceptual intent changes all colours, by each vendor's taste.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

ALPHA_GROUND = (255, 255, 255)
"""Transparent pictures are laid on white: cut-outs and drawings are made to be seen on a white page."""

MAX_PROFILE = 8 << 20
"""Bytes. Print profiles have up to 3 MB."""

UNSEEN = 2
"""A profile that moves no colour by more, of 255, is one of the many spellings of sRGB and is not converted."""

SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""Pillow's mode -> ICC's name for the space of its pixels."""

NOT_OF_A_DEVICE = ("link", "abst", "nmcl")
INSTEAD = "its colours are read as sRGB; convert it to sRGB if they look wrong"


def to_srgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Any mode -> RGB on `ALPHA_GROUND`, and one sentence if its colours could not be taken at their word.

    A profile that is damaged, or of another space than the pixels, is ignored and said.
    """
    profile = image.info.get("icc_profile")
    broken = "icc_profile" in image.info and not profile
    image = to_eight_bits(image)
    alpha = None
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
    colour = _colour(image, alpha is not None)
    remark: str | None = None
    if broken:
        remark = f"its colour profile is damaged and was ignored; {INSTEAD}"
    elif profile and image.mode != "1":
        transform, remark = _from_profile(bytes(profile), colour.mode)
        if transform is not None:
            colour = _applied(transform, colour)
    elif colour.mode == "CMYK":
        remark = (
            "it is CMYK without a colour profile, so its colours are approximate; convert it to sRGB for exact ones"
        )
    elif colour.mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
        colour = _applied(transform, colour)
    rgb = colour.convert("RGB")
    if alpha is None:
        return rgb, remark
    ground = Image.new("RGB", rgb.size, ALPHA_GROUND)
    rgb.putalpha(alpha)
    return Image.alpha_composite(ground.convert("RGBA"), rgb).convert("RGB"), remark


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Single-channel pictures deeper than 8 bits -> mode L; every other mode as it is.

    16-bit integers are divided by 257, so 65535 becomes 255. For 32-bit integers and floats, which have no agreed
    white, white is the smallest of 1 (floats only), 255, 65535 and the largest value that is not below any value.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        largest = float(values.max())
        white = next((w for w in ([1.0] if image.mode == "F" else []) + [255.0, 65535.0] if largest <= w), largest)
    return Image.fromarray(np.rint(values.clip(0, white) * (255.0 / white)).astype(np.uint8))


def _colour(image: Image.Image, clear: bool) -> Image.Image:
    """Without its alpha, in the mode that its profile speaks of."""
    if image.mode in ("L", "LA"):
        return image.convert("L")
    if image.mode in ("CMYK", "LAB") and not clear:
        return image
    return image.convert("RGBA").convert("RGB") if clear else image.convert("RGB")


@lru_cache(maxsize=8)  # a corpus has a handful of profiles
def _from_profile(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str | None]:
    """The way from a profile to sRGB; none where there is nothing to do, or a remark says why not."""
    if len(profile) > MAX_PROFILE:
        return None, f"its colour profile has {len(profile)} bytes and was ignored; {INSTEAD}"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space, kind = source.profile.xcolor_space.strip(), source.profile.device_class
        space = space if space.isascii() and space.isprintable() else "no known space"
        if space != SPACES.get(mode) or kind in NOT_OF_A_DEVICE:
            of = f"of {space} ({kind})" if kind in NOT_OF_A_DEVICE else f"of {space}"
            return (
                None,
                f"its colour profile is {of}, its pixels are {SPACES.get(mode, mode)}, and it was ignored; {INSTEAD}",
            )
        transform = ImageCms.buildTransform(
            source,
            _srgb(),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode != "CMYK" and _moves(transform, mode) <= UNSEEN:
            return None, None
        return transform, None
    except MemoryError:
        raise
    except Exception:  # a stranger's profile: PyCMSError, OSError, ValueError, UnicodeDecodeError ...
        return None, f"its colour profile is damaged and was ignored; {INSTEAD}"


def _moves(transform: ImageCms.ImageCmsTransform, mode: str) -> int:
    """How far a transform moves any of a grid of colours."""
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    if mode == "L":
        grid = np.repeat(steps[None, :, None], 3, axis=2)
        probe = Image.fromarray(steps[None])
    else:
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
        probe = Image.fromarray(grid)
    moved = np.asarray(_applied(transform, probe)).astype(int)
    return int(np.abs(moved - grid).max())


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    moved = ImageCms.applyTransform(image, transform)
    assert moved is not None  # only in place it gives nothing back
    return moved


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
