"""What the files of an exported scene are called. Nearly every tool takes a handle's trigger from its file's name, and
a folder there holds the files of many scenes; so a name tells scene, word and number: `f6350132-cat0.safetensors`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

ID_DIGITS = 8
"""Of a scene's id, in names that people type."""
_LONGEST = 24
_NO_WORD = "object"


def stem_of(scene_id: str) -> str:
    """What all files of a scene begin with."""
    return scene_id[:ID_DIGITS]


def trigger_names(scene_id: str, words: Sequence[str]) -> list[str]:
    """Name of each handle in tools that know it by its file, in order. words: one a handle, which may be a stranger's.

    Small letters and digits of ASCII with `_` and one `-`: no tool's syntax for prompts has a meaning for these. The
    number is all digits that a name ends in, so no two of a scene are alike: `cat10`, and `cat1_0` of the word `cat1`.
    """
    return [f"{stem_of(scene_id)}-{_numbered(_plain(word), index)}" for index, word in enumerate(words)]


def _numbered(word: str, index: int) -> str:
    return f"{word}_{index}" if word[-1].isdigit() else f"{word}{index}"


def _plain(word: str) -> str:
    letters = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", letters).strip("_")[:_LONGEST].strip("_") or _NO_WORD
