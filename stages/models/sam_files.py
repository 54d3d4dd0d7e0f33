"""Which Segment Anything a checkpoint is, by the names of its weights.

Meta's first one is ours. Its relatives keep some of its names, so they are told by those that it does not have. The
driver reads the names without loading anything: of a pickle its words alone, and nothing in it is executed.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import SpecError
from stages.models.headers import read_header
from stages.models.place import ModelField, locate, read_json
from stages.models.whole import check_adapters

FIELD: ModelField = "models.sam"
TAKE = (
    "name an official checkpoint of Segment Anything (sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth, "
    "sam_vit_h_4b8939.pth), or a folder with config.json and model.safetensors"
)
RELATIVES = (
    (r"mask_decoder\.(hf_token|hf_mlp|embedding_encoder)", "SAM-HQ"),
    (r"(^|\.)(detector|vision_backbone|geometry_encoder)\.", "SAM 3"),
    (r"(^|\.)(image_encoder\.trunk|sam_mask_decoder|memory_attention|memory_encoder)\b", "SAM 2"),
    (r"(^|\.)vision_encoder\.backbone\.", "SAM 2 in transformers' layout"),
    (r"image_encoder\.(patch_embed\.seq|layers\.\d)", "MobileSAM"),
    (r"image_encoder\.(stages|backbone|image_encoder)\b", "a SAM with another image encoder"),
    (r"(^|\.)vision_encoder\.", "a SAM in transformers' layout"),
)
"""A name that only a relative has -> what it is."""
FIRST = "image_encoder.patch_embed.proj.weight"
"""A weight of every Segment Anything of the first kind."""
WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "params", "sam", "net")
"""Under which key training scripts save the weights, beside the optimizer's."""
_WEIGHT = re.compile(r"^[A-Za-z_][\w]*(\.\w+)+$")


def check_kind(name: str, names: Collection[str], field: ModelField = FIELD) -> None:
    """Raises a SpecError where the weights' names are those of a relative of Segment Anything."""
    check_adapters(names, name, field)
    for pattern, relative in RELATIVES:
        found = next((key for key in sorted(names) if re.search(pattern, key)), None)
        if found:
            raise SpecError(f"{field}: {name} is {relative} ({found}), which is not read here; {TAKE}")


def unwrapped(name: str, state: Mapping[str, Any], field: ModelField = FIELD) -> dict[str, Any]:
    """The weights of a checkpoint, out of what training scripts put around them: a key, and a prefix of all names.

    Raises a SpecError where two keys could be meant.
    """
    inner = [key for key in state if isinstance(state[key], Mapping) and any("image_encoder." in k for k in state[key])]
    if len(inner) > 1:
        raise SpecError(
            f"{field}: {name} holds several sets of weights ({', '.join(map(str, inner))}); save the one that is meant "
            f"as a file of its own"
        )
    weights = dict(state[inner[0]]) if inner else dict(state)
    anchor = next((key for key in weights if key.endswith(f".{FIRST}")), None)
    prefix = anchor.removesuffix(FIRST) if anchor else ""
    return {key.removeprefix(prefix): value for key, value in weights.items()}


def check_sam(name: str, field: ModelField = FIELD) -> None:
    """What can be told of a model before anything is started. Raises SpecError; a URL is told when it is there."""
    place = locate(name, field)
    if "://" in place:
        return
    path = Path(place)
    if path.is_dir():
        check_folder(path, name, field)
        names: Collection[str] = read_header(path / "model.safetensors", name, field)
    elif path.suffix == ".safetensors":
        names = read_header(path, name, field)
    else:
        if not _is_checkpoint(path):
            raise SpecError(f"{field}: {name}: not a Segment Anything model (nor another checkpoint of torch); {TAKE}")
        names = _words(path)
    if names:
        check_kind(name, names, field)
        if not any(key.endswith(FIRST) for key in names):
            raise SpecError(f"{field}: {name}: not a Segment Anything model (it has no {FIRST}); {TAKE}")


def check_folder(folder: Path, name: str, field: ModelField = FIELD) -> None:
    """Raises a SpecError unless a Segment Anything may lie in the folder as ours do."""
    for file in ("config.json", "model.safetensors"):
        if not (folder / file).is_file():
            raise SpecError(f"{field}: {name}: not a Segment Anything model (it has no {file}); {TAKE}")
    kind = read_json(str(folder), "config.json", field).get("model_type")
    if kind is not None:
        raise SpecError(f"{field}: {name} is a {kind} in transformers' layout, which is not read here; {TAKE}")


def _is_checkpoint(path: Path) -> bool:
    """Whether torch may have written the file, an old one too: an archive or a pickle, which begin so."""
    with path.open("rb") as file:
        begins = file.read(4)
    if not begins.startswith(b"PK"):
        return begins.startswith(b"\x80")
    try:
        with zipfile.ZipFile(path) as archive:
            return any(entry.endswith("data.pkl") for entry in archive.namelist())
    except zipfile.BadZipFile:  # a download that was cut short, for instance
        return False


def _words(path: Path) -> set[str]:
    """What looks like a weight's name in a checkpoint of torch; none where it is of another format."""
    try:
        with zipfile.ZipFile(path) as archive:
            index = next(entry for entry in archive.namelist() if entry.endswith("data.pkl"))
            words = (word for _, word, _ in pickletools.genops(archive.read(index)) if isinstance(word, str))
            return {word for word in words if _WEIGHT.match(word) and not word.startswith(("torch.", "collections."))}
    except (OSError, ValueError, RuntimeError, StopIteration, zipfile.BadZipFile, zlib.error):
        return set()
