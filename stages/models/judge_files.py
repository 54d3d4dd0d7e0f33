"""What can be told of a judge (models.clip, models.identity) before anything is started: kind, weights and sizes.

Of a folder its weights' headers too; of an id of the Hub its small JSON files. No torch here: the driver asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import SpecError
from stages.models.base.vocabulary import tokens_in
from stages.models.headers import weights_in
from stages.models.place import REMEDY, ModelField, locate, read_json
from stages.models.whole import check_adapters, check_unread

LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
TOWERS = {"clip": ("text", "vision"), "vit": ("",), "dinov2": ("",)}
"""model_type -> its encoders, by the prefix of their configurations and weights."""


def judge_kind(name: str, field: ModelField) -> str:
    """`clip`, `vit` or `dinov2`. Raises a SpecError where the field's judge is none of those that it can be."""
    kind = read_json(name, "config.json", field).get("model_type")
    if field == "models.clip" and kind != "clip":
        raise SpecError(f"{field}: {name} is no CLIP model (its config.json says model_type {kind!r}); {REMEDY[field]}")
    if kind not in TOWERS:
        raise SpecError(
            f"{field}: {name} is neither DINO, DINOv2 nor CLIP (its config.json says model_type {kind!r}); "
            f"{REMEDY[field]}"
        )
    return str(kind)


def check_judge(name: str, field: ModelField) -> None:
    """Raises a SpecError where the judge will not load, or will fail at its first picture."""
    kind, config = judge_kind(name, field), read_json(name, "config.json", field)
    processor = read_json(name, "preprocessor_config.json", field)
    sees = config.get("vision_config", {}) if kind == "clip" else config
    if kind != "dinov2":  # a DINOv2 stretches its positions over a picture of any size
        check_size(name, field, processed_size(processor), sees.get("image_size", 224))
    place = locate(name, field)
    if Path(place).is_dir():
        if kind == "clip" and (ids := tokens_in(Path(place))):
            check_words(name, field, ids, int(config.get("text_config", {}).get("vocab_size", 49408)))
        _check_weights(name, Path(place), field, config, TOWERS[kind])


def check_size(name: str, field: ModelField, given: tuple[int, int] | None, wanted: object) -> None:
    """Raises a SpecError where the processor makes pictures that the model does not take.

    given: height and width, None where they are not told; wanted: `image_size`, a side or a height and a width.
    """
    if given is None or (isinstance(wanted, int) and given == (wanted, wanted)) or list(given) == wanted:
        return
    raise SpecError(
        f"{field}: the parts of {name} do not fit together: its image processor makes pictures of {given[1]} x "
        f"{given[0]} pixels, its config.json says image_size {wanted}; take preprocessor_config.json and config.json "
        f"of one and the same model"
    )


def check_words(name: str, field: ModelField, ids: Mapping[str, int], rows: int) -> None:
    """Raises a SpecError where a CLIP's tokenizer knows tokens that its text tower has no row for. ids: token -> id."""
    last = max(ids, key=lambda token: ids[token])
    if ids[last] >= rows:
        raise SpecError(
            f"{field}: the parts of {name} do not fit together: its tokenizer has the token {last!r} as number "
            f"{ids[last]}, its text_config says vocab_size {rows}; take the tokenizer that it was saved with"
        )


def processed_size(processor: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the pictures that an image processor makes, None where its file does not tell it."""
    if processor.get("do_center_crop", "crop_size" in processor):
        return _size(processor.get("crop_size"))
    return _size(processor.get("size")) if processor.get("do_resize", True) else None


def _size(value: object) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    if isinstance(value, Mapping) and isinstance(value.get("height"), int) and isinstance(value.get("width"), int):
        return int(value["height"]), int(value["width"])
    return None  # `shortest_edge` alone: as the picture is


def _check_weights(
    name: str, folder: Path, field: ModelField, config: Mapping[str, Any], towers: tuple[str, ...]
) -> None:
    shapes = weights_in(folder, "model", name, field)
    check_adapters(shapes, name, field)
    for tower in towers:
        count = int((config.get(f"{tower}_config", {}) if tower else config).get("num_hidden_layers", 12))
        layers = {key: int(found.group(1)) for key in shapes if tower in key and (found := LAYER.search(key))}
        lost = sorted(set(range(count)) - set(layers.values()))
        if lost:
            raise SpecError(
                f"{field}: {name} lacks weights of layer {lost[0]} of the {count} that its config.json has"
                + (f" in {tower}_config" if tower else "")
                + f"; {REMEDY[field]}"
            )
        check_unread([key for key, layer in layers.items() if layer >= count], "model", name, field)
