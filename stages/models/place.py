"""Where a pretrained model is, and which one it is, without loading it: a bundled one, a path, the Hub or a URL.

`field` is the spec's name of the model, as `models.base`: it says which kinds of place there are, and every error
begins with it. The driver asks here too, so nothing in this file imports torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from schemas.errors import SpecError
from schemas.near_path import near_path
from schemas.shipped import SHIPPED
from stages.models.content import content_hash
from stages.models.hub import NotFromHub, hub_file
from stages.models.misnamed import meant, official

ModelField = Literal[
    "models.base", "models.sam", "models.clip", "models.identity", "evaluate.sam", "generate.accelerate"
]

BUNDLED = SHIPPED / "models"
FOLDER: dict[ModelField, str] = {
    "models.base": "base",
    "models.sam": "sam",
    "models.clip": "clip",
    "models.identity": "clip",
    "evaluate.sam": "sam",
}
"""Where a bundled model keeps what the field asks for. Its CLIP tells identities too."""
INDEX: dict[ModelField, str] = {
    "models.base": "model_index.json",
    "models.clip": "config.json",
    "models.identity": "config.json",
}
"""The small file that every such model on the Hub has: its path in the cache tells the commit."""
REMEDY: dict[ModelField, str] = {
    "models.base": "give a directory in StableDiffusionPipeline or StableDiffusionXLPipeline layout, a Hugging Face "
    "id, or `seedling`",
    "models.sam": "check the path or give a URL",
    "evaluate.sam": "check the path or give a URL",
    "models.clip": "give a folder that CLIPModel.save_pretrained wrote with its processor, a Hugging Face id such as "
    "openai/clip-vit-large-patch14, or `seedling`",
    "models.identity": "give a folder of a DINO (ViTModel), DINOv2 (Dinov2Model) or CLIP model with its image "
    "processor, a Hugging Face id such as facebook/dino-vitb16, or `seedling`",
}
"""What to do, by field."""
SINGLE_FILE: dict[ModelField, str] = {
    "models.base": "make one of it once, with diffusers' StableDiffusionPipeline.from_single_file(FILE)"
    ".save_pretrained(FOLDER), for SDXL StableDiffusionXLPipeline, and name the folder",
    "models.clip": REMEDY["models.clip"],
    "models.identity": REMEDY["models.identity"],
}
"""What to do with a file in place of a folder."""

HUB_ID = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+")
"""OWNER/NAME. A name alone is none: every text-to-image base and every judge on the Hub has an owner."""


def bundled(name: str, field: ModelField) -> str:
    """`seedling` -> its directory under models/seedling; any other name is returned unchanged.

    Raises SpecError where the seedling is not installed.
    """
    if name != "seedling":
        return name
    directory = BUNDLED / "seedling" / FOLDER[field]
    if not directory.is_dir():
        raise SpecError(
            f"{field}: the seedling is not there ({directory} is missing); reinstall Unscene with its models folder, "
            f"or name another model"
        )
    return str(directory)


def locate(name: str, field: ModelField) -> str:
    """What the model is loaded from: a directory or a Hugging Face id; of a SAM a directory, a file or a URL.

    Nothing is downloaded. Raises SpecError where it can be none of these.
    """
    place = bundled(name, field)
    if field in ("models.sam", "evaluate.sam"):
        path = Path(_path_of(place)).expanduser()
        if path.exists() or ("://" in place and not place.startswith("file://")):
            return str(path) if path.exists() else place
        if near := meant(name):
            raise SpecError(f"{field}: {name}: no such file or folder; did you mean `{near}`?")
        such = f", such as {url}" if (url := official(name)) else ""
        raise SpecError(f"{field}: {name}: no such file or folder; {REMEDY[field]}{such}")
    if Path(place).is_file():
        raise SpecError(f"{field}: {name} is a single file, and a folder is needed; {SINGLE_FILE[field]}")
    if Path(place).is_dir() or HUB_ID.fullmatch(place):
        return place
    if near := meant(name):
        raise SpecError(f"{field}: there is no model {name}; did you mean `{near}`?")
    raise SpecError(f"{field}: there is no directory {name}; {REMEDY[field]}")


def _path_of(place: str) -> str:
    """What a file:// URL names: it may change as any file does, and a copy kept under its URL would not."""
    return unquote(urlsplit(place).path) if place.startswith("file://") else place


def model_file(name: str, file: str, field: ModelField, revision: str | None = None) -> Path:
    """One file of the model: in its directory, or from the Hub, downloaded alone and then cached.

    Raises SpecError where the model is in neither; a directory may lack the file.
    """
    place = locate(name, field)
    if Path(place).is_dir():
        return Path(place) / file
    try:
        return hub_file(place, file, revision)
    except NotFromHub as error:
        wrong = "the name and models.revision" if field == "models.base" else "the name"
        near = f", where `{found}` was meant name that" if (found := near_path(place)) else ""
        fetch = (
            f", fetch it where there is a network (`hf download {place}`) and name its folder" if error.offline else ""
        )
        raise SpecError(
            f"{field}: {place} is no directory here, and {file} did not come from the Hugging Face Hub ({error}); "
            f"check {wrong}{near}{fetch}, or {REMEDY[field]}"
        ) from error


def read_json(name: str, file: str, field: ModelField, revision: str | None = None) -> dict[str, Any]:
    """A JSON file of the model. Raises SpecError where it is missing or is no JSON."""
    path = model_file(name, file, field, revision)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SpecError(
            f"{field}: cannot read {file} of {name} ({type(error).__name__}: {error}); {REMEDY[field]}"
        ) from error


def model_revision(name: str, field: ModelField, revision: str | None = None) -> str:
    """What identifies the weights in the fingerprint.

    A directory or file: a hash over the names and every byte of its files. A Hub id: the id with the commit that
    `revision` stands for. A URL: the URL itself. Raises SpecError where there is no such model, or none to read.
    """
    place = locate(name, field)
    if Path(place).exists():
        try:
            return content_hash(Path(place))
        except OSError as error:
            raise SpecError(
                f"{field}: cannot read {error.filename or place} ({type(error).__name__}: {error.strerror}); make all "
                f"files of the model readable, or {REMEDY[field]}"
            ) from error
    if "://" in place:
        return place
    # The Hub's cache keeps a file under snapshots/<commit>/, so one small file tells the commit, online or not.
    parts = model_file(place, INDEX[field], field, revision).parts
    commit = parts[parts.index("snapshots") + 1] if "snapshots" in parts else revision or "main"
    return f"{place}@{commit}"
