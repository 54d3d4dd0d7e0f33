"""The `extract` section of the job spec: how handles are learned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import field_validator, model_validator

from schemas.fields import BATCHES, Strict, field
from schemas.methods import with_method

_STEPS = ("steps", "max_train_steps", "train_steps", "training_steps", "num_train_epochs", "max_train_epochs", "epochs")
_RATES = ("learning_rate", "initial_learning_rate", "unet_lr", "text_encoder_lr")


class Phase(Strict):
    """One of the two training phases."""

    steps: int = field(400, "Optimizer steps. 0 leaves the phase out.", ge=0, also=_STEPS)
    lr: float = field(5e-4, "Constant learning rate.", gt=0, also=_RATES)


class Lora(Strict):
    """Low-rank factors around frozen layers of the UNet and the text encoder."""

    rank: int = field(4, "Rank of the factors.", ge=1, also=("lora_rank", "network_dim", "network_rank", "dim", "r"))
    targets: Literal["cross_kv", "attention", "attention_ff", "attention_ff_conv"] = field(
        "attention_ff",
        "Layers with factors. `cross_kv`: keys and values of the UNet's cross-attention only, and none of the text "
        "encoder (Custom Diffusion's choice). `attention`: all attention projections. `attention_ff`: feed-forward "
        "layers too. `attention_ff_conv`: the UNet's convolutions too.",
    )
    text_encoder: bool = field(
        False,
        "Train factors in the text encoder too (SDXL: in both), as the paper trains the whole of it. They double the "
        "size for little.",
        also=("train_text_encoder", "train_text_encoders"),
    )


class Full(Strict):
    """Full fine-tuning of phase 2, as published."""

    targets: Literal["all", "cross_kv"] = field(
        "all",
        "What trains: `all` of UNet and text encoder, or `cross_kv`, the cross-attention's key and value projections "
        "(Custom Diffusion).",
    )


class Prior(Strict):
    """Prior preservation: pictures of the base model keep it from forgetting (phase 2)."""

    weight: float = field(1.0, "Weight of the prior term; 0 leaves it out.", ge=0, also=("prior_loss_weight",))
    prompt: str = field("a photo at the beach", "Prompt of the prior set.", also=("class_prompt",))
    images: int = field(100, "Size of the prior set, generated once a run.", ge=1, also=("num_class_images",))
    steps: int = field(30, "Sampler steps for the prior set.", ge=1)
    guidance: float = field(7.5, "Guidance for the prior set.", ge=0)


class Extract(Strict):
    """From a picture and its masks to one text handle per concept."""

    method: Literal["break_a_scene", "ti_m", "db_m", "cd_m"] = field(
        "break_a_scene",
        "A name for a bundle of the settings below, filled in where the spec says nothing itself: the paper's method, "
        "or one of its baselines: `ti_m` (textual inversion: phase 1 only), `db_m` (DreamBooth: phase 2 only), `cd_m` "
        "(Custom Diffusion: phase 2 with key and value projections only), all three on pasted pictures.",
        result=False,
    )
    picture: Literal["scene", "pasted"] = field(
        "scene",
        "What a step shows: the whole `scene`, or its concepts `pasted` on a random solid colour (the baselines).",
    )
    phase1: Phase = field(Phase(steps=400, lr=5e-4), "Handle rows only.", also=("phase1_train_steps",))
    phase2: Phase = field(
        Phase(steps=400, lr=1e-4),
        "Weights too: LoRA factors, or everything with `tuning: full` (then the paper's rate is 2e-6).",
        also=("phase2_train_steps",),
    )
    tuning: Literal["lora", "full"] = field(
        "lora", "What phase 2 trains. `full` holds one scene at a time and ~5 GB a scene at SD 2.1 size."
    )
    lora: Lora = field(Lora(), "Settings of `tuning: lora`.")
    full: Full = field(Full(), "Settings of `tuning: full`.")
    prior: Prior = field(Prior(), "Prior preservation.")
    union_sampling: bool = field(True, "Random subsets of concepts each step; off: one concept a step.")
    masked_loss: Literal["paper", "area_balanced", "none"] = field(
        "paper",
        "`paper`: masked squared error over all latent elements. `area_balanced`: over the mask's area. "
        "`none`: unmasked (ablation).",
        also=("do_not_apply_masked_loss",),
    )
    attention_loss: Literal["mse", "none"] = field("mse", "Cross-attention loss by name; `none`: ablation.")
    attention_maps: int | None = field(
        None,
        "Side of the cross-attention maps that the loss reads. None: of the sides that the base model has maps at, the "
        "nearest to 1/32 of the picture's, as in the paper. Unit: latent elements.",
        ge=1,
    )
    attention_weight: float = field(0.01, "Weight of the cross-attention loss.", ge=0, also=("lambda_attention",))
    flip: bool = field(
        True, "Random horizontal flips, masks together with the picture.", also=("random_flip", "flip_aug")
    )
    init_word: str = field(
        "object",
        "Handles start from this word where the concept has no word of its own, or one that the base does not know. "
        "Of a word of several tokens it is the mean of their embeddings.",
        also=("initializer_token", "initializer_tokens", "init_token"),
    )
    template: str = field("a photo of {handles}", "Training prompt.", also=("instance_prompt", "training_prompt"))
    placeholder: str = field("<asset{index}>", "Handle tokens.", also=("placeholder_token", "modifier_token"))
    adam_beta2: float = field(0.999, "AdamW's second beta.", gt=0, lt=1)
    weight_decay: float = field(1e-2, "AdamW's weight decay.", ge=0, also=("adam_weight_decay",))
    clip_norm: float = field(1.0, "Gradient-norm clip, per scene.", gt=0, also=("max_grad_norm",))
    gradient_checkpointing: bool = field(False, "Trade time for memory; same results.", result=False)
    batch: Annotated[int, Ge(1)] | Literal["auto"] = field(
        "auto",
        "Scenes that train side by side on one worker; memory and speed, not results. `auto`: as many as a probe of "
        "the memory allows. A batch that runs out of memory is halved.",
        result=False,
        also=("train_batch_size", *BATCHES),
    )
    checkpoint_every_s: float | None = field(
        300,
        "The state of a batch in training is kept so often under OUTPUT, for another worker to go on with if this one "
        "is preempted. None: never. Unit: seconds.",
        gt=0,
        result=False,
        also=("checkpointing_steps", "checkpoint_every", "save_every_n_steps"),
    )

    @property
    def trains_text_encoder(self) -> bool:
        """Whether phase 2 changes the text encoder; if not, prompts without handles have the base's own states."""
        if self.tuning == "full":
            return self.full.targets == "all"
        return self.lora.text_encoder and self.lora.targets != "cross_kv"

    @model_validator(mode="before")
    @classmethod
    def _fill_method(cls, given: Any) -> Any:
        return with_method(given) if isinstance(given, dict) else given

    @field_validator("template")
    @classmethod
    def _has_handles(cls, value: str) -> str:
        if "{handles}" not in value:
            raise ValueError("the template needs {handles}")
        rest = value.replace("{handles}", "")
        if "{" in rest or "}" in rest:
            raise ValueError(
                "the template has braces beside {handles}, which stands for the concepts of a training step, drawn "
                "anew at each; take them out"
            )
        return value

    @field_validator("placeholder")
    @classmethod
    def _has_index(cls, value: str) -> str:
        if "{index}" not in value:
            raise ValueError("the placeholder needs {index}")
        return value
