"""What a name means that is no model: the seedling misspelt, a path beside the one that is there, a kind of SAM."""

from __future__ import annotations

import difflib
import re

from schemas.near_path import near_path

_SEEDLING = "seedling"
OFFICIAL = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
"""Kinds of Segment Anything -> Meta's checkpoints."""
_ADDRESS = "https://dl.fbaipublicfiles.com/segment_anything/"
_KINDS = (("vit_b", r"vit[_-]?b|base"), ("vit_l", r"vit[_-]?l|large"), ("vit_h", r"vit[_-]?h|huge"))


def meant(name: str) -> str | None:
    """The model or path that a name may be a misspelling of, if there is one."""
    if "/" not in name and difflib.get_close_matches(name.strip().lower(), [_SEEDLING], n=1, cutoff=0.7):
        return _SEEDLING
    return near_path(name)


def official(name: str) -> str | None:
    """The address of Meta's checkpoint of the kind of Segment Anything that a name speaks of, if it speaks of one."""
    word = name.lower().rsplit("/", 1)[-1]
    if "sam" not in name.lower() and not word.startswith("vit"):
        return None
    kind = next((kind for kind, pattern in _KINDS if re.search(pattern, word)), None)
    return _ADDRESS + OFFICIAL[kind] if kind else None
