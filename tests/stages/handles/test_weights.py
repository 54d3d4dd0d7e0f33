"""One scene's file: the same weights are the same bytes, and what comes out is what went in."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load, save

from stages.handles.weights import FORMAT, SceneWeights, pack_scene, unpack_scene


def weights() -> SceneWeights:
    """Two handles with SDXL's two widths, so that the file has three things to say of itself; one name is not ASCII."""
    generator = torch.Generator().manual_seed(3)
    lora = {f"unet.{name}.lora_A.weight": torch.randn(4, 6, generator=generator).half() for name in "zab"}
    return SceneWeights(["<asset0>", "<größe>"], torch.randn(2, 5, generator=generator), lora=lora, widths=(2, 3))


def test_the_same_weights_are_the_same_bytes() -> None:
    """safetensors itself writes what a file says of itself in an order drawn anew for each file."""
    assert len({pack_scene(weights()) for _ in range(32)}) == 1


def test_the_file_is_one_that_safetensors_reads_and_would_have_written(tmp_path: Path) -> None:
    data = pack_scene(weights())
    (tmp_path / "scene.safetensors").write_bytes(data)
    with safe_open(tmp_path / "scene.safetensors", "pt") as file:
        about = file.metadata()
    assert about == {"format": FORMAT, "tokens": json.dumps(weights().tokens), "widths": "[2, 3]"}
    assert len(data) == len(save(load(data), metadata=about))
    found = unpack_scene(data)
    assert found.tokens == weights().tokens
    assert found.widths == (2, 3)
    assert torch.equal(found.handles, weights().handles)
    assert {name: tensor.tolist() for name, tensor in found.lora.items()} == {
        name: tensor.tolist() for name, tensor in weights().lora.items()
    }
