"""Step-distilled factors, which `generate.accelerate` names: where the file is, and what its names say of it.

The driver asks before anything is started, so nothing here imports torch; `stages/handles/lora/distilled.py` lays them
under the base's weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.models.base.layout import unet_config
from stages.models.content import content_hash
from stages.models.headers import read_header
from stages.models.hub import NotFromHub, hub_file
from stages.models.place import HUB_ID, ModelField, bundled

FIELD: ModelField = "generate.accelerate"
USUAL_FILE = "pytorch_lora_weights.safetensors"
"""What diffusers calls the file, and so most of them on the Hub."""
GIVE = "give the .safetensors file of a step-distilled LoRA, such as LCM-LoRA, for the base that models.base names"
PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""As PEFT saves: how strong the factors are stands in the second."""
_ON_HUB = re.compile(rf"({HUB_ID.pattern})(?:/([^/]+\.safetensors))?")
_DOWN = (".lora_down.weight", ".lora.down.weight", "_lora.down.weight", ".lora_A.weight", ".lora_A.default.weight")
_UP = (".lora_up.weight", ".lora.up.weight", "_lora.up.weight", ".lora_B.weight", ".lora_B.default.weight")
_TEXT = ("lora_te", "text_encoder")
_READS_TEXT = re.compile(r"attn2[._](?:processor\.)?to_[kv](?:_lora)?$")


def distilled_file(name: str) -> Path:
    """The file that `generate.accelerate` names: a path, a folder with one such file, or OWNER/NAME of the Hub, with
    /FILE where it is not called as diffusers calls it. Raises SpecError."""
    path = Path(name).expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            raise SpecError(f"{FIELD}: {name} holds {len(files)} .safetensors files; name the one that is meant")
        return files[0]
    if path.is_file():
        return path
    if (match := _ON_HUB.fullmatch(name)) is None:
        raise SpecError(f"{FIELD}: there is no file {name}; {GIVE}")
    owner, file = match[1], match[2] or USUAL_FILE
    try:
        return hub_file(owner, file, None)
    except NotFromHub as error:
        raise SpecError(
            f"{FIELD}: {name} is no file here, and {file} did not come from the Hugging Face Hub ({error}); {GIVE}"
        ) from error


def distilled_content(name: str) -> str:
    """What identifies it in the fingerprint, with PEFT's word on its strength. Raises SpecError."""
    file = distilled_file(name)
    said = file.with_name(PEFT_CONFIG)
    hashed = content_hash(file)
    return f"{hashed}-{content_hash(said)}" if file.name == PEFT_FILE and said.is_file() else hashed


def check_distilled(spec: JobSpec) -> None:
    """Raises SpecError where `generate.accelerate` is no LoRA, is cut short, or was made for another base."""
    name = spec.generate.accelerate
    if name is None:
        return
    shapes = read_header(distilled_file(name), name, FIELD)
    wanted = unet_config(bundled(spec.models.base, "models.base"), spec.models.revision).get("cross_attention_dim")
    for layer, (down, _) in pairs_of(shapes, name).items():
        width = shapes[down][1] if len(shapes[down]) > 1 else 0
        if _READS_TEXT.search(layer) and isinstance(wanted, int) and width != wanted:
            raise SpecError(
                f"{FIELD}: {name} reads texts of width {width} ({layer}), and models.base has {wanted}: it is of "
                "another base; name one that was distilled for this one"
            )


def pairs_of(names: Iterable[str], name: str) -> dict[str, tuple[str, str]]:
    """Layer, by the file's own name for it -> its factors down and up. Raises SpecError where there is none, where one
    of a pair is missing, and where something is no such factor."""
    found: dict[str, dict[str, str]] = {}
    for key in names:
        if key.startswith(_TEXT):
            raise SpecError(
                f"{FIELD}: {name} changes the text encoder too ({key}), where the handles lie; name one of the UNet "
                "alone"
            )
        layer, way = _split(key)
        if way == "alpha":
            continue
        if way is None:
            raise SpecError(f"{FIELD}: {name} holds {key}, which is no factor of a LoRA; {GIVE}")
        found.setdefault(layer, {})[way] = key
    for layer, ways in found.items():
        if len(ways) < 2:
            lost = "up" if "down" in ways else "down"
            raise SpecError(f"{FIELD}: {name} has no factor {lost} for {layer}; copy the file again")
    if not found:
        raise SpecError(f"{FIELD}: {name} holds no factors; {GIVE}")
    return {layer: (ways["down"], ways["up"]) for layer, ways in found.items()}


def _split(key: str) -> tuple[str, str | None]:
    """A name in the file -> its layer, and `down`, `up` or `alpha`."""
    ways: Mapping[str, tuple[str, ...]] = {"down": _DOWN, "up": _UP, "alpha": (".alpha",)}
    for way, ends in ways.items():
        for end in ends:
            if key.endswith(end):
                return key.removesuffix(end), way
    return key, None
