"""From a file's bytes to an upright 8-bit RGB picture, trusting nothing in the file.

Limits are checked on the header, before any pixel is decoded; only decoders on an allow-list are tried.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageFile

from schemas.job import Ingest
from stages.ingest.colour import to_srgb
from stages.ingest.colour_chunks import colour_remark
from stages.ingest.faults import FileEmpty, NotAPicture, PictureBroken, PictureTooLarge, PictureTooSmall
from stages.ingest.formats import missing_decoder, picture_formats
from stages.ingest.pages import count_pages
from stages.ingest.webp import webp_size

ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the stored pixels upright."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    image: upright, mode RGB, sRGB. format: of the file. orientation: EXIF value that was undone (1: none), so that
    masks drawn on the stored pixels can follow. pages: pictures in the file, of which this is the first. remarks: one
    sentence for each thing that the file says and that was not taken at its word.
    """

    image: Image.Image
    format: str
    orientation: int = 1
    pages: int = 1
    remarks: tuple[str, ...] = ()

    @property
    def stored_size(self) -> tuple[int, int]:
        """[width, height] of the pixels as stored, before the turn."""
        width, height = self.image.size
        return (height, width) if self.orientation >= 5 else (width, height)


def decode_picture(data: bytes, limits: Ingest) -> Picture:
    """The first frame of a picture file, upright, as sRGB.

    Colour profiles are converted (`to_srgb`); 16-bit and float pictures are scaled to 8 bits, not clipped; transparency
    is laid on white.
    Raises FileEmpty, NotAPicture, PictureTooLarge, PictureTooSmall (all before decoding) or PictureBroken.
    """
    if not data:
        raise FileEmpty("the file has zero bytes; copy it again")
    with _strict_pillow():
        formats = picture_formats()
        if missing := missing_decoder(data, formats):
            raise NotAPicture(missing)
        image = open_header(data, formats, limits)
        width, height = image.size
        if min(width, height) < limits.min_side:
            raise PictureTooSmall(
                f"{width}x{height} pixels: a side is shorter than ingest.min_side "
                f"({limits.min_side}); lower it if the picture is meant"
            )
        name = "JPEG" if image.format == "MPO" else str(image.format)
        try:
            turned = orientation_of(image) if name == "TIFF" else 1  # Pillow's TIFF reader turns while it loads
            image.load()
            left = orientation_of(image)
            rgb, remark = to_srgb(turn(image, left))
            remarks = tuple(said for said in (remark, colour_remark(data, image)) if said)
            pages = count_pages(data, image)
        except MemoryError:
            raise
        except Exception as error:  # damaged data makes Pillow's decoders raise nearly any class
            raise PictureBroken(f"the {name} cannot be decoded: {error}; replace the file") from error
    return Picture(rgb, name, max(turned, left), pages, remarks)


def open_header(data: bytes, formats: tuple[str, ...], limits: Ingest) -> Image.Image:
    """A lazy image: its header is read, its pixels are not. Raises NotAPicture or PictureTooLarge."""
    if (claimed := webp_size(data)) is not None:  # whose decoder takes the memory as soon as it is opened
        _check_claim(*claimed, data, limits)
    try:
        with _strict_pillow():
            image = Image.open(io.BytesIO(data), formats=formats)
    except MemoryError:
        raise
    except Exception as error:
        raise NotAPicture(
            f"not a picture, or one cut short: no decoder for {' '.join(formats)} accepts it; remove it, "
            "or convert it to one of them"
        ) from error
    _check_claim(*image.size, data, limits)
    return image


def format_of(data: bytes) -> str | None:
    """What a file is by its header, where a decoder that may see it knows it; its pixels are not read."""
    try:
        with _strict_pillow(), Image.open(io.BytesIO(data), formats=picture_formats()) as image:
            return "JPEG" if image.format == "MPO" else str(image.format)
    except MemoryError:
        raise
    except Exception:  # damaged data makes Pillow raise nearly any class
        return None


def _check_claim(width: int, height: int, data: bytes, limits: Ingest) -> None:
    """Raises PictureTooLarge for a size that is too large, or too large for so few bytes."""
    if width * height > limits.max_pixels:
        raise PictureTooLarge(
            f"{width}x{height} pixels are more than ingest.max_pixels ({limits.max_pixels}); raise it if the picture "
            "is meant"
        )
    if width * height > limits.max_pixels_per_byte * len(data):
        raise PictureTooLarge(
            f"its header claims {width}x{height} pixels for {len(data)} bytes, more than ingest.max_pixels_per_byte "
            f"({limits.max_pixels_per_byte}) for each; replace the file, or raise the limit if it is meant"
        )


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 when there is none or it makes no sense."""
    if image.format == "AVIF" and "exif" not in image.info:
        return 1  # its own turn is in the EXIF that Pillow gives; XMP, which Pillow takes next, is about other pixels
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF must not cost the picture
        return 1
    return value if value in TURNS else 1


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Stored pixels -> upright pixels."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Pillow with our pixel limit in place of its own, and truncated files refused whatever other code has set."""
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata; what matters is raised
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
