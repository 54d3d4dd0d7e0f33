"""An exported scene as a test reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.handles.exported_scene import ExportedScene, read_exported


def scene_in(folder: Path) -> ExportedScene:
    """What the folder says that it holds, all of which is there."""
    found = read_exported(folder)
    assert found is not None
    return found


def load_embeddings(pipe: Any, folder: Path) -> None:
    """The scene's handles into a pipeline of one text encoder, under their own names."""
    scene = scene_in(folder)
    pipe.load_textual_inversion([str(folder / file) for file in scene.embedding_files], token=scene.tokens)
