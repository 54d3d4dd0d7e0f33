"""A mask that somebody made, and the mask files that hold one or several."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from schemas.errors import SceneError
from schemas.job import Ingest
from stages.ingest.decode import format_of, open_header, orientation_of
from stages.ingest.faults import MaskUnreadable
from stages.ingest.given_masks.label_map import masks_in
from stages.ingest.given_masks.plane import plane_of


@dataclass(frozen=True)
class GivenMask:
    """image: mode L, 0 outside to 255 inside, soft edges allowed, any size, its pixels as stored. word: what it shows,
    where known. name: of its file or annotation, for messages. orientation: EXIF turn of the mask file's own. crowd:
    whether it is marked iscrowd, as a region of many objects is in COCO's own files."""

    image: Image.Image
    word: str | None
    name: str
    orientation: int = 1
    crowd: bool = False


def decode_mask_file(data: bytes, name: str, limits: Ingest) -> list[GivenMask]:
    """The masks of a PNG of any mode: one, or of a label map one a label, in ascending order.

    `plane_of` says what its pixels mean, `masks_in` how many masks they are. An orientation of the file's own is told,
    not undone. Raises MaskUnreadable, also for what is no mask or may be read in two ways.
    """
    try:
        found_as = format_of(data)
        if found_as not in ("PNG", None):
            raise MaskUnreadable(f"it is a {found_as}, whatever its name says; save it as PNG, which loses nothing")
        image = open_header(data, ("PNG",), limits)
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise MaskUnreadable(f"it is an animation of {frames} frames; save one mask a file")
        image.load()
        orientation = orientation_of(image)
        found = masks_in(plane_of(image, _bits_of_grey(data)))
        return [
            GivenMask(mask, None, name if label is None else f"{name} {label}", orientation) for label, mask in found
        ]
    except MemoryError:
        raise
    except SceneError as error:
        raise MaskUnreadable(f"mask {name}: {error}") from error
    except Exception as error:  # damaged data makes Pillow raise nearly any class
        raise MaskUnreadable(f"mask {name} cannot be decoded: {error}; export it again") from error


def _bits_of_grey(data: bytes) -> int:
    """Bits of a grey PNG's pixel by its header, 8 for other colour types: Pillow spreads 2 and 4 bits over 0 to 255."""
    bits, colour_type = data[24], data[25]
    return bits if colour_type == 0 else 8
