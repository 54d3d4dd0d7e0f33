"""Bytes that no picture, mask or annotation should be made of, each with a name that says what is wrong with it.

Beside what people's programs leave behind there is what somebody makes on purpose: headers that claim more than the
file holds, texts that unpack to a hundred times their size, coordinates that no picture has.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.support.one_of_everything import BOX, HEIGHT, WIDTH, disc, encoded, mask, picture

MOST_BYTES = 200_000
"""`ingest.max_bytes` of the job that these are brought to."""
BOX_SHAPE = [BOX[0], BOX[1], BOX[2], BOX[1], BOX[2], BOX[3], BOX[0], BOX[3]]


def bad_pictures() -> dict[str, bytes]:
    """Kind -> the bytes of a file that is called `<kind>.jpg`."""
    png, jpeg = encoded(picture(1), "PNG"), encoded(picture(2), "JPEG", quality=95)
    tiff, gif, bmp = encoded(picture(3), "TIFF"), encoded(picture(4), "GIF"), encoded(picture(5), "BMP")
    webp, lossless = encoded(picture(6), "WEBP"), encoded(picture(7), "WEBP", lossless=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.jpg", jpeg)
    wrong_sum = bytearray(png)
    wrong_sum[29] ^= 0xFF
    return {
        "empty": b"",
        "text": b"not a picture at all",
        "page": b"<!doctype html><script>alert(1)</script>",
        "json": b'{"error": "access denied"}',
        "error of a store": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "pointer of git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "pdf": b"%PDF-1.7\n" + bytes(500),
        "drawing": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "postscript": encoded(picture(8), "EPS"),
        "portable map": encoded(picture(9), "PPM"),
        "targa": encoded(picture(10), "TGA"),
        "icon": encoded(picture(11), "ICO"),
        "archive": archive.getvalue(),
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "film": b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(200),
        "program": b"\x7fELF\x02\x01\x01" + bytes(300),
        "nothing but zeros": bytes(4000),
        "noise": np.random.default_rng(0).bytes(4000),
        "pickle": b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        "jpeg of two bytes": jpeg[:2],
        "jpeg without its end": jpeg[: len(jpeg) // 2],
        "jpeg without its tables": jpeg[:20] + jpeg[400:],
        "jpeg of no size": _jpeg_claiming(jpeg, 0, 0),
        "jpeg that claims": _jpeg_claiming(jpeg, 9000, 9000),
        "png of eight bytes": png[:8],
        "png without its end": png[: len(png) // 2],
        "png of a wrong sum": bytes(wrong_sum),
        "png of no size": _png(0, 0, zlib.compress(bytes(10))),
        "png without pixels": _png(64, 64, None),
        "png of no deflate": _png(64, 64, b"what is this"),
        "png of unknown colours": _png(64, 64, zlib.compress(bytes(64 * 65)), colour=5),
        "png of too few pixels": _png(64, 64, zlib.compress(bytes(100))),
        "png that claims": _png(9000, 9000, zlib.compress(bytes(1000))),
        "png beyond the limit": _png(60_000, 60_000, zlib.compress(bytes(1000))),
        "gif without its end": gif[:40],
        "gif that claims": b"GIF89a" + struct.pack("<HHBBB", 9000, 9000, 0, 0, 0) + b"\x2c" + bytes(4)
        + struct.pack("<HHB", 9000, 9000, 0) + b"\x08\x01\x00\x00\x3b",
        "tiff without its end": tiff[:100],
        "tiff that points outside": b"II*\0\xff\xff\xff\x7f" + bytes(40),
        "tiff that claims": _tiff_claiming(9000, 9000),
        "bmp without its end": bmp[:200],
        "bmp that claims": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 9000, 9000, 1, 24, 0, 0, 0, 0, 0, 0),
        "webp without its end": webp[: len(webp) // 2],
        "webp that claims": b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + struct.pack("<I", 13) + b"\x2f"
        + ((9999 << 14) | 9799).to_bytes(4, "little") + bytes(5),
        "lossless webp that claims": _claiming(lossless, b"VP8L", 9, (9999 << 14 | 9799).to_bytes(4, "little")),
        "lossy webp that claims": _claiming(webp, b"VP8 ", 14, struct.pack("<HH", 9800, 10_000)),
        "webp of a large canvas": b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
        + (9999).to_bytes(3, "little") * 2,
        "tiny": encoded(picture(12).resize((8, 8)), "PNG"),
        "thin": encoded(picture(13).resize((900, 3)), "PNG"),
        "too many bytes": b"\xff\xd8\xff" + bytes(MOST_BYTES),
    }  # fmt: skip


def bad_masks() -> dict[str, bytes]:
    """Kind -> the bytes of a mask beside a good picture of WIDTH x HEIGHT."""
    plain = encoded(mask(disc()), "PNG")
    void = disc().astype(np.uint8) + 2
    void[:6] = 255
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return {
        "empty": b"",
        "text": b"a mask",
        "jpeg": encoded(mask(disc()), "JPEG"),
        "without its end": plain[:60],
        "other shape": encoded(mask(disc()[:, :50]), "PNG"),
        "black": encoded(mask(disc(), 0), "PNG"),
        "animation": encoded(mask(disc()), "PNG", save_all=True, append_images=[mask(~disc())]),
        "photograph": encoded(Image.fromarray(noise), "PNG"),
        "labels on no ground": encoded(Image.fromarray(void), "PNG"),
        "claims": _png(9000, 9000, zlib.compress(bytes(1000)), colour=0),
        "beyond the limit": _png(60_000, 60_000, zlib.compress(bytes(1000)), colour=0),
        "too many bytes": plain + bytes(MOST_BYTES),
    }


def bad_shapes() -> dict[str, str]:
    """Kind -> the JSON of a COCO segmentation on a picture of WIDTH x HEIGHT."""
    size = [HEIGHT, WIDTH]
    shapes: dict[str, Any] = {
        "null among numbers": [[20, 10, None, 10, 50, 30]],
        "true among numbers": [[20, 10, True, 10, 50, 30]],
        "text among numbers": [[20, 10, "10", 10, 50, 30]],
        "object among numbers": [[20, 10, {}, 10, 50, 30]],
        "odd count": [[20, 10, 50, 10, 50, 30, 7]],
        "two points": [[20, 10, 50, 10]],
        "far": [[20, 10, 1e9, 10, 50, 30]],
        "very far": [[20, 10, 1e30, 10, 50, 30]],
        "as far as there is": [[20, 10, -1.7e308, 10, 50, 30]],
        "shares": [[0.2, 0.1, 0.5, 0.1, 0.5, 0.3]],
        "a text": "a polygon",
        "a number": 7,
        "mixed": [BOX_SHAPE, 7],
        "an outline without end": [[0, 0, *([WIDTH, HEIGHT, 0, 0] * 20_000)]],
        "runs too short": {"size": size, "counts": [100, 100]},
        "runs too long": {"size": size, "counts": [WIDTH * HEIGHT, 1]},
        "negative run": {"size": size, "counts": [-5, WIDTH * HEIGHT + 5]},
        "half a run": {"size": size, "counts": [0.5, WIDTH * HEIGHT]},
        "runs of another size": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]},
        "runs of no size": {"size": [0, 0], "counts": []},
        "runs of a size beyond": {"size": [1 << 31, 1 << 31], "counts": [1 << 62]},
        "runs without counts": {"size": size},
        "counts cut short": {"size": size, "counts": "o"},
        "counts of no such text": {"size": size, "counts": "ü"},
        "counts of endless numbers": {"size": size, "counts": "oooooooooooo0"},
    }
    texts = {kind: json.dumps(shape) for kind, shape in shapes.items()}
    for kind, number in (("infinite", "Infinity"), ("minus infinite", "-Infinity"), ("no number", "NaN")):
        texts[kind] = f"[[20, 10, {number}, 10, 50, 30]]"
    texts["a number of 400 digits"] = f"[[20, 10, 1{'0' * 400}, 10, 50, 30]]"
    return texts


def _png(width: int, height: int, pixels: bytes | None, colour: int = 2) -> bytes:
    parts = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)]
    parts += [] if pixels is None else [b"IDAT" + pixels]
    parts.append(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts
    )


def _jpeg_claiming(jpeg: bytes, width: int, height: int) -> bytes:
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def _claiming(webp: bytes, chunk: bytes, after: int, size: bytes) -> bytes:
    at = webp.index(chunk) + after
    return webp[:at] + size + webp[at + len(size) :]


def _tiff_claiming(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height)]
    tags += [(279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(104)
