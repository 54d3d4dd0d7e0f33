"""How strong factors are meant to be, where that is said beside them and not among them: alpha over rank in the header
of a file that diffusers wrote, or in PEFT's adapter_config.json. kohya's files hold it as tensors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from schemas.errors import SpecError
from stages.models.distilled import FIELD, PEFT_CONFIG, PEFT_FILE

HEADER = "lora_adapter_metadata"
"""Where diffusers keeps PEFT's settings, `unet.` before each."""


class StatedScale:
    """What a file or its folder says of all factors in it. Nothing said: 1, as diffusers has it."""

    def __init__(self, file: Path, name: str) -> None:
        """name: what the spec calls it. Raises SpecError where what is said cannot be read, or is not of plain LoRA."""
        try:
            self._settings = _settings(file)
            if self._settings:
                self._alpha, self._rank = float(self._settings["lora_alpha"]), int(self._settings["r"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SpecError(
                f"{FIELD}: {name} does not say how strong its factors are ({type(error).__name__}: {error}); copy or "
                "download it again, with the adapter_config.json beside it"
            ) from error
        if self._settings.get("use_dora"):
            raise SpecError(f"{FIELD}: {name} is DoRA, which scales layers anew; name a plain LoRA")

    def of(self, layer: str) -> float:
        """alpha / rank of a layer by the name that PEFT has for it, or alpha / sqrt(rank) for rsLoRA."""
        if not self._settings:
            return 1.0
        alpha = _by_pattern(self._settings.get("alpha_pattern"), layer, self._alpha)
        rank = _by_pattern(self._settings.get("rank_pattern"), layer, self._rank)
        return alpha / (math.sqrt(rank) if self._settings.get("use_rslora") else rank)


def _settings(file: Path) -> Mapping[str, Any]:
    with safe_open(file, "pt") as opened:
        said = (opened.metadata() or {}).get(HEADER)
    if said is not None:
        every = json.loads(said)
        return {key.removeprefix("unet."): value for key, value in every.items() if key.startswith("unet.")}
    beside = file.with_name(PEFT_CONFIG)
    if file.name == PEFT_FILE and beside.is_file():
        found: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        return found
    return {}


def _by_pattern(patterns: Mapping[str, float] | None, layer: str, otherwise: float) -> float:
    """PEFT's own rule: a pattern stands for the layers whose name ends in it."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            return float(value)
    return otherwise
