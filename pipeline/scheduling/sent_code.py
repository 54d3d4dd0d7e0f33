"""What a cluster is sent: this code, with what ships beside it, so that workers run what the driver runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.shipped import BESIDE, CODE, INSTALLED

EXCLUDES = [".venv", ".git", "out", "docs", "tests", "benchmarks", "build", "*.parquet"]
"""What a cluster does not need of a checkout."""


@contextmanager
def sent_code() -> Iterator[Path]:
    """The folder to send: the checkout, or for as long as this is open one that holds links to the installed packages,
    since all else that lies beside those is the environment."""
    if not INSTALLED:
        yield BESIDE
        return
    with tempfile.TemporaryDirectory(prefix="unscene-code-") as folder:
        link_code(Path(folder))
        yield Path(folder)


def link_code(folder: Path) -> None:
    """Fills `folder` with links to what a cluster needs: the installed packages, or the checkout without `EXCLUDES`."""
    for entry in BESIDE.iterdir():
        if entry.name in CODE if INSTALLED else entry.name not in EXCLUDES:
            (folder / entry.name).symlink_to(entry)
