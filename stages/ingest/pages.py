"""How many pictures a file holds, of which the first is read."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

MOST = 10_000
"""A TIFF's pages are a chain; nobody's file may keep us on it."""

SUBFILE_TYPE, OLD_SUBFILE_TYPE = 254, 255
REDUCED, TRANSPARENCY_MASK, OLD_REDUCED = 1, 4, 2
MP_ENTRIES = 0xB002


def count_pages(data: bytes, image: Image.Image) -> int:
    """Pages or frames of the file that `image` was opened from, at least 1.

    Of a TIFF, pages that are a smaller copy or a transparency mask of another do not count; of an MPO, which phones
    write for a preview or a gain map beside the picture, only views of equal rank (stereo, panorama) do. A file that
    is damaged behind its first page has those before the damage.
    """
    try:
        if image.format == "MPO":
            entries: list[Any] = getattr(image, "mpinfo", {}).get(MP_ENTRIES, [])
            return max(1, sum("Multi-Frame" in str(entry["Attribute"]["MPType"]) for entry in entries))
        if image.format == "TIFF":
            return max(1, _tiff_pages(data))
        if image.format == "GIF":  # which counts by reading on, so not in the image whose first frame is in use
            image = Image.open(io.BytesIO(data), formats=("GIF",))
        return max(1, int(getattr(image, "n_frames", 1)))
    except MemoryError:
        raise
    except Exception:  # what lies behind the first page must not cost it
        return 1


def _tiff_pages(data: bytes) -> int:
    image = Image.open(io.BytesIO(data), formats=("TIFF",))
    pages = 0
    for number in range(MOST):
        try:
            image.seek(number)
        except Exception:  # the end, or damage
            break
        tags: Any = getattr(image, "tag_v2", {})
        kind = int(tags.get(SUBFILE_TYPE, 0))
        whole = not kind & (REDUCED | TRANSPARENCY_MASK) and int(tags.get(OLD_SUBFILE_TYPE, 0)) != OLD_REDUCED
        pages += int(whole)
    return pages
