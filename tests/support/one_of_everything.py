"""A bucket with one of every kind of file that people bring, good and bad, and what becomes of each.

The pictures: a red disc on the left, a blue box on the right, on grey-green; 96 x 64 pixels, so that a quarter turn
shows.
"""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 64
DISC = (28, 32, 16)
BOX = (56, 16, 84, 48)

Fate = tuple[str, str | None]
"""outcome and reason of a line of the account."""

SCENE: Fate = ("scene", None)
FAILED: Fate = ("scene", "failed in ingest")
MASK: Fate = ("mask", None)
LOST: Fate = ("mask", "its scene failed")
DUPLICATE: Fate = ("duplicate", "same bytes")


def disc() -> np.ndarray:
    """bool [HEIGHT, WIDTH]"""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray((x - DISC[0]) ** 2 + (y - DISC[1]) ** 2 <= DISC[2] ** 2)


def box() -> np.ndarray:
    """bool [HEIGHT, WIDTH]"""
    found = np.zeros((HEIGHT, WIDTH), dtype=bool)
    found[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    return found


def picture(number: int) -> Image.Image:
    """No two numbers have the same pixels."""
    pixels = np.full((HEIGHT, WIDTH, 3), (110, 125, 105), np.uint8)
    pixels[disc()], pixels[box()] = (210, 30, 30), (30, 60, 210)
    for bit in range(8):
        pixels[:8, 12 * bit : 12 * bit + 12] += np.uint8(40 * (number >> bit & 1))
    return Image.fromarray(pixels)


def mask(inside: np.ndarray, value: int = 255) -> Image.Image:
    return Image.fromarray(inside.astype(np.uint8) * np.uint8(value))


def encoded(image: Image.Image, form: str, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


class Bucket:
    """Files under `folder`, and the fate of each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fates, self._number = folder, dict[str, Fate](), 0
        folder.mkdir(parents=True)

    def put(self, name: str, data: bytes, fate: Fate) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.fates[name] = fate

    def picture(self, name: str, form: str = "PNG", fate: Fate = SCENE, change: Any = None, **how: Any) -> bytes:
        self._number += 1
        image = picture(self._number)
        data = encoded(change(image) if change else image, form, **how)
        self.put(name, data, fate)
        return data

    def mask(self, name: str, image: Image.Image | None = None, fate: Fate = MASK, **how: Any) -> None:
        self.put(name, encoded(mask(disc()) if image is None else image, "PNG", **how), fate)

    def link(self, name: str, target: Path, fate: Fate) -> None:
        (self.folder / name).symlink_to(target)
        self.fates[name] = fate


def bucket_with_masks_beside(folder: Path) -> Bucket:
    """One of every kind of file; read with `masks: beside`, `ingest.max_bytes: 60000`, `ingest.max_pixels: 100000`."""
    made = Bucket(folder)
    _formats(made)
    _names(made)
    _masks(made)
    _bad_masks(made)
    _bad_pictures(made)
    _left_out(made)
    _links(made)
    return made


def _formats(made: Bucket) -> None:
    made.picture("formats/plain.jpg", "JPEG", quality=95)
    made.picture("formats/UPPER.JPEG", "JPEG")
    made.picture("formats/chrome.jfif", "JPEG")
    made.picture("formats/web.webp", "WEBP")
    made.picture("formats/old.bmp", "BMP")
    made.picture("formats/still.gif", "GIF")
    made.picture("formats/sixteen.png", change=_sixteen_bits)
    made.picture("formats/press.jpg", "JPEG", change=lambda image: image.convert("CMYK"))
    made.picture("formats/palette.png", change=lambda image: image.convert("P"))
    made.picture("formats/clear.png", change=lambda image: image.convert("RGBA"))
    made.picture("formats/phone.jpg", "JPEG", exif=turned(6))
    pages = [picture(200 + page) for page in range(3)]
    made.put("formats/scan.tif", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), SCENE)
    made.put("formats/loop.gif", encoded(pages[1], "GIF", save_all=True, append_images=[pages[2]]), SCENE)


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image)[..., 0] * np.uint16(257))


def _names(made: Bucket) -> None:
    for name in (
        "cam.jpg",
        "cam.jpg::2.jpg",
        "100%25 #1.jpg",
        "[x] *?.jpg",
        f"{unicodedata.normalize('NFD', 'Zoë')}.jpg",
    ):
        made.picture(f"names/{name}", "JPEG")


def _masks(made: Bucket) -> None:
    made.picture("one/picture.png")
    made.mask("one/mask0.png")
    made.mask("one/MASK7.png", mask(box()))
    made.picture("stems/a.jpg", "JPEG")
    made.picture("stems/b.jpg", "JPEG")
    made.mask("stems/a.mask0.png")
    made.mask("stems/a.mask1.png", mask(box(), 1))
    made.mask("stems/B.mask0.png", mask(box(), 90))
    made.picture("stems/c.png")
    made.picture("stems/c.jpg", "JPEG")
    made.mask("stems/c.png.mask0.png")
    labels = disc().astype(np.uint8) + 2 * box().astype(np.uint8)
    made.picture("labels/p.png")
    made.mask("labels/p.mask0.png", Image.fromarray(labels))
    cut_out = np.dstack([np.asarray(picture(0)), disc().astype(np.uint8) * 255])
    made.picture("modes/cut.png")
    made.mask("modes/cut.mask0.png", Image.fromarray(cut_out))
    made.picture("modes/bits.png")
    made.mask("modes/bits.mask0.png", mask(disc()).convert("1"))
    made.picture("turned/p.jpg", "JPEG", exif=turned(6))
    made.mask("turned/p.mask0.png", mask(disc()).transpose(Image.Transpose.ROTATE_270))
    made.picture("half/p.jpg", "JPEG", exif=turned(3))
    made.mask("half/p.mask0.png", exif=turned(3))
    edge = np.zeros((HEIGHT, WIDTH), dtype=bool)
    edge[:, :10] = True
    made.picture("edge/p.png")
    made.mask("edge/p.mask0.png", mask(edge), ("mask", "outside the crop"))
    made.mask("edge/p.mask1.png", mask(box()))
    made.picture("many/p.png")
    for number in range(6):
        part = np.zeros((HEIGHT, WIDTH), dtype=bool)
        part[8 : 20 + 6 * number, 18 + 10 * number : 26 + 10 * number] = True
        made.mask(
            f"many/p.mask{number}.png", mask(part), MASK if number > 1 else ("mask", "beyond segment.max_concepts")
        )


def _bad_masks(made: Bucket) -> None:
    made.picture("unclear/dog.jpg", "JPEG", FAILED)
    made.picture("unclear/dog.png", fate=FAILED)
    made.mask("unclear/dog.mask0.png", fate=("left out", "mask of more than one picture"))
    made.picture("plain/x.png", fate=FAILED)
    made.picture("plain/y.png", fate=FAILED)
    made.mask("plain/mask0.png", fate=("left out", "mask of more than one picture"))
    made.picture("shapes/p.png", fate=FAILED)
    made.mask("shapes/p.mask0.png", mask(disc()[:, :50]), LOST)
    made.picture("upside/p.jpg", "JPEG", FAILED, exif=turned(3))
    made.mask("upside/p.mask0.png", fate=LOST)
    made.picture("torn/p.png", fate=FAILED)
    made.put("torn/p.mask0.png", encoded(mask(disc()), "PNG")[:80], LOST)
    made.picture("nothing/p.png", fate=FAILED)
    made.mask("nothing/p.mask0.png", mask(disc(), 0), ("mask", "empty"))
    made.picture("void/p.png", fate=FAILED)
    void = disc().astype(np.uint8) + 2 * box().astype(np.uint8)
    void[:6] = 255
    made.mask("void/p.mask0.png", Image.fromarray(void), LOST)
    made.mask("stray/boatt.mask0.png", fate=("left out", "mask of no picture"))
    made.picture("stray/boat.png")
    for name in ("mask.png", "photo_mask0.png", "photo.mask0.jpg", "masks/photo.png"):
        made.mask(f"nearly/{name}", fate=("left out", "looks like a mask"))


def _bad_pictures(made: Bucket) -> None:
    made.put("bad/empty.jpg", b"", FAILED)
    made.put("bad/words.jpg", b"not a picture at all", FAILED)
    made.put("bad/cut.jpg", encoded(picture(100), "JPEG", quality=95)[:900], FAILED)
    made.put("bad/tiny.png", encoded(picture(101).resize((8, 8)), "PNG"), FAILED)
    made.put("bad/wide.png", encoded(Image.new("1", (1000, 1000)), "PNG"), FAILED)
    made.put("bad/heavy.jpg", b"\xff\xd8" + os.urandom(70_000), FAILED)
    made.put("bad/phone.heic", b"\0\0\0\x18ftypheic" + bytes(64), FAILED)
    same = made.picture("same/a.png")
    made.put("same/b.png", same, DUPLICATE)
    masked = made.picture("same/c.png", fate=DUPLICATE)
    made.put("same/d.png", masked, SCENE)
    made.mask("same/d.mask0.png")
    both = made.picture("same/e.png")
    made.put("same/f.png", both, DUPLICATE)
    made.mask("same/e.mask0.png")
    made.mask("same/f.mask0.png", mask(box()), ("mask", "mask of a duplicate"))


def _left_out(made: Bucket) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inside.jpg", encoded(picture(110), "JPEG"))
    made.put("other/photos.zip", archive.getvalue(), ("left out", "archive"))
    for name, reason in {
        "other/notes.txt": "suffix .txt",
        "other/README": "no suffix",
        "other/raw.NEF": "suffix .nef",
        ".hidden.jpg": "hidden",
        "other/._plain.jpg": "hidden",
        ".cache/t.jpg": "hidden",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_S.jpg": "thumbnail",
        "other/Thumbs.db": "thumbnail",
    }.items():
        made.put(name, name.encode(), ("left out", reason))


def _links(made: Bucket) -> None:
    outside = made.folder.parent / "outside"
    outside.mkdir()
    (outside / "album.png").write_bytes(encoded(picture(120), "PNG"))
    made.link("album", outside, SCENE)
    made.fates["album/album.png"] = made.fates.pop("album")
    made.link("again.jpg", made.folder / "formats/plain.jpg", SCENE)  # sorted before what it repeats
    made.fates["formats/plain.jpg"] = DUPLICATE
    made.link("gone.jpg", made.folder / "nowhere.jpg", ("left out", "link that leads nowhere"))
    made.link("names/up", made.folder, ("left out", "link in a loop"))
    os.mkfifo(made.folder / "pipe.jpg")
    made.fates["pipe.jpg"] = ("left out", "no regular file")


def every_file(folder: Path) -> set[str]:
    """What lies under a folder, as a person counts it: files, links to folders by what they hold, loops and dead ends
    once."""
    found: set[str] = set()

    def go(at: Path, above: tuple[Path, ...], relative: Callable[[Path], str]) -> None:
        for entry in sorted(at.iterdir()):
            if entry.is_dir() and entry.resolve() not in above:
                go(entry, (*above, entry.resolve()), relative)
            else:
                found.add(relative(entry))

    go(folder, (folder.resolve(),), lambda path: path.relative_to(folder).as_posix())
    return found
