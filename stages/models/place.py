"""Where a pretrained model is, and which one it is, without loading it: a bundled one, a path, the Hub or a URL.

The driver calls this, so nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from schemas.errors import SpecError

BUNDLED = Path(__file__).resolve().parents[2] / "models"


EDGE_BYTES = 1 << 20


def bundled(name: str, kind: str) -> str:
    """`seedling` -> the directory models/seedling/<kind> (`base` or `sam`); any other name is returned
    unchanged.
    """
    if name != "seedling":
        return name
    directory = BUNDLED / "seedling" / kind
    if not directory.is_dir():
        raise SpecError(
            f"models.{kind}: the seedling is not there ({directory} is missing); reinstall "
            f"Unscene with its models folder, or name another model"
        )
    return str(directory)


def model_revision(path: str, revision: str | None = None) -> str:
    """What identifies the weights in the fingerprint.

    A directory or file: a hash over relative names, sizes and the first and last MiB of every file. A Hub id:
    the commit that `revision` stands for. A URL: the URL itself, with `revision` if given.
    """
    path = bundled(path, "base") if path == "seedling" else path
    place = Path(path)
    if place.exists():
        return _hash_of(place)
    if "://" in path:
        return f"{path}@{revision}" if revision else path
    return f"{path}@{_commit_of(path, revision)}"


def _hub_file(base: str, name: str, revision: str | None) -> str:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base):
        raise SpecError(
            f"models.base: there is no directory {base}; give a directory in "
            f"StableDiffusionPipeline or StableDiffusionXLPipeline layout, a Hugging Face id, or "
            f"`seedling`"
        )
    try:
        from huggingface_hub import hf_hub_download

        return str(hf_hub_download(base, name, revision=revision))
    except Exception as error:  # The Hub's errors share no base class with the network's.
        raise SpecError(
            f"models.base: {base} is no directory here, and {name} did not come from the Hugging "
            f"Face Hub ({type(error).__name__}: {str(error).splitlines()[0]}); check the name "
            f"and models.revision, or give a directory"
        ) from error


def _commit_of(base: str, revision: str | None) -> str:
    """The Hub's cache keeps a file under snapshots/<commit>/, so one small file tells the commit, online or
    not.
    """
    parts = Path(_hub_file(base, "model_index.json", revision)).parts
    if "snapshots" in parts:
        return parts[parts.index("snapshots") + 1]
    return revision or "main"


def _hash_of(place: Path) -> str:
    files = (
        [place]
        if place.is_file()
        else sorted(
            file
            for file in place.rglob("*")
            if file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(place).parts)
            and file.suffix != ".md"
        )
    )
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        name = file.name if place.is_file() else file.relative_to(place).as_posix()
        digest.update(f"{name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(EDGE_BYTES))
            stream.seek(max(size - EDGE_BYTES, 0))
            digest.update(stream.read(EDGE_BYTES))
    return f"sha256:{digest.hexdigest()[:32]}"
