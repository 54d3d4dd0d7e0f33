"""Prompts with a place for handles."""

from __future__ import annotations

from collections.abc import Sequence


def fill_template(template: str, names: Sequence[str]) -> str:
    """`a photo of {handles}` with ["<asset1>", "<asset0>"] -> `a photo of <asset1> and <asset0>`."""
    return template.replace("{handles}", " and ".join(names))
