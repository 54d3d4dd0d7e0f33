"""Configurations as they are committed: without the folders of the machine that trained."""

from __future__ import annotations

import json
from pathlib import Path


def forget_paths(folder: Path) -> None:
    """Take `_name_or_path` out of every JSON file under `folder`.

    diffusers and transformers write there what a model was loaded from, and nothing reads it back: of no use to others,
    and part of the hash that the weights are known by.
    """
    for file in sorted(folder.rglob("*.json")):
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
