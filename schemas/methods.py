"""The methods that one trainer covers: each is a name for a bundle of plain settings of `extract`.

Baselines as in section 4.1 of the paper (arXiv 2305.16311): textual inversion, DreamBooth and Custom Diffusion,
adapted to masks (`-m`). Their training picture is the step's concepts pasted on a random solid colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def with_method(given: Mapping[str, Any]) -> dict[str, Any]:
    """The `extract` section with its method's settings filled in where it says nothing itself."""
    bundle = METHODS.get(str(given.get("method", "break_a_scene")), {})
    filled: dict[str, Any] = dict(given)
    for name, value in bundle.items():
        if isinstance(value, dict) and isinstance(filled.get(name), Mapping):
            filled[name] = {**value, **filled[name]}
        else:
            filled.setdefault(name, value)
    return filled
