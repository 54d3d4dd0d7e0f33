"""The lines of Python in a README, as a person copies them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def code_of(folder: Path, block: int = 0) -> str:
    """The block of that number in the folder's README.md."""
    return _BLOCK.findall((folder / "README.md").read_text(encoding="utf-8"))[block]


def run_lines(code: str, folder: Path, names: dict[str, Any], drawing: bool = True) -> None:
    """Runs the very lines where they say to, in `folder`. names: what the lines before left, and then also these.

    drawing: False leaves out those that draw a picture, each of which is one line.
    """
    here = Path.cwd()
    os.chdir(folder)
    try:
        exec("\n".join(line for line in code.splitlines() if drawing or not line.startswith("pipe(")), names)
    finally:
        os.chdir(here)
