"""What an exported scene says to tools beside its tensors, and what its README says of them to a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from schemas.errors import SceneError
from stages.handles.diffusers_files import export_scene
from stages.handles.exported_scene import read_exported
from stages.handles.file_names import trigger_names
from stages.handles.weights import SceneWeights, pack_scene
from tests.support.exported import scene_in

SCENE = "f6350132eff30544"


def export(folder: Path, widths: tuple[int, ...], lora: bool = True, **told: Any) -> Path:
    factors = {
        f"unet.up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_k.lora_{part}.weight": torch.ones(shape)
        for part, shape in (("A", (4, sum(widths))), ("B", (8, 4)))
    }
    weights = SceneWeights(["<asset0>", "<asset1>"], torch.ones(2, sum(widths)), factors if lora else {}, widths=widths)
    info = {"scene_id": SCENE, "base": "org/base", "init_words": ["cat", "Teddy bear"]} | told
    export_scene(pack_scene(weights), info, folder)
    return folder


def metadata(file: Path) -> dict[str, str]:
    with safe_open(file, "pt") as found:
        return dict(found.metadata())


BASES = {
    "SD 1.5": ((768,), "epsilon", "sd_v1", "False", "stable-diffusion-v1/lora", "epsilon", "SD1"),
    "SD 2.1-base": ((1024,), "epsilon", "sd_v2", "True", "stable-diffusion-v2-512/lora", "epsilon", "SD2"),
    "SD 2.1": ((1024,), "v_prediction", "sd_v2_v", "True", "stable-diffusion-v2-768-v/lora", "v", "SD2"),
    "SDXL": ((768, 1280), "epsilon", "sdxl_base_v1-0", "False", "stable-diffusion-xl-v1-base/lora", "epsilon", "SDXL"),
}


@pytest.mark.parametrize("name", sorted(BASES))
def test_a_lora_says_what_it_is(tmp_path: Path, name: str) -> None:
    widths, prediction, version, second, architecture, predicts, page = BASES[name]
    folder = export(tmp_path, widths, prediction_type=prediction, side=512)
    found = metadata(folder / "f6350132-lora.safetensors")
    assert found == found | {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "4.0",
        "ss_output_name": "f6350132-lora",
        "ss_base_model_version": version,
        "ss_v2": second,
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture,
        "modelspec.title": "f6350132-lora",
        "modelspec.resolution": "512x512",
        "modelspec.trigger_phrase": "f6350132-cat0 and f6350132-teddy_bear1",
        "modelspec.prediction_type": predicts,
    }
    told = json.loads((folder / "f6350132-lora.json").read_text())
    assert (told["activation text"], told["sd version"]) == ("f6350132-cat0 and f6350132-teddy_bear1", page)
    handle = metadata(folder / "f6350132-cat0.safetensors")
    assert handle["modelspec.architecture"] == architecture.replace("/lora", "/textual-inversion")
    assert handle["modelspec.trigger_phrase"] == "f6350132-cat0"


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    """A base of no such kind; and SD 2 by an extraction that kept no word of what it predicts."""
    strange = metadata(export(tmp_path / "strange", (48,), prediction_type="sample") / "f6350132-lora.safetensors")
    older = metadata(export(tmp_path / "older", (1024,)) / "f6350132-lora.safetensors")
    assert not strange.keys() & {"ss_base_model_version", "ss_v2"}
    assert older["ss_base_model_version"] == "sd_v2"
    for found in (strange, older):
        assert not {"modelspec.architecture", "modelspec.prediction_type", "modelspec.resolution"} & found.keys()
    assert "sd version" not in json.loads((tmp_path / "strange" / "f6350132-lora.json").read_text())


def test_the_same_scene_gives_the_same_bytes(tmp_path: Path) -> None:
    """safetensors alone writes its metadata in an order drawn anew each time."""
    found = [{file.name: file.read_bytes() for file in export(tmp_path / str(i), (768,)).iterdir()} for i in range(4)]
    assert all(files == found[0] for files in found)


def test_the_readme_says_where_each_file_goes_and_what_is_typed(tmp_path: Path) -> None:
    readme = (export(tmp_path, (768,)) / "README.md").read_text()
    for said in (
        "`a photo of embedding:f6350132-cat0 and embedding:f6350132-teddy_bear1 at the beach`",
        "`<lora:f6350132-lora:1> a photo of f6350132-cat0 and f6350132-teddy_bear1 at the beach`",
        "`a photo of <f6350132-cat0> and <f6350132-teddy_bear1> at the beach`",
        "`f6350132-lora.json` beside it",
    ):
        assert said in readme
    bare = (export(tmp_path, (768,), lora=False) / "README.md").read_text()
    assert "lora" not in bare.partition("## In other tools")[2].lower()
    assert "`embedding:" not in bare
    assert "| `a photo of embedding:f6350132-cat0 and " in bare


def test_names_are_of_letters_that_every_tool_types() -> None:
    words = ["Zoë's café", "猫", "a/b\\c", "..", "x" * 40]
    assert trigger_names(SCENE, words) == [
        "f6350132-zoe_s_cafe0",
        "f6350132-object1",
        "f6350132-a_b_c2",
        "f6350132-object3",
        f"f6350132-{'x' * 24}4",
    ]


def test_no_two_handles_of_a_scene_have_one_name() -> None:
    names = trigger_names(SCENE, ["cat1", *["dog"] * 9, "cat", "cat_1", "1", *["x" * 23 + "1"] * 2])
    assert (names[0], names[10]) == ("f6350132-cat1_0", "f6350132-cat10")
    assert len(set(names)) == len(names)


def test_full_weights_are_not_written_over_a_model(tmp_path: Path) -> None:
    whole = SceneWeights(["<asset0>"], torch.ones(1, 8), full={"unet.conv_in.weight": torch.ones(2, 2)})
    (tmp_path / "unet").mkdir()
    for name in ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(SceneError, match=r"holds a model of diffusers \(model_index.json\), .*; name another folder"):
        export_scene(pack_scene(whole), {"scene_id": SCENE, "base": str(tmp_path), "init_words": ["cat"]}, tmp_path)
    assert (tmp_path / "unet/diffusion_pytorch_model.safetensors").read_text() == "{}"
    assert not (tmp_path / "scene.json").exists()


def test_a_folder_of_an_earlier_layout_is_written_anew(tmp_path: Path) -> None:
    folder = export(tmp_path, (768,))
    path = folder / "scene.json"
    told = {key: value for key, value in json.loads(path.read_text()).items() if key != "layout"}
    (folder / "pytorch_lora_weights.safetensors").touch()
    path.write_text(json.dumps(told | {"files": [*told["files"], "pytorch_lora_weights.safetensors"]}))
    assert read_exported(folder) is None
    export(folder, (768,))
    assert scene_in(folder).layout == 3
    assert not (folder / "pytorch_lora_weights.safetensors").exists()
