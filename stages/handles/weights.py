"""One scene's learned weights as one safetensors file.

Handles are kept in float32 (a few KB); LoRA factors in float16: half the size, and its relative rounding of
5e-4 is far below what one optimizer step changes; full weights in float16. Key names: `handles.<index>`, and
PEFT's for the factors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from schemas.errors import SceneError

FORMAT = "unscene-scene-1"
_METADATA = "__metadata__"


@dataclass
class SceneWeights:
    """tokens: the handles' names in order; handles: [N, d] float32; lora: PEFT names -> factors; full: names
    -> weights; widths: columns of `handles` that each text encoder reads, side by side (all d where empty).
    """

    tokens: list[str]
    handles: Tensor
    lora: dict[str, Tensor] = field(default_factory=dict)
    full: dict[str, Tensor] = field(default_factory=dict)
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.widths = tuple(self.widths) or (self.handles.shape[-1],)


def overflow(weights: SceneWeights) -> str | None:
    """The first tensor that is not finite as it is kept, by its name in the file; None where all are."""
    if not torch.isfinite(weights.handles).all():
        return "handles"
    kept = weights.lora | weights.full
    return next((name for name, t in sorted(kept.items()) if not torch.isfinite(t.half()).all()), None)


def pack_scene(weights: SceneWeights) -> bytes:
    """The file's bytes; the same weights give the same bytes."""
    tensors = {f"handles.{i}": row.float().contiguous().clone() for i, row in enumerate(weights.handles)}
    tensors |= {name: t.half().contiguous() for name, t in (weights.lora | weights.full).items()}
    metadata = {"format": FORMAT, "tokens": json.dumps(weights.tokens)}
    if len(weights.widths) > 1:
        metadata["widths"] = json.dumps(weights.widths)
    return _in_order(save(dict(sorted(tensors.items())), metadata=metadata))


def _in_order(data: bytes) -> bytes:
    """A safetensors file with its metadata sorted by name: safetensors writes them in an order drawn anew each time."""
    size = int.from_bytes(data[:8], "little")
    text = ordered_header(data[8 : 8 + size])
    text = text.ljust(-(-len(text) // 8) * 8)  # the tensors behind it begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def ordered_header(text: bytes) -> bytes:
    """A safetensors file's header with its metadata sorted by name, no longer than it was."""
    header = json.loads(text)
    header[_METADATA] = dict(sorted(header[_METADATA].items()))
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def unpack_scene(data: bytes | str | Path) -> SceneWeights:
    """The inverse of `pack_scene`, from bytes or a path. Raises a SceneError on anything else."""
    data = Path(data).read_bytes() if isinstance(data, (str, Path)) else data
    try:
        metadata = _metadata(data)
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise SceneError(
            f"the scene's weights cannot be read ({type(error).__name__}: {error}); extract it again"
        ) from error
    if metadata.get("format") != FORMAT:
        raise SceneError(f"the scene's weights say format {metadata.get('format')!r}, not {FORMAT!r}; extract it again")
    tokens = list(json.loads(metadata["tokens"]))
    handles = torch.stack([tensors.pop(f"handles.{i}") for i in range(len(tokens))])
    lora = {name: t for name, t in tensors.items() if ".lora_" in name}
    full = {name: t for name, t in tensors.items() if name not in lora}
    return SceneWeights(tokens, handles, lora, full, tuple(json.loads(metadata.get("widths", "[]"))))


def _metadata(data: bytes) -> dict[str, str]:
    """safetensors begins with the length of its JSON header: 8 bytes, little endian."""
    size = int.from_bytes(data[:8], "little")
    if not 0 < size <= len(data) - 8:
        raise ValueError("it is no safetensors file")
    return dict(json.loads(data[8 : 8 + size]).get(_METADATA, {}))
