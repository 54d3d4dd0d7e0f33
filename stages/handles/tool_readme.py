"""The part of an exported scene's README that says which of its files goes where in ComfyUI, A1111, Forge, InvokeAI and
kohya's scripts, and what is typed there."""

from __future__ import annotations

from stages.handles.exported_scene import ExportedScene


def other_tools(scene: ExportedScene) -> str:
    """The section, or why there is none: where weights of the base are replaced."""
    if not scene.shares:
        return """## In other tools

What this scene learned is in weights of the base's own, which only the lines above put in their places. Extract with
`extract.tuning: lora` for tools that take a LoRA and embeddings.
"""
    lora = f"- the LoRA, `{scene.lora_file}`: kohya's names, weight 1 is its full strength\n" if scene.lora else ""
    files = ", ".join(f"`{file}`" for file in scene.embedding_files)
    return f"""## In other tools

{lora}- the embeddings (textual inversions), {files}: each is called by the name of its file, so do not rename it

They need a checkpoint of this base or one made of it; the tools know SD 1.x, SD 2.x and SDXL, and no other.

{_table(scene)}

`{scene.tokens[0]}` means nothing there.
"""


def _table(scene: ExportedScene) -> str:
    name, plain = scene.lora_name, _prompt(scene)
    rows = [
        ("ComfyUI", "`models/loras`, by the node Load LoRA", "`models/embeddings`", _prompt(scene, "embedding:")),
        (
            "A1111, Forge",
            f"`models/Lora`, `{name}.json` beside it",
            "`embeddings`",
            f"<lora:{name}:1> {plain}" if scene.lora else plain,
        ),
        ("InvokeAI", "installed as a model, added below the prompt", "installed as models", _prompt(scene, "<", ">")),
        (
            "kohya's `gen_img.py`",
            "`--network_module networks.lora --network_weights`",
            "`--textual_inversion_embeddings`",
            plain,
        ),
    ]
    head = ["tool", *(["the LoRA"] if scene.lora else []), "the embeddings", "prompt"]
    lines = [head, ["---"] * len(head)]
    lines += [[tool, *([lora] if scene.lora else []), handles, f"`{prompt}`"] for tool, lora, handles, prompt in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _prompt(scene: ExportedScene, before: str = "", after: str = "") -> str:
    return f"a photo of {' and '.join(f'{before}{name}{after}' for name in scene.triggers)} at the beach"
