"""What a cluster is sent: this code, with what ships beside it, so that workers run what the driver runs.

A checkout is a folder in which people work: keys, tokens, `.env` files and results lie in it too. So what is sent is an
allow-list, by place and by kind of file, and never the folder less what somebody thought of.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.shipped import BESIDE, CODE, INSTALLED

_CODE_SUFFIXES = (".py", ".j2", ".js", ".typed")
_SHIPPED = {
    "models/NOTICE": ("NOTICE",),
    "models/seedling": (".json", ".txt", ".safetensors", ".model"),
    "demo/NOTICE": ("NOTICE",),
    "demo/bucket": (".jpg", ".jpeg", ".png", ".webp"),
    "demo/parts": (".jpg", ".png"),
    "demo/protocol": (".json", ".png", ".jpg"),
}
"""Where the small models and the demo's pictures lie in a checkout, and the files of theirs that are sent. Jobs are
not: the one to run goes along by itself, and people keep their own beside those that ship."""


@contextmanager
def sent_code() -> Iterator[Path]:
    """The folder to send, for as long as this is open: links to the files of the packages and of what ships."""
    with tempfile.TemporaryDirectory(prefix="unscene-code-") as folder:
        link_code(Path(folder))
        yield Path(folder)


def link_code(folder: Path) -> None:
    """Fills `folder` with links to what a cluster needs, file by file; of installed packages all that ships is inside.

    Hidden names, and whatever else lies there, stay here.
    """
    bundled = BESIDE / "unscene" / "bundled"
    for package in CODE:
        _link(BESIDE / package, folder / package, _CODE_SUFFIXES, apart=bundled)
    shipped = bundled if INSTALLED else BESIDE
    for place, kinds in _SHIPPED.items():
        into = folder / shipped.relative_to(BESIDE) / place
        _link(shipped / place, into, kinds)


def _link(source: Path, target: Path, kinds: tuple[str, ...], apart: Path | None = None) -> None:
    """Links of the files of these kinds below `source`; a link in it is followed nowhere."""
    if source.is_symlink() or source.name.startswith(".") or source.name == "__pycache__" or source == apart:
        return
    if source.is_dir():
        for entry in sorted(source.iterdir()):
            _link(entry, target / entry.name, kinds, apart)
    elif source.is_file() and source.name.endswith(kinds):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
