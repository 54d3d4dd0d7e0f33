"""Names and shapes of the weights in a folder, from the headers of its safetensors files: no weights are read.

The driver asks before anything is started, so nothing here imports torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.errors import SpecError
from stages.models.place import ModelField

Shapes = dict[str, tuple[int, ...]]
"""Name of a weight -> its shape."""

LONGEST_HEADER = 100 * 2**20
"""safetensors' own limit. Unit: bytes."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LFS = b"version https://git-lfs"


def weights_in(folder: Path, stem: str, what: str, field: ModelField) -> Shapes:
    """The weights that `from_pretrained` reads in `folder`.

    stem: `diffusion_pytorch_model` or `model`. what: the model, or its part, in words. Raises a SpecError where there
    are none, where it cannot be told which are meant, and where a file is cut short.
    """
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.is_file() and index.is_file():
        raise SpecError(
            f"{field}: {what} has its weights twice, as {single.name} and as the shards of {index.name}; delete those "
            f"that are out of date, with their index"
        )
    if single.is_file():
        return read_header(single, what, field)
    if index.is_file():
        return _sharded(index, what, field)
    raise SpecError(f"{field}: {what} {_other_files(folder, stem)}")


def read_header(file: Path, what: str, field: ModelField) -> Shapes:
    """The weights of one safetensors file. Raises a SpecError where it is none, or is not whole."""
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if (start + stream.read(len(LFS) - 8)).startswith(LFS):
                raise SpecError(
                    f"{field}: {what}: {file.name} is a pointer of Git LFS and not the weights; fetch them with "
                    f"`git lfs pull`"
                )
            if len(start) < 8 or not 0 < length <= min(LONGEST_HEADER, file.stat().st_size - 8):
                raise ValueError("no header")
            stream.seek(8)
            header: dict[str, Any] = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(
            f"{field}: {what}: {file.name} is no safetensors file, or is cut short ({type(error).__name__}: {error}); "
            f"copy or download it again"
        ) from error
    if 8 + length + end != file.stat().st_size:
        raise SpecError(
            f"{field}: {what}: {file.name} is cut short, or not of one piece ({file.stat().st_size} bytes of "
            f"{8 + length + end}); copy or download it again"
        )
    return shapes


def _sharded(index: Path, what: str, field: ModelField) -> Shapes:
    try:
        places: dict[str, str] = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SpecError(
            f"{field}: {what}: cannot read {index.name} ({type(error).__name__}: {error}); download it again"
        ) from error
    found: Shapes = {}
    for shard in sorted(set(places.values())):
        if not (index.parent / shard).is_file():
            raise SpecError(
                f"{field}: {what}: {shard} is not there, and {index.name} names it; copy or download all shards"
            )
        here = read_header(index.parent / shard, what, field)
        lost = sorted(name for name, place in places.items() if place == shard and name not in here)
        if lost:
            raise SpecError(
                f"{field}: {what}: {shard} has no {lost[0]}, and {index.name} says so; take shards and index of one "
                f"and the same save"
            )
        found |= here
    return found


def _other_files(folder: Path, stem: str) -> str:
    """What is there in place of weights that load, and what to do."""
    names = sorted(file.name for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
    variants = [name for name in names if name.startswith(f"{stem}.") and ".safetensors" in name]
    if variants:
        # `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`, `model.safetensors.index.fp16.json`
        variant = variants[0].removeprefix(f"{stem}.").split(".")[0].split("-")[0]
        variant = variants[0].split(".")[-2] if variant == "safetensors" else variant
        return (
            f"has its weights as the variant {variant} alone ({variants[0]}); load the model once with "
            f"variant={variant!r} and save it with save_pretrained"
        )
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        return (
            f"has its weights as a pickle ({pickles[0]}), which could run code, and not as safetensors; load the model "
            f"once where you trust it and save it with save_pretrained(..., safe_serialization=True)"
        )
    return f"has no weights ({stem}.safetensors is not there); copy or download the whole folder"
