"""The README of an exported scene: lines of Python that load it into a pipeline of diffusers, to be run as they stand.

They ask for one dtype themselves: left alone, transformers takes the one that config.json names (float16 for SDXL and
the seedling) and diffusers float32, and the halves do not go together. `.float()` is what every version of diffusers
takes without a word; `torch_dtype` has become `dtype`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from stages.handles.exported_scene import CROSS_KV_FILE, README_MARK, ExportedScene
from stages.handles.tool_readme import other_tools

CLASSES = {
    "unet": "UNet2DConditionModel",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
MOST_LISTED = 200
"""Scenes that the README of a folder of them names."""


def scene_readme(scene: ExportedScene) -> str:
    """README.md of one scene."""
    rows = zip(scene.tokens, scene.shared_tokens, scene.words, strict=True)
    table = "\n".join(f"| {_cell(token)} | {_cell(shared)} | {_plain(word)} |" for token, shared, word in rows)
    own = [*_base_lines(scene), *_loading_lines(scene), _drawing_line(scene.tokens, "picture.png")]
    return f"""# Scene {scene.scene_id}

{README_MARK}

Handles learned by Unscene (Break-A-Scene, arXiv 2305.16311) from one picture, for the base model
`{scene.base}`.

| handle | beside other scenes | started from |
|---|---|---|
{table}

```python
{_text(own)}
```

Run it in this folder, with `pip install diffusers transformers peft`. Each handle is one token of the prompt; join
several with " and ". On a GPU `.bfloat16()` in the place of `.float()` needs half the memory.

## In one pipeline with other scenes

{_beside(scene)}
{other_tools(scene)}"""


def scenes_readme(scenes: Sequence[ExportedScene], listed: Sequence[tuple[str, str]], count: int) -> str:
    """README.md of a folder with a folder for each scene.

    scenes: one or a few of them that share a pipeline, to show how; listed: (scene_id, file name), at most
    `MOST_LISTED` of them are told; count: of all.
    """
    table = "\n".join(f"| `{scene_id}` | {_plain(name)} |" for scene_id, name in listed[:MOST_LISTED])
    more = count - len(listed[:MOST_LISTED])
    rest = f"\n\nand {more:,} more, not listed here." if more else ""
    return f"""# Handles of {count:,} scenes

{README_MARK}

Each folder holds the handles of one scene as files that diffusers and other tools load, and a README of its own.

| folder | picture |
|---|---|
{table}{rest}
{_together(scenes)}"""


def _together(scenes: Sequence[ExportedScene]) -> str:
    if not scenes:
        return "\nEach of these scenes replaces weights of the base model: a pipeline holds one of them.\n"
    lines = _base_lines(scenes[0])
    for scene in scenes:
        lines += [*_shared_lines(scene, scene.scene_id), ""]
    for scene in scenes:
        lines += [*_choosing_lines(scene), _drawing_line(scene.shared_tokens, f"{scene.scene_id}.png")]
    return f"""
## Several in one pipeline

```python
{_text(lines)}
```

Run it in this folder; other scenes are added by the same lines. {_COMBINING}
"""


_COMBINING = """`pipe.set_adapters` chooses the scene that the next prompt
names. For handles of two scenes in one picture give it both, `pipe.set_adapters([ONE, OTHER])`: each was learned alone
and their factors add up, so where the picture breaks, weigh them with `adapter_weights=[0.7, 0.7]`."""


def _beside(scene: ExportedScene) -> str:
    if not scene.shares:
        return """This scene replaces weights of the base model (`extract.tuning: full`): one pipeline holds one such
scene. Make another pipeline for another.
"""
    lines = [
        *(["from safetensors.torch import load_file", ""] if scene.encoders > 1 else []),
        *_shared_lines(scene, "."),
        *_choosing_lines(scene),
        _drawing_line(scene.shared_tokens, f"picture-{scene.scene_id}.png"),
    ]
    return f"""Every scene calls its handles {_cell(scene.tokens[0])} and so on. Into a `pipe` that holds another
scene of the same base, made by the lines of that scene's README, this one comes under names of its own:

```python
{_text(lines)}
```

Run it in this folder, or name it. {_COMBINING}
"""


def _base_lines(scene: ExportedScene) -> list[str]:
    """The lines that make `pipe` of the base and the scene's own parts of it."""
    pipeline = "StableDiffusionPipeline" if scene.encoders == 1 else "StableDiffusionXLPipeline"
    revision = f", revision={_quoted(scene.revision)}" if scene.revision else ""
    own = "".join(f',\n    {part}={CLASSES[part]}.from_pretrained("{part}")' for part in scene.parts)
    own += "".join(f", {part}=None" for part in scene.without)
    texts = [CLASSES[part] for part in scene.parts if part != "unet"]
    parts = ["unet", "vae", "text_encoder", *(["text_encoder_2"] if scene.encoders > 1 else [])]
    return [
        "import torch",
        f"from diffusers import {pipeline}{', UNet2DConditionModel' if scene.parts else ''}",
        *(["from safetensors.torch import load_file"] if scene.encoders > 1 or scene.cross_kv else []),
        *([f"from transformers import {', '.join(texts)}"] if texts else []),
        "",
        'device = "cuda" if torch.cuda.is_available() else "cpu"',
        f"pipe = {pipeline}.from_pretrained({_quoted(scene.place)}{revision}{own})",
        f"for part in ({', '.join(f'pipe.{part}' for part in parts)}):",
        "    part.float()  # a base may be stored in half precision, in parts or whole",
        "pipe.to(device)",
        "",
    ]


def _loading_lines(scene: ExportedScene) -> list[str]:
    """The lines that put the scene into `pipe`, under the handles' own names."""
    lines = _token_lines(scene, scene.tokens, "")
    if scene.cross_kv:
        lines.append(f'pipe.unet.load_state_dict(load_file("{CROSS_KV_FILE}"), strict=False)')
    if scene.lora:
        lines.append(f'pipe.load_lora_weights(".", weight_name="{scene.lora_file}", adapter_name="{scene.scene_id}")')
    return lines


def _shared_lines(scene: ExportedScene, folder: str) -> list[str]:
    """The lines that put the scene into a `pipe` with others. folder: of its files."""
    where = "  # or the path of this folder, from wherever you are" if folder == "." else ""
    lines = [f'folder = "{folder}"{where}', *_token_lines(scene, scene.shared_tokens, "{folder}/")]
    if scene.lora:
        lines.append(
            f'pipe.load_lora_weights(folder, weight_name="{scene.lora_file}", adapter_name="{scene.scene_id}")'
        )
    return lines


def _token_lines(scene: ExportedScene, tokens: Sequence[str], folder: str) -> list[str]:
    """The lines that load the handles as `tokens`. folder: what stands before a file's name in an f-string."""
    lines = [f"names = {_quoted(scene.triggers)}", f"tokens = {_quoted(list(tokens))}"]
    file = f"{folder}{{name}}.safetensors"
    if scene.encoders == 1:
        return [*lines, f'pipe.load_textual_inversion([f"{file}" for name in names], token=tokens)']
    return [
        *lines,
        "for name, token in zip(names, tokens, strict=True):",
        f'    state = load_file(f"{file}")',
        '    pipe.load_textual_inversion(state["clip_l"], token=token, text_encoder=pipe.text_encoder, '
        "tokenizer=pipe.tokenizer)",
        '    pipe.load_textual_inversion(state["clip_g"], token=token, text_encoder=pipe.text_encoder_2, '
        "tokenizer=pipe.tokenizer_2)",
    ]


def _choosing_lines(scene: ExportedScene) -> list[str]:
    """The lines that leave the scene's factors, and no others, at work."""
    if not scene.lora:
        return ["if pipe.get_list_adapters():", "    pipe.disable_lora()  # this scene has no factors of its own"]
    return [f'pipe.set_adapters("{scene.scene_id}")']


def _drawing_line(tokens: Sequence[str], file: str) -> str:
    prompt = f"a photo of {' and '.join(tokens)} at the beach"
    return f'pipe({_quoted(prompt)}).images[0].save("{file}")'


def _quoted(value: str | list[str] | None) -> str:
    """A text, or a list of them, as Python reads it."""
    return json.dumps(value, ensure_ascii=False)


def _cell(code: str) -> str:
    return f"`{code}`".replace("|", "\\|")


def _plain(text: str) -> str:
    """A word of a stranger's file in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines)
