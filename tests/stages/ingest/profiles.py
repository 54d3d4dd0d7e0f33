"""ICC profiles made by hand, for the tests of colours."""

from __future__ import annotations

import struct

import numpy as np

WIDE = np.array([[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0, 0.0, 0.8249]])
"""Linear ProPhoto RGB -> XYZ of D50."""

SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
"""Linear sRGB -> XYZ of D50."""


def wide_rgb(gamma: float = 1.8) -> bytes:
    """A wide-gamut display: ProPhoto's primaries."""
    return _matrix(WIDE, gamma)


def in_wide(srgb: tuple[int, int, int], gamma: float = 1.8, white: int = 255) -> tuple[int, ...]:
    """The same colour as `wide_rgb` numbers it, up to `white`."""
    encoded = np.array(srgb) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    wide = np.linalg.solve(WIDE, SRGB @ linear).clip(0, 1) ** (1 / gamma)
    return tuple(int(v) for v in np.rint(wide * white))


def grey(gamma: float) -> bytes:
    """A grey scanner."""
    return _profile(b"scnr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(0.9642, 1, 0.8249), b"kTRC": _curve(gamma)})


def print_of(lab_of_cyan: tuple[int, int, int]) -> bytes:
    """A CMYK press on which cyan is that Lab (each 0 to 255), no ink is white, and all else is in between."""
    corners = []
    for corner in range(16):  # cyan varies slowest
        cyan, black = corner & 8, corner & 1
        corners.append((0, 128, 128) if black else lab_of_cyan if cyan else (255, 128, 128))
    identity = struct.pack(">9i", *(65536 if k % 4 == 0 else 0 for k in range(9)))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4
    table += b"".join(bytes(corner) for corner in corners) + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(0.9642, 1, 0.8249), b"A2B0": table, b"A2B1": table})


def _matrix(primaries: np.ndarray, gamma: float) -> bytes:
    tags = {b"wtpt": _xyz(0.9642, 1, 0.8249)}
    for channel, name in enumerate(b"rgb"):
        tags[bytes([name]) + b"XYZ"] = _xyz(*primaries[:, channel])
        tags[bytes([name]) + b"TRC"] = _curve(gamma)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made by hand"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(79),
        b"cprt": b"text" + bytes(4) + b"none\0",
        **tags,
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    total = start + len(body)
    header = struct.pack(">I", total) + bytes(4) + bytes.fromhex("02400000") + kind + space + pcs + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
