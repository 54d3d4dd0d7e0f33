"""What a folder of an exported scene holds, as its `scene.json` says: who reads it needs neither torch nor the weights.

The file is written last and taken away first, so a folder with one is whole.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from schemas.errors import SceneError
from stages.handles.file_names import stem_of, trigger_names

NAME = "scene.json"
CROSS_KV_FILE = "cross_kv.safetensors"
README = "README.md"
README_MARK = "<!-- Written by unscene export. A README.md without this line is left as it is. -->"
LAYOUT = 3
"""Which files an export writes, and how; 1 had PEFT's names, 2 no mark in its README and no sizes.
A folder of another layout counts as one to write anew."""


@dataclass(frozen=True)
class ExportedScene:
    """base: as the spec names it; place: what diffusers loads it from, a folder or a Hugging Face id; tokens, words:
    one a handle; encoders: text encoders of the base; lora: whether the scene has factors; parts: folders of the base's
    parts with weights of the scene's own; cross_kv: whether only keys and values of the cross-attention are its own;
    without: parts that the base's model_index.json names and its folder lacks; files: what was written, relative to the
    folder; sizes: bytes of each; made_of: what tells these handles from others of the same scene, by the caller;
    layout: see `LAYOUT`.
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
    sizes: list[int] = field(default_factory=list)
    made_of: str = ""
    layout: int = LAYOUT

    @property
    def shares(self) -> bool:
        """Whether other scenes can be in the same pipeline: not where the base's own weights are replaced."""
        return not self.parts and not self.cross_kv

    @property
    def shared_tokens(self) -> list[str]:
        """The handles' names where other scenes are: `<asset0>` -> `<asset0-f6350132eff30544>`. In brackets whatever
        the placeholder is, and not ending in `_1`, which diffusers takes for a second vector of the same handle."""
        return [f"<{token.strip('<>')}-{self.scene_id}>" for token in self.tokens]

    @property
    def triggers(self) -> list[str]:
        """The handles' names in tools that know them by their files."""
        return trigger_names(self.scene_id, self.words)

    @property
    def embedding_files(self) -> list[str]:
        """The file of each handle."""
        return [f"{name}.safetensors" for name in self.triggers]

    @property
    def lora_name(self) -> str:
        """Of the file of the factors, without its ending."""
        return f"{stem_of(self.scene_id)}-lora"

    @property
    def lora_file(self) -> str:
        return f"{self.lora_name}.safetensors"

    def write(self, folder: Path) -> Path:
        """Writes scene.json, whole or not at all."""
        path, unfinished = folder / NAME, folder / f".{NAME}.new"
        unfinished.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(unfinished, path)
        return path


def read_exported(folder: Path) -> ExportedScene | None:
    """What the folder holds; None where nothing whole of this layout is there: a file cut short is none, and one of
    another size is not what was written."""
    found = _read(folder)
    if found is None or found.layout != LAYOUT:
        return None
    paths = [folder / name for name in found.files]
    if not all(path.is_file() for path in [*paths, folder / README]):
        return None
    return found if [path.stat().st_size for path in paths] == found.sizes else None


def foreign_readme(folder: Path) -> bool:
    """Whether the folder has a README.md that no export wrote."""
    try:
        return README_MARK.encode() not in (folder / README).read_bytes()
    except FileNotFoundError:
        return False
    except OSError:  # a folder of that name, or one that only another user may read
        return True


def clear_exported(folder: Path, scene_id: str) -> None:
    """Takes away what an export of this scene left in the folder, whole or in part, and nothing else.

    Raises SceneError where the folder's scene.json tells of another scene, or of none: scene.json and README.md tell
    of one scene, and the other's files would be lost.
    """
    path = folder / NAME
    found = _read(folder)
    if found is None and os.path.lexists(path):
        raise SceneError(f"{path} is no scene.json of an export, so it stays; name another folder, or move it away")
    if found is None:
        return
    if found.scene_id != scene_id:
        raise SceneError(f"{folder} holds the export of scene {found.scene_id}, which stays; name another folder")
    for name in found.files:
        file = folder / name
        if name == README and found.layout == LAYOUT and foreign_readme(folder):
            continue  # somebody has put another in its place since
        if file.resolve().is_relative_to(folder.resolve()):  # anybody may have written scene.json
            file.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _read(folder: Path) -> ExportedScene | None:
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return ExportedScene(**{"layout": 1} | told)
    except (OSError, ValueError, TypeError):
        return None
