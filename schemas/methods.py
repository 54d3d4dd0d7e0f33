"""The methods that one trainer covers: each is a name for a bundle of plain settings of `extract`.

Baselines as in section 4.1 of the paper (arXiv 2305.16311): textual inversion, DreamBooth and Custom Diffusion,
adapted to masks (`-m`). Their training picture is the step's concepts pasted on a random solid colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.fields import under

_PASTED = {"picture": "pasted", "masked_loss": "none", "attention_loss": "none"}

METHODS: dict[str, dict[str, Any]] = {
    "break_a_scene": {},
    "ti_m": {**_PASTED, "phase2": {"steps": 0}},
    "db_m": {**_PASTED, "phase1": {"steps": 0}},
    "cd_m": {
        **_PASTED,
        "phase1": {"steps": 0},
        "lora": {"targets": "cross_kv", "text_encoder": False},
        "full": {"targets": "cross_kv"},
    },
}
"""Method -> the settings that it stands for; what a spec says itself goes before."""

ABLATIONS: dict[str, dict[str, Any]] = {
    "no_phase1": {"phase1": {"steps": 0}},
    "no_masked_loss": {"masked_loss": "none"},
    "no_attention_loss": {"attention_loss": "none"},
    "no_union_sampling": {"union_sampling": False},
}
"""Ablation -> what it takes from the paper's method (section 4.2 of the paper)."""


def with_method(given: Mapping[str, Any]) -> dict[str, Any]:
    """The `extract` section with its method's settings filled in where it says nothing itself."""
    return under(given, METHODS.get(str(given.get("method", "break_a_scene")), {}))


def as_method(extract: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A whole `extract` section turned into that of a method or an ablation: here the bundle goes before the spec, so
    that one spec gives them all the same steps and rates but for what they leave out."""
    bundle = METHODS[name] if name in METHODS else ABLATIONS[name]
    turned = {**extract, "method": name if name in METHODS else "break_a_scene"}
    for setting, value in bundle.items():
        turned[setting] = {**turned[setting], **value} if isinstance(value, dict) else value
    return turned
