"""The settings that suit the models that ship with Unscene: small ones want fewer steps at higher rates, and their
pictures fewer point prompts, than the field defaults, which are for models of photographs.

Like the methods of `extract`, they go under what a spec says itself. So a spec names a model and gets what suits it,
and one that names another model gets the defaults, with nothing to take back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.fields import under
from schemas.methods import with_method
from schemas.models import Models

SETTINGS: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    "base": {
        "seedling": {
            "extract": {
                "flip": False,  # its toys are never mirrored; learned both ways, they are drawn twice, left and right
                "attention_weight": 0.1,  # of 64 pixels an object has few cells; 0.01 lets more toys be drawn twice
                "attention_maps": 8,  # 1/32 of its pictures' side is 4: of so few cells an object covers one or two
                "lora": {"rank": 16, "targets": "attention_ff_conv"},  # few channels: a new shape asks for all layers
                "phase1": {"steps": 100, "lr": 5e-3},
                "phase2": {"steps": 240, "lr": 2e-3},
                "prior": {"images": 16, "steps": 10},
            },
            "generate": {"steps": 10, "guidance": 3.0},
        }
    },
    "sam": {
        "seedling": {  # surer of its masks than SAM is of photographs; toys are large, and 64 prompts find them
            "segment": {"points_per_side": 8, "pred_iou_thresh": 0.8, "stability_score_thresh": 0.8}
        }
    },
}
"""Field of `models` -> its value -> section of the spec -> settings. No two fields set the same one."""


def with_bundled(given: Mapping[str, Any]) -> dict[str, Any]:
    """A whole spec with its bundled models' settings filled in where neither it nor its method says anything.

    A section that is an object already (`Extract(...)`) is whole and stays as it is; what is no section stays for
    validation to refuse.
    """
    filled = dict(given)
    for role, bundles in SETTINGS.items():
        for section, settings in bundles.get(_named(given.get("models", {}), role), {}).items():
            words = filled.get(section, {})
            if isinstance(words, Mapping) and words.get("accelerate"):
                continue  # which brings its own steps and guidance
            if isinstance(words, Mapping):
                filled[section] = under(with_method(words) if section == "extract" else words, settings)
    return filled


def _named(models: object, role: str) -> str:
    """The model that a `models` section, a mapping or an object, names for `role`."""
    default = Models.model_fields[role].default
    return str(models.get(role, default) if isinstance(models, Mapping) else getattr(models, role, None))
