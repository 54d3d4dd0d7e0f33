"""One scene's handles as files that diffusers and other people's tools load: textual-inversion embeddings and LoRA
factors (or full weights).

diffusers takes one token a file in `load_textual_inversion` (a file with several is refused), but a list of
files at once; so every handle has its own. With two text encoders (SDXL) a file holds `clip_l` and `clip_g`, with one
`emb_params`, a row each ([1, d]), as such embeddings are shared: kohya takes a row without its first dimension for so
many tokens, and InvokeAI tells the base by the last dimension only where the tensor is called so. The factors go into
one file under kohya's names with alpha = rank; embeddings are not bundled into it, since diffusers refuses such a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from schemas.errors import SceneError
from stages.handles.diffusers_readme import scene_readme
from stages.handles.exported_scene import CROSS_KV_FILE, README, ExportedScene, clear_exported, foreign_readme
from stages.handles.full_weights import CROSS_KV
from stages.handles.lora.kohya import kohya_state
from stages.handles.tool_metadata import embedding_metadata, lora_metadata, user_metadata
from stages.handles.weights import SceneWeights, ordered_header, unpack_scene
from stages.models.base.layout import read_config
from stages.models.place import bundled

FULL_FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}
INDEX = "model_index.json"
PLAIN = {"format": "pt"}
EMBEDDING_NAME = "emb_params"
XL_NAMES = ("clip_l", "clip_g")


def export_scene(
    weights: bytes | str | Path, info: Mapping[str, Any], directory: str | Path, made_of: str = ""
) -> list[Path]:
    """Writes the scene into `directory` (made if need be) and returns the files. What an earlier export of the scene
    left there and this one does not write is taken away; nothing else is touched, and a README.md that no export
    wrote stays.

    weights: the scene's .safetensors, as bytes or path; info: the content of its .json, which names the base model;
    made_of: kept in scene.json. With `tuning: full`, the changed `unet/`, `text_encoder/` and `text_encoder_2/` take
    the place of the factors; where only keys and values of the cross-attention changed, one file of them does.
    Raises SceneError for weights that cannot be read or a folder of another scene's or
    of a model, SpecError where the base is needed and not there, OSError where the directory cannot be written to.
    """
    scene, place = unpack_scene(weights), Path(directory)
    parts = _full_parts(scene)
    if parts and (place / INDEX).exists():
        raise SceneError(
            f"{place} holds a model of diffusers ({INDEX}), whose weights would be lost; name another folder"
        )
    configs = {part: _config(info["base"], part, info.get("revision")) for part in parts}
    told = _told(scene, info, made_of)
    place.mkdir(parents=True, exist_ok=True)
    clear_exported(place, told.scene_id)
    written = [
        _save(_embedding(scene, i), place / file, embedding_metadata(told.triggers[i], scene.widths, info))
        for i, file in enumerate(told.embedding_files)
    ]
    if scene.lora:
        written += _save_factors(scene, info, told, place)
    if _only_cross_kv(scene):
        written.append(_save({name.removeprefix("unet."): t for name, t in scene.full.items()}, place / CROSS_KV_FILE))
    for part, file in parts.items():
        prefix = f"{part}."
        (place / part).mkdir(exist_ok=True)
        config = place / part / "config.json"
        config.write_text(json.dumps(configs[part], indent=2))
        own = {name.removeprefix(prefix): t for name, t in scene.full.items() if name.startswith(prefix)}
        written += [config, _save(own, place / part / file)]
    if not foreign_readme(place):
        readme = place / README
        readme.write_text(scene_readme(told), encoding="utf-8", errors="backslashreplace")
        written.append(readme)
    names, sizes = [file.relative_to(place).as_posix() for file in written], [file.stat().st_size for file in written]
    told = replace(told, files=names, sizes=sizes)
    return [*written, told.write(place)]


def _told(scene: SceneWeights, info: Mapping[str, Any], made_of: str) -> ExportedScene:
    place = bundled(info["base"], "models.base")
    return ExportedScene(
        scene_id=info["scene_id"],
        base=info["base"],
        # A folder by its whole path: the README's lines run elsewhere, and `seedling` is no name to diffusers.
        place=str(Path(place).resolve()) if Path(place).is_dir() else place,
        revision=info.get("revision"),
        tokens=scene.tokens,
        words=list(info.get("init_words") or ["object"] * len(scene.tokens)),
        encoders=len(scene.widths),
        lora=bool(scene.lora),
        parts=list(_full_parts(scene)),
        cross_kv=_only_cross_kv(scene),
        without=_absent_parts(place),
        made_of=made_of,
    )


@lru_cache(maxsize=8)
def _config(base: str, part: str, revision: str | None) -> dict[str, Any]:
    """A part's configuration, asked for once and not a scene: a base on the Hub answers over the network."""
    return read_config(bundled(base, "models.base"), f"{part}/config.json", revision)


def _absent_parts(place: str) -> list[str]:
    """Parts that a base's folder names and lacks. We need none of them (a safety checker), and a pipeline is not made
    until it is told so."""
    if not (Path(place) / INDEX).is_file():
        return []
    index = read_config(place, INDEX)
    named = [name for name, entry in index.items() if isinstance(entry, list) and entry and entry[0]]
    return sorted(name for name in named if not (Path(place) / name).is_dir())


def _embedding(scene: SceneWeights, index: int) -> dict[str, Tensor]:
    row = scene.handles[index]
    if len(scene.widths) == 1:
        return {EMBEDDING_NAME: row[None]}
    return {name: part[None] for name, part in zip(XL_NAMES, row.split(scene.widths), strict=True)}


def _save_factors(scene: SceneWeights, info: Mapping[str, Any], told: ExportedScene, place: Path) -> list[Path]:
    """The factors, and beside them the JSON with the text that asks for the scene's handles."""
    triggers = " and ".join(told.triggers)
    state = kohya_state(scene.lora, scene.widths)
    rank = next(factor.shape[0] for name, factor in state.items() if name.endswith(".lora_down.weight"))
    metadata = lora_metadata(told.lora_name, rank, scene.widths, triggers, info)
    card = place / f"{told.lora_name}.json"
    card.write_text(json.dumps(user_metadata(scene.widths, triggers, told.words), indent=1), encoding="utf-8")
    return [_save(state, place / told.lora_file, metadata), card]


def _full_parts(scene: SceneWeights) -> dict[str, str]:
    """Folder -> file name, of the parts that the scene has weights of its own for."""
    if _only_cross_kv(scene):
        return {}
    return {part: file for part, file in FULL_FILES.items() if any(name.startswith(f"{part}.") for name in scene.full)}


def _only_cross_kv(scene: SceneWeights) -> bool:
    """Whether the weights of its own are a few layers of the UNet: those are loaded into the base's."""
    return bool(scene.full) and all(CROSS_KV.search(name) for name in scene.full)


def _save(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> Path:
    """The same tensors and metadata give the same bytes: safetensors writes metadata in an order drawn anew. It also
    makes files that only their owner may read; these are for tools that may run as somebody else."""
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file({name: t.contiguous() for name, t in sorted(tensors.items())}, path, metadata=dict(metadata or PLAIN))
    except SafetensorError as error:  # its only class, for a full disk too
        raise OSError(f"{path}: {error}") from error
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        text = ordered_header(file.read(size))
        file.seek(8)
        file.write(text.ljust(size))
    path.chmod(mode)
    return path
