"""Where the models that judge pictures come from, without loading them: `seedling`, a directory or a Hugging Face id.

`field` is the spec's name of the model, `models.clip` or `models.identity`, for the errors. Nothing here imports torch,
because the driver asks too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from schemas.errors import SpecError
from stages.models.place import BUNDLED, model_revision

SEEDLING = BUNDLED / "seedling" / "clip"
REMEDY = {
    "models.clip": "give a folder that CLIPModel.save_pretrained wrote with its processor, a Hugging Face id such as "
    "openai/clip-vit-large-patch14, or `seedling`",
    "models.identity": "give a folder of a DINO (ViTModel), DINOv2 (Dinov2Model) or CLIP model with its image "
    "processor, a Hugging Face id such as facebook/dino-vitb16, or `seedling`",
}
"""What to do, by field."""


def locate(name: str, field: str) -> str:
    """The directory or Hugging Face id that transformers loads from.

    Raises SpecError where it can be neither, or where the seedling is not installed.
    """
    if name == "seedling":
        if not SEEDLING.is_dir():
            raise SpecError(
                f"{field}: the seedling is not there ({SEEDLING} is missing); reinstall Unscene with its "
                f"models folder, or name another model"
            )
        return str(SEEDLING)
    if Path(name).is_dir() or re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        return name
    raise SpecError(f"{field}: there is no directory {name}; {REMEDY[field]}")


def read_judge_config(name: str, field: str) -> dict[str, Any]:
    """config.json of the model, from its directory or from the Hub (downloaded alone, then cached).

    Raises SpecError where there is none.
    """
    try:
        return dict(json.loads(Path(_config_file(locate(name, field), field)).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SpecError(
            f"{field}: cannot read config.json of {name} ({type(error).__name__}: {error}); {REMEDY[field]}"
        ) from error


def judge_revision(name: str, field: str) -> str:
    """What identifies the weights in the fingerprint: a directory's hash, or a Hugging Face id with its commit."""
    place = locate(name, field)
    if Path(place).is_dir():
        return model_revision(place)
    parts = Path(_config_file(place, field)).parts
    return f"{place}@{parts[parts.index('snapshots') + 1] if 'snapshots' in parts else 'main'}"


def unusable(name: str, field: str, error: Exception) -> SpecError:
    """The one sentence for a model that does not load."""
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return SpecError(f"{field}: {name} could not be loaded ({type(error).__name__}: {reason}); {REMEDY[field]}")


def _config_file(place: str, field: str) -> str:
    """The path of config.json; the Hub's cache keeps it under snapshots/<commit>/."""
    if Path(place).is_dir():
        return str(Path(place) / "config.json")
    try:
        from huggingface_hub import hf_hub_download

        return str(hf_hub_download(place, "config.json"))
    except Exception as error:  # The Hub's errors share no base class with the network's.
        reason = (str(error).strip().splitlines() or [""])[0]
        raise SpecError(
            f"{field}: {place} is no directory here, and config.json did not come from the Hugging Face "
            f"Hub ({type(error).__name__}: {reason}); check the name, or {REMEDY[field]}"
        ) from error
