"""What other people's tools read of an exported file beside its tensors: the metadata in its header (kohya's `ss_...`
and Stability's ModelSpec), and the JSON that A1111 and Forge keep beside a LoRA. A fact that the scene does not have is
left out: a base of another width is of no version that they know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stages.handles.lora.kohya import SDXL_WIDTHS

_VERSION_OF = {(768,): "SD1", (1024,): "SD2", SDXL_WIDTHS: "SDXL"}
"""Widths of the text encoders -> which kind of base it is, in A1111's word."""
_KOHYA = {"SD1": "sd_v1", "SD2": "sd_v2", "SDXL": "sdxl_base_v1-0"}
_PREDICTION = {"epsilon": "epsilon", "v_prediction": "v"}
_ARCHITECTURE = {"SD1": "stable-diffusion-v1", "SDXL": "stable-diffusion-xl-v1-base"}
_SD2 = {"epsilon": "stable-diffusion-v2-512", "v": "stable-diffusion-v2-768-v"}
"""ModelSpec's names of the bases; SD 2's goes by what it predicts."""
_IMPLEMENTATION = "https://github.com/Stability-AI/generative-models"
"""ModelSpec's word for what runs embeddings, and factors on SDXL; on SD it is `diffusers`."""
_DESCRIPTION = "learned by Unscene (Break-A-Scene, arXiv 2305.16311) from one picture"


def version_of(widths: tuple[int, ...]) -> str | None:
    """`SD1`, `SD2` or `SDXL`; None for another kind of base. widths: of its text encoders."""
    return _VERSION_OF.get(widths)


def lora_metadata(
    name: str, rank: int, widths: tuple[int, ...], triggers: str, info: Mapping[str, Any]
) -> dict[str, str]:
    """Of a file of factors. name: of the file, without its ending; triggers: how to ask for the scene's handles; info:
    the content of the scene's .json."""
    version, predicts = version_of(widths), _PREDICTION.get(info.get("prediction_type", ""))
    found = {
        "format": "pt",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
        "ss_output_name": name,
    }
    if version is not None:
        variant = "_v" if predicts == "v" and version != "SDXL" else ""
        found |= {"ss_base_model_version": f"{_KOHYA[version]}{variant}", "ss_v2": str(version == "SD2")}
    implementation = _IMPLEMENTATION if version == "SDXL" else "diffusers"
    return found | _model_spec(name, "lora", implementation, version, triggers, info)


def embedding_metadata(name: str, widths: tuple[int, ...], info: Mapping[str, Any]) -> dict[str, str]:
    """Of a handle's file. name: of the file, without its ending, which is its trigger."""
    kind = "textual-inversion"
    return {"format": "pt"} | _model_spec(name, kind, _IMPLEMENTATION, version_of(widths), name, info)


def user_metadata(widths: tuple[int, ...], triggers: str, words: Sequence[str]) -> dict[str, Any]:
    """The JSON beside a LoRA: A1111 and Forge write the activation text into the prompt when its card is clicked."""
    version = version_of(widths)
    return {
        "description": f"{_DESCRIPTION}: {', '.join(words)}",
        **({"sd version": version} if version is not None else {}),
        "activation text": triggers,
        "preferred weight": 1.0,
        "notes": "The words of the activation text are embeddings: their files go into the folder of embeddings.",
    }


def _model_spec(
    name: str, kind: str, implementation: str, version: str | None, triggers: str, info: Mapping[str, Any]
) -> dict[str, str]:
    predicts = _PREDICTION.get(info.get("prediction_type", ""))
    architecture = _SD2.get(predicts or "") if version == "SD2" else _ARCHITECTURE.get(version or "")
    side = info.get("side")
    told = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{architecture}/{kind}" if architecture else None,
        "implementation": implementation,
        "title": name,
        "resolution": f"{side}x{side}" if side else None,
        "description": _DESCRIPTION,
        "trigger_phrase": triggers,
        "prediction_type": predicts,
    }
    return {f"modelspec.{key}": value for key, value in told.items() if value is not None}
