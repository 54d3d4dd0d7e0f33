"""Everything that can be told of a base before anything is started: from its JSON files, and, where it is a folder
here, from its tokenizers' words and the headers of its weights.

The driver asks, so nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.errors import SpecError
from stages.models.base.fit import check_fit, check_length, check_vocabulary, text_config
from stages.models.base.layout import check_layout, read_config, text_encoder_names, unet_config
from stages.models.base.origin import check_process
from stages.models.base.outline import Outline, text_outline, unet_outline, vae_outline, without_prefix
from stages.models.base.vocabulary import check_placeholder, tokens_in
from stages.models.headers import Shapes, weights_in
from stages.models.whole import BUFFER, check_adapters, check_unread

DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"
"""How the libraries name the files of weights."""
REMEDY = "copy or download the folder again, or save the model again with save_pretrained"


def check_parts(base: str, revision: str | None = None) -> None:
    """Whether the base's parts are ones that we train, and fit each other. Raises a SpecError that names the part."""
    index = check_layout(base, revision)
    encoders = text_encoder_names(index)
    unet, vae = unet_config(base, revision), read_config(base, "vae/config.json", revision)
    texts = [read_config(base, f"{encoder}/config.json", revision) for encoder in encoders]
    scheduler = read_config(base, "scheduler/scheduler_config.json", revision)
    names = [None if Path(base).is_dir() else base, index.get("_name_or_path"), unet.get("_name_or_path")]
    if index.get("_class_name") == "LatentConsistencyModelPipeline":
        names.append("LCM")
    check_process(base, scheduler, names)
    check_fit(base, unet, vae, texts)
    for encoder, text in zip(encoders, texts, strict=True):
        tokenizer = encoder.replace("text_encoder", "tokenizer")
        length = read_config(base, f"{tokenizer}/tokenizer_config.json", revision).get("model_max_length")
        check_length(base, tokenizer, length, encoder, int(text_config(text).get("max_position_embeddings", 77)))
    if Path(base).is_dir():
        _check_folder(base, dict(zip(encoders, texts, strict=True)), unet, vae)


def check_handles(base: str, placeholder: str, revision: str | None = None) -> None:
    """Whether handles can have tokens of their own in a base that is a folder here. Raises SpecError."""
    if Path(base).is_dir():
        for encoder in text_encoder_names(check_layout(base, revision)):
            check_placeholder(placeholder, tokens_in(Path(base) / encoder.replace("text_encoder", "tokenizer")))


def _check_folder(base: str, texts: dict[str, dict[str, Any]], unet: dict[str, Any], vae: dict[str, Any]) -> None:
    folder = Path(base)
    for encoder, config in texts.items():
        outline = text_outline(config, projection=encoder != "text_encoder")
        shapes = without_prefix(_weights(base, encoder, TRANSFORMERS))
        _compare(base, encoder, shapes, outline)
        inside = {name.split(".")[0] for name in outline}  # what lies beside is another tower's
        unread = [n for n in shapes if n not in outline and n.split(".")[0] in inside and not BUFFER.search(n)]
        check_unread(unread, "CLIPTextModel", f"the {encoder} of {base}", "models.base")
        tokenizer = encoder.replace("text_encoder", "tokenizer")
        if ids := tokens_in(folder / tokenizer):
            check_vocabulary(base, tokenizer, ids, encoder, int(text_config(config).get("vocab_size", 49408)))
    _compare(base, "unet", _weights(base, "unet", DIFFUSERS), unet_outline(unet))
    _compare(base, "vae", _weights(base, "vae", DIFFUSERS), vae_outline(vae))


def _weights(base: str, part: str, stem: str) -> Shapes:
    what = f"the {part} of {base}"
    shapes = weights_in(Path(base) / part, stem, what, "models.base")
    check_adapters(shapes, what, "models.base")
    return shapes


def _compare(base: str, part: str, shapes: Shapes, outline: Outline) -> None:
    lost = sorted(name for name in outline if name not in shapes)
    if lost:
        raise SpecError(
            f"models.base: the {part} of {base} lacks weights that its config.json asks for ({lost[0]}"
            + (f" and at least {len(lost) - 1} more" if len(lost) > 1 else "")
            + f"); {REMEDY}"
        )
    for name, wanted in outline.items():
        found = shapes[name]
        if wanted is not None and (
            len(found) != len(wanted) or any(b not in (None, a) for a, b in zip(found, wanted, strict=True))
        ):
            sizes = " x ".join("any" if size is None else str(size) for size in wanted)
            raise SpecError(
                f"models.base: the {part} of {base} holds {name} as {' x '.join(map(str, found))}, and its config.json "
                f"says {sizes}; give the config.json that the weights were saved with"
            )
