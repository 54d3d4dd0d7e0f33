"""Jobs typed as a user types them, and what they left on storage: for tests of whole jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import ROOT

QUICK = {
    "extract.phase1.steps": 5,
    "extract.phase2.steps": 5,
    "extract.prior.images": 2,
    "extract.prior.steps": 2,
    "generate.steps": 4,
    "generate.images_per_prompt": 1,
}
"""The demo's own work in fewer steps."""


def demo_files(scenes: int) -> str:
    """A glob of the first scenes of the demo's bucket, up to ten, and of its four broken files, which come last."""
    return f"demo/bucket/*[0-{scenes - 1}a-z].*"


def unscene(*words: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Types `unscene ...` in a shell of its own, in the checkout."""
    command = [sys.executable, "-m", "pipeline", *map(str, words)]
    for name, value in settings.items():
        command += ["--set", f"{name}={json.dumps(value) if isinstance(value, (list, dict)) else value}"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


@dataclass(frozen=True)
class Finished:
    output: Path
    words: str
    settings: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> list[dict[str, Any]]:
        import pandas

        frames = [pandas.read_parquet(file) for file in sorted((self.output / name).glob("*.parquet"))]
        return list(pandas.concat(frames).to_dict("records"))
