"""A text-to-image base, loaded and frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from stages.models.base.text_states import TextStates


@dataclass
class BaseModel:
    """A text-to-image base, frozen and in eval mode.

    scheduler: the diffusion process that samplers and noise are built from (`process.py`); dtype: arithmetic of the
    frozen weights. Only SDXL has tokenizer_2 and text_encoder_2. zero_negative: an empty negative prompt stands for
    states of zeros (`force_zeros_for_empty_prompt`), not for the states of an empty text. sizes: [1, 6], what SDXL's
    UNet reads beside the text: the picture's size, no crop, the size wanted, as its pipeline passes by default.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler: dict[str, Any]
    dtype: torch.dtype
    device: torch.device
    tokenizer_2: CLIPTokenizer | None = None
    text_encoder_2: CLIPTextModelWithProjection | None = None
    zero_negative: bool = False
    sizes: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = torch.tensor([[self.side, self.side, 0.0, 0.0, self.side, self.side]], device=self.device)

    @property
    def tokenizers(self) -> list[CLIPTokenizer]:
        """One a text encoder, in the order of `text_encoders`."""
        return [self.tokenizer] if self.tokenizer_2 is None else [self.tokenizer, self.tokenizer_2]

    @property
    def text_encoders(self) -> dict[str, nn.Module]:
        """Folder name -> text encoder, in the order in which their features lie side by side."""
        first: dict[str, nn.Module] = {"text_encoder": self.text_encoder}
        return first if self.text_encoder_2 is None else first | {"text_encoder_2": self.text_encoder_2}

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    @property
    def side(self) -> int:
        """Side of the pictures. Unit: pixels."""
        return self.latent_shape[1] * int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def prediction_type(self) -> str:
        return str(self.scheduler.get("prediction_type", "epsilon"))

    def arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """Autocast to the base's dtype; nothing for float32. What trains stays float32 and is cast where it
        is used.
        """
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def vae_arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """As `arithmetic`, but float32 where the VAE overflows in float16."""
        if self.text_encoder_2 is not None and overflows(self.vae.config, self.dtype):
            return contextlib.nullcontext()
        return self.arithmetic()

    @property
    def vae_is_low(self) -> bool:
        """Whether the VAE computes in less than float32."""
        return self.vae.dtype != torch.float32 or not isinstance(self.vae_arithmetic(), contextlib.nullcontext)

    @contextlib.contextmanager
    def vae_in_float32(self) -> Iterator[None]:
        """The VAE in float32 for a while, weights and arithmetic; its weights are the very same afterwards."""
        kept = [(parameter, parameter.data) for parameter in self.vae.parameters()]
        try:
            self.vae.float()
            with torch.autocast(self.device.type, enabled=False):
                yield
        finally:
            for parameter, data in kept:
                parameter.data = data

    def text_states(self, ids: Tensor) -> TextStates:
        """ids: [R, E, T], a row an encoder -> what the pipeline of the base's own layout makes of them.

        SD 1.x / 2.x: the last hidden states. SDXL: the penultimate hidden states of both encoders side by
        side, and the second's pooled projection (taken where transformers finds the end of the text: with the
        legacy `eos_token_id: 2` of most SDXL configurations, at the highest id, which is a handle's).
        """
        with self.arithmetic():
            if self.text_encoder_2 is None:
                return TextStates(self.text_encoder(ids[:, 0]).last_hidden_state)
            first = self.text_encoder(ids[:, 0], output_hidden_states=True)
            second = self.text_encoder_2(ids[:, 1], output_hidden_states=True)
            states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
            return TextStates(states, second.text_embeds)

    def negative_is_zeros(self, prompt: str) -> bool:
        """Whether this negative prompt stands for states of zeros: empty, and the base asks for that. Its
        pipeline does so when it is given no negative prompt.
        """
        return self.zero_negative and not prompt

    def predict(self, latents: Tensor, timesteps: Tensor, text: TextStates) -> Tensor:
        """The UNet's output, float32. latents: [R, C, h, w]; timesteps: [R]; text: of R rows."""
        added = (
            None
            if text.pooled is None
            else {"text_embeds": text.pooled, "time_ids": self.sizes.expand(latents.shape[0], -1)}
        )
        with self.arithmetic():
            (output,) = self.unet(
                latents, timesteps, encoder_hidden_states=text.states, added_cond_kwargs=added, return_dict=False
            )
        return output.float()


def overflows(vae_config: Mapping[str, Any], dtype: torch.dtype) -> bool:
    """Whether an SDXL VAE must stay in float32. SD 1.x / 2.x carry the same flag, as its default, and run in
    float16 in StableDiffusionPipeline: ask this of SDXL alone.
    """
    return dtype == torch.float16 and bool(vae_config.get("force_upcast", True))
