"""What a folder of an exported scene holds, as its `scene.json` says: who reads it needs neither torch nor the weights.

The file is written last and taken away first, so a folder with one is whole.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

NAME = "scene.json"
LORA_FILE = "pytorch_lora_weights.safetensors"
CROSS_KV_FILE = "cross_kv.safetensors"


def embedding_file(index: int | str) -> str:
    """Name of the file with the embedding of one handle."""
    return f"learned_embeds-{index}.safetensors"


@dataclass(frozen=True)
class ExportedScene:
    """base: as the spec names it; place: what diffusers loads it from, a folder or a Hugging Face id; tokens, words:
    one a handle; encoders: text encoders of the base; lora: whether the scene has factors; parts: folders of the base's
    parts with weights of the scene's own; cross_kv: whether only keys and values of the cross-attention are its own;
    without: parts that the base's model_index.json names and its folder lacks; files: what was written, relative to the
    folder; made_of: what tells these handles from others of the same scene, by the caller.
    """

    scene_id: str
    base: str
    place: str
    revision: str | None
    tokens: list[str]
    words: list[str]
    encoders: int = 1
    lora: bool = True
    parts: list[str] = field(default_factory=list)
    cross_kv: bool = False
    without: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    made_of: str = ""

    @property
    def shares(self) -> bool:
        """Whether other scenes can be in the same pipeline: not where the base's own weights are replaced."""
        return not self.parts and not self.cross_kv

    @property
    def shared_tokens(self) -> list[str]:
        """The handles' names where other scenes are: `<asset0>` -> `<asset0-f6350132eff30544>`. In brackets whatever
        the placeholder is, and not ending in `_1`, which diffusers takes for a second vector of the same handle."""
        return [f"<{token.strip('<>')}-{self.scene_id}>" for token in self.tokens]

    def write(self, folder: Path) -> Path:
        """Writes scene.json, whole or not at all."""
        path, unfinished = folder / NAME, folder / f".{NAME}.new"
        unfinished.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(unfinished, path)
        return path


def read_exported(folder: Path) -> ExportedScene | None:
    """What the folder holds; None where nothing whole is there."""
    found = _read(folder)
    return found if found is not None and all((folder / name).is_file() for name in found.files) else None


def clear_exported(folder: Path) -> None:
    """Takes away what an export left in the folder, whole or in part, and nothing else."""
    found = _read(folder)
    for name in found.files if found is not None else []:
        path = folder / name
        if path.resolve().is_relative_to(folder.resolve()):  # anybody may have written scene.json
            path.unlink(missing_ok=True)
    (folder / NAME).unlink(missing_ok=True)


def _read(folder: Path) -> ExportedScene | None:
    try:
        return ExportedScene(**json.loads((folder / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
