"""What a file says of its colours beside a profile. It is not applied, as most programs do not, but said."""

from __future__ import annotations

import struct

from PIL import Image

PLAIN_PRIMARIES, PLAIN_TRANSFERS = (1, 2), (1, 2, 6, 13)
"""Code points (ITU-T H.273) that mean sRGB, its near kin, or nothing."""

SRGB_CHROMATICITY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SRGB_GAMMA = (0.43, 0.47)
INTEROP_IFD, ADOBE_RGB = 0xA005, "R03"
HEADER = 1 << 16
NOT_APPLIED = "and no profile does: read as sRGB; convert it to sRGB if its colours look wrong"


def colour_remark(data: bytes, image: Image.Image) -> str | None:
    """One sentence if the file names other colours than sRGB by anything but an ICC profile: PNG's cICP, gAMA and cHRM,
    the code points of AVIF and HEIC, a camera's Adobe RGB."""
    if image.info.get("icc_profile"):
        return None
    points = _code_points(data[:HEADER], image)
    if points is not None and (points[0] not in PLAIN_PRIMARIES or points[1] not in PLAIN_TRANSFERS):
        return f"it names colours of primaries {points[0]} and transfer {points[1]} (H.273), {NOT_APPLIED}"
    if image.format == "PNG" and "srgb" not in image.info:
        gamma = image.info.get("gamma")
        if gamma and not SRGB_GAMMA[0] <= gamma <= SRGB_GAMMA[1]:
            return f"its gAMA chunk says {gamma:g}, {NOT_APPLIED}"
        shown = image.info.get("chromaticity")
        if shown and image.mode not in ("1", "L", "LA", "I;16") and _far(shown):
            return f"its cHRM chunk names other primaries than sRGB's, {NOT_APPLIED}"
    if image.format in ("JPEG", "MPO") and _is_adobe_rgb(image):
        return f"its EXIF says Adobe RGB, {NOT_APPLIED}"
    return None


def _code_points(header: bytes, image: Image.Image) -> tuple[int, int] | None:
    """(primaries, transfer) of PNG's cICP chunk, or of the nclx box of AVIF and HEIC."""
    mark, layout = (b"cICP", ">BB") if image.format == "PNG" else (b"colrnclx", ">HH")
    at = header.find(mark) + len(mark)
    size = struct.calcsize(layout)
    if image.format not in ("PNG", "AVIF", "HEIF") or at < len(mark) or at + size > len(header):
        return None
    primaries, transfer = struct.unpack(layout, header[at : at + size])
    return int(primaries), int(transfer)


def _far(chromaticity: tuple[float, ...]) -> bool:
    return any(abs(a - b) > 0.01 for a, b in zip(chromaticity, SRGB_CHROMATICITY, strict=False))


def _is_adobe_rgb(image: Image.Image) -> bool:
    try:
        return bool(image.getexif().get_ifd(INTEROP_IFD).get(1) == ADOBE_RGB)
    except Exception:  # damaged EXIF must not cost the picture
        return False
