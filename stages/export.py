"""One scene's handles as files that diffusers loads: textual-inversion embeddings and LoRA factors (or full
weights).

diffusers takes one token a file in `load_textual_inversion` (a file with several is refused), but a list of
files at once; so every handle has its own. The factors go into one file under PEFT's names with alpha = rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from stages.base_model import bundled, read_config
from stages.extract.checkpoint import SceneWeights, unpack_scene

LORA_FILE = "pytorch_lora_weights.safetensors"
FULL_FILES = {"unet": "diffusion_pytorch_model.safetensors", "text_encoder": "model.safetensors"}


def export_scene(weights: bytes | str | Path, info: Mapping[str, Any], directory: str | Path) -> list[Path]:
    """Writes the scene into `directory` (made if need be) and returns the files.

    weights: the scene's .safetensors, as bytes or path; info: the content of its .json, which names the base
    model. With `tuning: full`, the changed `unet/` and `text_encoder/` take the place of the factors.
    """
    scene, place = unpack_scene(weights), Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    written = [_save({token: row}, place / embedding_file(i))
               for i, (token, row) in enumerate(zip(scene.tokens, scene.handles, strict=True))]
    if scene.lora:
        written.append(_save(scene.lora, place / LORA_FILE))
    for part, file in FULL_FILES.items() if scene.full else ():
        prefix = f"{part}."
        (place / part).mkdir(exist_ok=True)
        config = read_config(bundled(info["base"], "base"), f"{part}/config.json", info.get("revision"))
        (place / part / "config.json").write_text(json.dumps(config, indent=2))
        written += [place / part / "config.json", _save(
            {name.removeprefix(prefix): t for name, t in scene.full.items() if name.startswith(prefix)},
            place / part / file)]
    readme = place / "README.md"
    readme.write_text(_readme(scene, info))
    return [*written, readme]


def embedding_file(index: int) -> str:
    """Name of the file with the embedding of one handle."""
    return f"learned_embeds-{index}.safetensors"


def _save(tensors: Mapping[str, Tensor], path: Path) -> Path:
    save_file({name: t.contiguous() for name, t in sorted(tensors.items())}, path, metadata={"format": "pt"})
    return path


def _readme(scene: SceneWeights, info: Mapping[str, Any]) -> str:
    words = info.get("init_words") or ["object"] * len(scene.tokens)
    table = "\n".join(f"| `{token}` | {word} |" for token, word in zip(scene.tokens, words, strict=True))
    prompt = f"a photo of {' and '.join(scene.tokens)} at the beach"
    return f"""# Scene {info.get('scene_id', '')}

Handles learned by Unscene (Break-A-Scene, arXiv 2305.16311) from one picture, for the base model
`{info['base']}`.

| handle | started from |
|---|---|
{table}

```python
from diffusers import StableDiffusionPipeline
{_snippet(scene, info)}
pipe("{prompt}").images[0].save("picture.png")
```

Run it in this folder. Each handle is one token of the prompt; join several with " and ".
"""


def _snippet(scene: SceneWeights, info: Mapping[str, Any]) -> str:
    # A bundled model is named by its directory, or the lines would not run.
    base = json.dumps(bundled(info["base"], "base"))
    base += f', revision={json.dumps(info["revision"])}' if info.get("revision") else ""
    files = f'[f"learned_embeds-{{i}}.safetensors" for i in range({len(scene.tokens)})]'
    lines = [f"pipe = StableDiffusionPipeline.from_pretrained({base})"]
    if scene.full:
        lines = ["from diffusers import UNet2DConditionModel", "from transformers import CLIPTextModel",
                 f'pipe = StableDiffusionPipeline.from_pretrained({base}, '
                 f'unet=UNet2DConditionModel.from_pretrained("unet"),',
                 '                                               '
                 'text_encoder=CLIPTextModel.from_pretrained("text_encoder"))']
    lines.append(f"pipe.load_textual_inversion({files})")
    if scene.lora:
        lines.append(f'pipe.load_lora_weights(".", weight_name="{LORA_FILE}")')
    return "\n".join(lines)
