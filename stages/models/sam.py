"""Load a Segment Anything model: an official checkpoint of Meta's, or the seedling's folder.

Both come back as segment-anything's own `Sam`, so that everything after this line is the same code for both.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from schemas.errors import SpecError
from stages.models.node_copy import copy_of, node_copy
from stages.models.place import ModelField, locate
from stages.models.sam_files import FIELD, FIRST, TAKE, check_folder, check_kind, unwrapped

KIND_OF_WIDTH = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""Official kinds by the width of their image encoder."""

UNREADABLE = (
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    OSError,
    EOFError,
    AttributeError,
    pickle.UnpicklingError,
    SafetensorError,
)
"""What the libraries raise of a file that they cannot make anything of."""


def load_sam(path_or_url: str, device: str, field: ModelField = FIELD) -> Sam:
    """The model in evaluation mode, fp32, on `device`.

    `path_or_url` is a folder of `config.json` and `model.safetensors`, or an official `.pth` checkpoint on disk or
    under any fsspec URL (downloaded once to `~/.cache/unscene`). Nothing in a checkpoint is executed: tensors only.
    On a CPU the weights stay in the file's own pages, which all workers of a machine share; see `_fill`.
    Raises SpecError, which names `field`, when there is nothing there or it is no SAM, StoreAway when its store does
    not answer.
    """
    path = _local(path_or_url, field)
    if path.is_dir():
        check_folder(path, path_or_url, field)
    load = _from_folder if path.is_dir() else _from_checkpoint
    try:
        sam = load(path, path_or_url, field)
    except UNREADABLE as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(f"{field}: {path_or_url}: not a Segment Anything model ({reason[0][:200]}); {TAKE}") from error
    return sam.to(device).eval()


def build_sam(config: dict[str, Any]) -> Sam:
    """An untrained Sam of any size from the numbers of a `config.json` (see models/training/masks/train.py for one)."""
    encoder, decoder = config["image_encoder"], config["mask_decoder"]
    side, patch, dim = config["image_size"], config["patch_size"], config["prompt_dim"]
    grid = (side // patch, side // patch)
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=side,
            patch_size=patch,
            embed_dim=encoder["dim"],
            depth=encoder["depth"],
            num_heads=encoder["heads"],
            mlp_ratio=encoder["mlp_ratio"],
            out_chans=dim,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=encoder["relative_positions"],
            window_size=encoder["window"],
            global_attn_indexes=tuple(encoder["global_layers"]),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=dim, image_embedding_size=grid, input_image_size=(side, side), mask_in_chans=16
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=decoder["depth"], embedding_dim=dim, mlp_dim=decoder["mlp_dim"], num_heads=decoder["heads"]
            ),
            transformer_dim=dim,
            iou_head_depth=3,
            iou_head_hidden_dim=decoder["iou_hidden"],
        ),
        pixel_mean=config["pixel_mean"],
        pixel_std=config["pixel_std"],
    )


def _from_folder(folder: Path, name: str, field: ModelField) -> Sam:
    sam = build_sam(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    state = {key: tensor.float() for key, tensor in load_file(folder / "model.safetensors").items()}
    return _fill(sam, state, name, field)


def _from_checkpoint(path: Path, name: str, field: ModelField) -> Sam:
    if path.suffix == ".safetensors":
        state: dict[str, Any] = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_mappable(path))
    state = unwrapped(name, state, field)
    check_kind(name, state, field)  # before its width is asked for, which relatives keep elsewhere
    width = state[FIRST].shape[0]
    if width not in KIND_OF_WIDTH:
        raise ValueError(f"an image encoder {width} wide is none of {KIND_OF_WIDTH}")
    return _fill(sam_model_registry[KIND_OF_WIDTH[width]](checkpoint=None), state, name, field)


def _is_mappable(path: Path) -> bool:
    """Whether a checkpoint is a zip file, as torch has written them since 1.6; what it wrote before is read whole."""
    return zipfile.is_zipfile(path)


def _fill(sam: Sam, state: dict[str, Any], name: str, field: ModelField) -> Sam:
    """`sam` with the weights of `state`: all of them, and no others. Raises a SpecError that names the first.

    The weights are taken as they lie, and not copied into others: read from a file they are pages of it, so that the
    workers of a machine hold one copy together, and need no more while they load. Nobody writes into them.
    """
    wanted = sam.state_dict()
    lost, more = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    odd = sorted(key for key in set(wanted) & set(state) if wanted[key].shape != state[key].shape)
    for keys, wrong in ((lost, "lacks"), (more, "holds, and has no place for,"), (odd, "holds in another shape")):
        if keys:
            raise SpecError(
                f"{field}: {name}: not a Segment Anything model: it {wrong} {keys[0]}"
                + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
                + f"; {TAKE}"
            )
    sam.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return sam


def _local(path_or_url: str, field: ModelField = FIELD) -> Path:
    """The path itself, or that of the downloaded copy of a URL. Raises SpecError where there is nothing."""
    place = locate(path_or_url, field)
    if "://" not in place:
        return Path(place)
    return node_copy(path_or_url, field)


def downloaded(url: str) -> str | None:
    """The copy of a URL that an earlier run has fetched, if it is here."""
    return str(copy_of(url)) if "://" in url and copy_of(url).exists() else None
