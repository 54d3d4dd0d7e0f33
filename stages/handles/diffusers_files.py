"""One scene's handles as files that diffusers loads: textual-inversion embeddings and LoRA factors (or full
weights).

diffusers takes one token a file in `load_textual_inversion` (a file with several is refused), but a list of
files at once; so every handle has its own. With two text encoders (SDXL) a file holds `clip_l` and `clip_g`,
one row each, as such embeddings are shared. The factors go into one file under PEFT's names with alpha = rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from stages.handles.full_weights import CROSS_KV
from stages.handles.weights import SceneWeights, unpack_scene
from stages.models.base.layout import read_config
from stages.models.place import bundled

LORA_FILE = "pytorch_lora_weights.safetensors"
FULL_FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}
FULL_CLASSES = {
    "unet": "UNet2DConditionModel",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
CROSS_KV_FILE = "cross_kv.safetensors"
XL_NAMES = ("clip_l", "clip_g")


def export_scene(weights: bytes | str | Path, info: Mapping[str, Any], directory: str | Path) -> list[Path]:
    """Writes the scene into `directory` (made if need be) and returns the files.

    weights: the scene's .safetensors, as bytes or path; info: the content of its .json, which names the base
    model. With `tuning: full`, the changed `unet/`, `text_encoder/` and `text_encoder_2/` take the place of the
    factors; where only keys and values of the cross-attention changed, one file of them does.
    """
    scene, place = unpack_scene(weights), Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    written = [_save(_embedding(scene, i), place / embedding_file(i)) for i in range(len(scene.tokens))]
    if scene.lora:
        written.append(_save(scene.lora, place / LORA_FILE))
    if _only_cross_kv(scene):
        written.append(_save({name.removeprefix("unet."): t for name, t in scene.full.items()}, place / CROSS_KV_FILE))
    for part, file in _full_parts(scene).items():
        prefix = f"{part}."
        (place / part).mkdir(exist_ok=True)
        config = read_config(bundled(info["base"], "models.base"), f"{part}/config.json", info.get("revision"))
        (place / part / "config.json").write_text(json.dumps(config, indent=2))
        written += [
            place / part / "config.json",
            _save(
                {name.removeprefix(prefix): t for name, t in scene.full.items() if name.startswith(prefix)},
                place / part / file,
            ),
        ]
    readme = place / "README.md"
    readme.write_text(_readme(scene, info))
    return [*written, readme]


def embedding_file(index: int) -> str:
    """Name of the file with the embedding of one handle."""
    return f"learned_embeds-{index}.safetensors"


def _embedding(scene: SceneWeights, index: int) -> dict[str, Tensor]:
    row = scene.handles[index]
    if len(scene.widths) == 1:
        return {scene.tokens[index]: row}
    return {name: part[None] for name, part in zip(XL_NAMES, row.split(scene.widths), strict=True)}


def _full_parts(scene: SceneWeights) -> dict[str, str]:
    """Folder -> file name, of the parts that the scene has weights of its own for."""
    if _only_cross_kv(scene):
        return {}
    return {part: file for part, file in FULL_FILES.items() if any(name.startswith(f"{part}.") for name in scene.full)}


def _only_cross_kv(scene: SceneWeights) -> bool:
    """Whether the weights of its own are a few layers of the UNet: those are loaded into the base's."""
    return bool(scene.full) and all(CROSS_KV.search(name) for name in scene.full)


def _save(tensors: Mapping[str, Tensor], path: Path) -> Path:
    save_file({name: t.contiguous() for name, t in sorted(tensors.items())}, path, metadata={"format": "pt"})
    return path


def _readme(scene: SceneWeights, info: Mapping[str, Any]) -> str:
    words = info.get("init_words") or ["object"] * len(scene.tokens)
    table = "\n".join(f"| `{token}` | {word} |" for token, word in zip(scene.tokens, words, strict=True))
    prompt = f"a photo of {' and '.join(scene.tokens)} at the beach"
    return f"""# Scene {info.get("scene_id", "")}

Handles learned by Unscene (Break-A-Scene, arXiv 2305.16311) from one picture, for the base model
`{info["base"]}`.

| handle | started from |
|---|---|
{table}

```python
{_snippet(scene, info)}
pipe("{prompt}").images[0].save("picture.png")
```

Run it in this folder. Each handle is one token of the prompt; join several with " and ".
"""


def _snippet(scene: SceneWeights, info: Mapping[str, Any]) -> str:
    # A bundled model is named by its directory, or the lines would not run.
    base = json.dumps(bundled(info["base"], "models.base"))
    base += f", revision={json.dumps(info['revision'])}" if info.get("revision") else ""
    pipeline = "StableDiffusionPipeline" if len(scene.widths) == 1 else "StableDiffusionXLPipeline"
    parts = list(_full_parts(scene))
    texts = [FULL_CLASSES[part] for part in parts if part != "unet"]
    lines = [f"from diffusers import {pipeline}{', UNet2DConditionModel' if parts else ''}"]
    if len(scene.widths) > 1:
        base += ", torch_dtype=torch.float32"
        lines.insert(0, "import torch")
    if len(scene.widths) > 1 or _only_cross_kv(scene):
        lines.append("from safetensors.torch import load_file")
    lines += [f"from transformers import {', '.join(texts)}"] if texts else []
    # Left alone, transformers takes the dtype that config.json names (float16 for SDXL), diffusers float32.
    own = "".join(f',\n    {part}={FULL_CLASSES[part]}.from_pretrained("{part}").float()' for part in parts)
    lines.append(f"pipe = {pipeline}.from_pretrained({base}{own})")
    files = f'f"learned_embeds-{{i}}.safetensors" for i in range({len(scene.tokens)})'
    if len(scene.widths) == 1:
        lines.append(f"pipe.load_textual_inversion([{files}])")
    else:
        lines += [
            f"for i, token in enumerate({json.dumps(scene.tokens)}):",
            '    state = load_file(f"learned_embeds-{i}.safetensors")',
            '    pipe.load_textual_inversion(state["clip_l"], token=token, text_encoder=pipe.text_encoder, '
            "tokenizer=pipe.tokenizer)",
            '    pipe.load_textual_inversion(state["clip_g"], token=token, text_encoder=pipe.text_encoder_2, '
            "tokenizer=pipe.tokenizer_2)",
        ]
    if _only_cross_kv(scene):
        lines.append(f'pipe.unet.load_state_dict(load_file("{CROSS_KV_FILE}"), strict=False)')
    if scene.lora:
        lines.append(f'pipe.load_lora_weights(".", weight_name="{LORA_FILE}")')
    return "\n".join(lines)
