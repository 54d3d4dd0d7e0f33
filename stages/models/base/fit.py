"""Whether the parts of a base fit each other and want nothing that we do not give, by their configurations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.errors import SpecError

Config = Mapping[str, Any]

_TAKE = "name an SD 1.x, SD 2.x or SDXL model"


def check_fit(base: str, unet: Config, vae: Config, texts: Sequence[Config]) -> None:
    """Raises a SpecError unless the parts are those of a plain SD 1.x / 2.x, or, with two texts, of a plain SDXL.

    unet, vae: the content of their config.json; texts: of one a text encoder.
    """
    _check_classes(base, unet, vae, texts)
    _check_unet(base, unet, len(texts))
    texts = [text_config(text) for text in texts]
    width = sum(int(text.get("hidden_size", 512)) for text in texts)
    context = unet.get("cross_attention_dim", 1280)
    if len(texts) == 2:
        _check_added(base, unet, vae, texts, width)
    elif context != width:
        raise SpecError(
            f"models.base: the parts of {base} do not fit together: its UNet reads text of width {context}, its text "
            f"encoder gives {width}; take unet and text_encoder from one and the same model"
        )
    latent, channels = vae.get("latent_channels", 4), unet.get("in_channels", 4)
    if latent != channels:
        raise SpecError(
            f"models.base: the parts of {base} do not fit together: its VAE makes latents of {latent} channels, its "
            f"UNet reads {channels}; take unet and vae from one and the same model"
        )


def text_config(config: Config) -> Config:
    """The text encoder's own configuration, also where a whole CLIP's stands in its folder."""
    inner = config.get("text_config")
    return inner if config.get("model_type") == "clip" and isinstance(inner, Mapping) else config


def check_length(base: str, tokenizer: str, length: object, encoder: str, positions: int) -> None:
    """Raises a SpecError where a tokenizer cuts texts longer than its encoder reads, or nowhere.

    tokenizer, encoder: folders of the parts; length: `model_max_length`.
    """
    if not isinstance(length, int) or length > 10**6:  # transformers writes 1e30 for "none"
        raise SpecError(
            f"models.base: the {tokenizer} of {base} says no model_max_length; set it in "
            f"{tokenizer}/tokenizer_config.json to the {positions} tokens that the {encoder} reads"
        )
    if length > positions:
        raise SpecError(
            f"models.base: the parts of {base} do not fit together: its {tokenizer} gives up to {length} tokens, its "
            f"{encoder} reads {positions}; set model_max_length in {tokenizer}/tokenizer_config.json to {positions}"
        )


def check_vocabulary(base: str, tokenizer: str, ids: Mapping[str, int], encoder: str, rows: int) -> None:
    """Raises a SpecError where a tokenizer knows tokens that its encoder has no row for, or leaves out ids: handles
    take those that come after its tokens.

    ids: token -> id; rows: of the encoder's token embedding.
    """
    last = max(ids, key=lambda token: ids[token])
    if ids[last] >= rows:
        raise SpecError(
            f"models.base: the parts of {base} do not fit together: its {tokenizer} has the token {last!r} as number "
            f"{ids[last]}, its {encoder} has {rows} rows; take both from one and the same model"
        )
    if ids[last] != len(set(ids.values())) - 1:
        raise SpecError(
            f"models.base: the {tokenizer} of {base} leaves out ids: {len(set(ids.values()))} tokens, the last "
            f"({last!r}) with number {ids[last]}; take the {tokenizer} folder that the model was saved with"
        )


def _check_classes(base: str, unet: Config, vae: Config, texts: Sequence[Config]) -> None:
    encoders = [f"text_encoder_{number}" if number > 1 else "text_encoder" for number in range(1, len(texts) + 1)]
    for part, config, key, known in (
        ("unet", unet, "_class_name", ("UNet2DConditionModel",)),
        ("vae", vae, "_class_name", ("AutoencoderKL",)),
        *((name, text, "model_type", ("clip_text_model", "clip")) for name, text in zip(encoders, texts, strict=True)),
    ):
        if config.get(key) not in (None, *known):
            raise SpecError(
                f"models.base: the {part} of {base} says {key} {config[key]} in {part}/config.json, and {known[0]} is "
                f"needed; {_TAKE}"
            )
        if config.get("quantization_config") is not None:
            raise SpecError(
                f"models.base: the {part} of {base} is quantized (quantization_config in {part}/config.json), and what "
                f"trains needs its gradients; name the model that it was made from"
            )


def _check_unet(base: str, unet: Config, encoders: int) -> None:
    takes, gives = unet.get("in_channels", 4), unet.get("out_channels", 4)
    if takes != gives:
        raise SpecError(
            f"models.base: {base} is not a plain text-to-image model (its UNet takes {takes} channels and gives "
            f"{gives}); inpainting, depth and upscaling models do not fit: {_TAKE}"
        )
    if unet.get("time_cond_proj_dim") is not None:
        raise SpecError(
            f"models.base: the UNet of {base} takes its guidance as an input (time_cond_proj_dim), as distilled models "
            f"(LCM) do, and training spoils that; name the model that it was distilled from"
        )
    for key, what in (
        ("class_embed_type", "an embedding of a picture or a class, as unCLIP and upscalers do"),
        ("num_class_embeds", "the number of a class, as upscalers do"),
        ("encoder_hid_dim_type", "text or pictures through a projection, as Kandinsky and Kolors do"),
        *((("addition_embed_type", "more than text"),) if encoders == 1 else ()),
    ):
        if unet.get(key) is not None:
            raise SpecError(
                f"models.base: the UNet of {base} wants {what} ({key} {unet[key]!r}), which is not given here; {_TAKE}"
            )
    kinds = (*unet.get("down_block_types", ("CrossAttn",)), *unet.get("up_block_types", ()))
    if not any("CrossAttn" in str(kind) for kind in kinds):
        raise SpecError(
            f"models.base: the UNet of {base} has no cross-attention in its down and up blocks, from which handles are "
            f"learned; {_TAKE}"
        )


def _check_added(base: str, unet: Config, vae: Config, texts: Sequence[Config], width: int) -> None:
    """What SDXL's UNet is told beside the text: what is fed to it elsewhere follows from it."""
    kind = unet.get("addition_embed_type")
    if kind != "text_time":
        raise SpecError(
            f"models.base: {base} has two text encoders, but its UNet takes no pooled text and sizes "
            f"(addition_embed_type {kind!r}, not 'text_time'); name an SDXL model"
        )
    extra = int(texts[1].get("projection_dim", 512)) + 6 * int(unet.get("addition_time_embed_dim") or 0)
    context, added = unet.get("cross_attention_dim", 1280), unet.get("projection_class_embeddings_input_dim")
    if context != width or added != extra:
        raise SpecError(
            f"models.base: the parts of {base} do not fit together: its UNet reads text of width {context} and {added} "
            f"added features, its text encoders give {width} and {extra}; name an SDXL base model"
        )
    if vae.get("latents_mean") is not None:
        raise SpecError(
            f"models.base: the VAE of {base} shifts its latents by channel (latents_mean), which is not supported; "
            f"name an SDXL model without it"
        )
