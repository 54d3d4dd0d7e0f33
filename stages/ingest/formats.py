"""Which decoders may see a source's bytes, and what to say of a picture whose decoder is not installed."""

from __future__ import annotations

from functools import cache

from PIL import features

ALWAYS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow's decoders that may run. The rest (EPS starts Ghostscript, for one) never see the data."""

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


@cache
def picture_formats() -> tuple[str, ...]:
    """`ALWAYS`, AVIF where Pillow was built with it, HEIF where pillow-heif is installed."""
    return ALWAYS + (("AVIF",) if features.check("avif") else ()) + (("HEIF",) if _heif() else ())


def missing_decoder(data: bytes, formats: tuple[str, ...]) -> str | None:
    """For a picture by the brands of its header that needs a decoder beyond `formats`: one sentence; else None."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 512)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & AVIF_BRANDS:
        if "AVIF" not in formats:
            return "an AVIF picture needs Pillow 11.3 or newer; install it on every worker, or convert the file to JPEG"
    elif brands & HEIF_BRANDS and "HEIF" not in formats:
        return "a HEIC picture needs pillow-heif; pip install pillow-heif on every worker, or convert the file to JPEG"
    return None


def _heif() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
