"""What our samplers make of the scheduler configurations that real bases have, beside diffusers' own pipeline.

    python benchmarks/samplers.py

For each configuration and each of our samplers, the largest difference of the latents, as a share of the largest
latent: from diffusers' pipeline with the configuration as that pipeline repairs it and without the options of the
sampler that saved it; from the same with those options (what they would do to the picture; `-` where there are none);
and from the same picture in other company. The weights are the same for all, so the pictures are no matter.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import diffusers
import torch
from diffusers import StableDiffusionPipeline
from diffusers.configuration_utils import FrozenDict
from torch import Tensor

from benchmarks.measure import table, write_json
from stages.handles.tokens import HandleTokens
from stages.models.base.base_model import BaseModel
from stages.models.base.loading import load_base
from stages.models.base.process import process_of
from stages.models.base.sampler import OWN, SCHEDULERS, denoise, initial_latents, make_scheduler, picture_streams
from stages.models.place import bundled

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
FOREIGN = {
    "clip_sample": True,
    "thresholding": True,
    "algorithm_type": "sde-dpmsolver++",
    "solver_order": 3,
    "solver_type": "bh1",
    "lower_order_final": False,
    "euler_at_final": True,
    "use_karras_sigmas": True,
    "use_exponential_sigmas": True,
    "use_beta_sigmas": True,
    "final_sigmas_type": "sigma_min",
}
"""Options of samplers, not of a process -> a value that would change pictures."""
PROMPT, STEPS, GUIDANCE = "a photo of a cat at the beach", 8, 7.5
ETA = {"tcd": 0.3}
"""What TCD's own default is, where the pipeline's is 0."""
COMPANY = (11, 12, 5, 13)
"""Seeds of a batch; the picture that is compared has the third."""


@dataclass(frozen=True)
class Saved:
    """A scheduler_config.json. kind: the class that wrote it; xl: whether it lies in an SDXL base."""

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    xl: bool = False

    @property
    def foreign(self) -> dict[str, Any]:
        return {name: value for name, value in self.config.items() if name in FOREIGN and value}


CONFIGURATIONS = {
    "SD 1.4 of 2022 (PNDM, no steps_offset)": Saved("PNDMScheduler", SD | {"skip_prk_steps": True}),
    "SD 1.5 of 2022 (PNDM, no clip_sample)": Saved("PNDMScheduler", SD | {"skip_prk_steps": True, "steps_offset": 1}),
    "SD 1.5 (PNDM)": Saved(
        "PNDMScheduler",
        SD | {"skip_prk_steps": True, "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False},
    ),
    "SD 1.x saved from DDIM's defaults": Saved("DDIMScheduler", SD | {"steps_offset": 0, "clip_sample": True}),
    "SD 1.x trained with DDPM": Saved("DDPMScheduler", SD | {"clip_sample": True, "variance_type": "fixed_small"}),
    "SD 1.x with DDIM thresholding": Saved(
        "DDIMScheduler", SD | {"steps_offset": 1, "clip_sample": False, "thresholding": True}
    ),
    "SD 2.1-base (PNDM)": Saved(
        "PNDMScheduler",
        SD | {"steps_offset": 1, "set_alpha_to_one": False, "prediction_type": "epsilon", "clip_sample": False},
    ),
    "SD 2.1 (DDIM, v)": Saved(
        "DDIMScheduler",
        SD | {"steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "prediction_type": "v_prediction"},
    ),
    "zero-SNR v (DDIM, trailing)": Saved(
        "DDIMScheduler",
        SD
        | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
        | {"clip_sample": False, "set_alpha_to_one": True, "steps_offset": 1},
    ),
    "zero-SNR v, SDXL (Euler, trailing)": Saved(
        "EulerDiscreteScheduler",
        SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"},
        xl=True,
    ),
    "SDXL (Euler)": Saved(
        "EulerDiscreteScheduler",
        SD
        | {"steps_offset": 1, "timestep_spacing": "leading", "interpolation_type": "linear", "clip_sample": False}
        | {"use_karras_sigmas": False, "set_alpha_to_one": False, "sample_max_value": 1.0, "skip_prk_steps": True},
        xl=True,
    ),
    "SDXL saved from DDIM's defaults": Saved("DDIMScheduler", SD | {"steps_offset": 0, "clip_sample": True}, xl=True),
    "SDXL saved from Euler ancestral": Saved("EulerAncestralDiscreteScheduler", SD | {"steps_offset": 1}, xl=True),
    "saved from DPM++": Saved(
        "DPMSolverMultistepScheduler",
        SD | {"algorithm_type": "dpmsolver++", "solver_order": 2, "steps_offset": 1, "lower_order_final": True},
    ),
    "saved from DPM++ SDE": Saved(
        "DPMSolverMultistepScheduler", SD | {"algorithm_type": "sde-dpmsolver++", "steps_offset": 1}
    ),
    "saved from DPM++ SDE Karras, third order": Saved(
        "DPMSolverMultistepScheduler",
        SD
        | {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, "solver_order": 3}
        | {"euler_at_final": True, "lower_order_final": True},
    ),
    "saved from DPM++ with thresholding": Saved("DPMSolverMultistepScheduler", SD | {"thresholding": True}),
    "saved from UniPC": Saved(
        "UniPCMultistepScheduler", SD | {"solver_type": "bh1", "solver_order": 3, "predict_x0": True}
    ),
    "saved from LCM, over normal betas": Saved(
        "LCMScheduler", SD | {"original_inference_steps": 50, "timestep_scaling": 10.0, "timestep_spacing": "leading"}
    ),
    "Karras (Playground v2, Animagine)": Saved(
        "EulerDiscreteScheduler", SD | {"use_karras_sigmas": True, "timestep_spacing": "leading", "steps_offset": 1}
    ),
    "trained_betas": Saved(
        "DDIMScheduler",
        {"trained_betas": [round(0.0001 + 0.0119 * i / 999, 8) for i in range(1000)], "clip_sample": False}
        | {"num_train_timesteps": 1000, "steps_offset": 1},
    ),
    "trailing (PNDM)": Saved("PNDMScheduler", SD | {"timestep_spacing": "trailing", "steps_offset": 1}),
    "cosine betas (DDPM)": Saved(
        "DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2", "steps_offset": 1, "clip_sample": False}
    ),
}


class Beside:
    """One base, one picture: our latents and those of diffusers' pipeline. base: with one text encoder, in float32."""

    def __init__(self, base: BaseModel, steps: int = STEPS) -> None:
        self.base, self.steps, tokens = base, steps, HandleTokens(base.tokenizers)
        self.text, self.empty = (base.text_states(tokens.ids(prompt)[None]) for prompt in (PROMPT, ""))

    def ours(self, saved: Saved, sampler: str, seeds: Sequence[int] = (COMPANY[2],)) -> Tensor:
        """[R, C, h, w], a row a seed."""
        rows, streams = len(seeds), picture_streams(seeds)
        return denoise(
            self.base.predict,
            make_scheduler(sampler, process_of(saved.config, saved.xl)),
            initial_latents(streams, self.base.latent_shape),
            self.steps,
            GUIDANCE,
            self.text.expand(rows),
            self.empty.expand(rows),
            streams=streams,
        )

    def theirs(self, saved: Saved, sampler: str, foreign: bool = False) -> Tensor:
        """[1, C, h, w]. foreign: with the options of the sampler that saved the configuration."""
        base = self.base
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the configuration that is outdated
            scheduler = getattr(diffusers, saved.kind).from_config(saved.config)
            pipe = StableDiffusionPipeline(
                base.vae,
                base.text_encoder,
                base.tokenizer,
                base.unet,
                make_scheduler(sampler, {}) if saved.xl else scheduler,  # an SDXL's pipeline repairs none
                None,
                None,
                requires_safety_checker=False,
            )
        config = dict(scheduler.config)
        # `from_config` forgets what the file did not say, a repair too.
        said = {"clip_sample"} if not foreign else set()
        said |= {"steps_offset"} if not saved.xl else set()
        said |= set(OWN.get(sampler, {}))
        config["_use_default_values"] = [n for n in config.get("_use_default_values", []) if n not in said]
        if not foreign:
            config = {name: value for name, value in config.items() if name not in FOREIGN} | {"clip_sample": False}
        config |= OWN.get(sampler, {})
        pipe.scheduler = SCHEDULERS[sampler].from_config(FrozenDict(config))
        pipe.set_progress_bar_config(disable=True)
        (stream,) = picture_streams((COMPANY[2],))
        return torch.as_tensor(
            pipe(
                PROMPT,
                latents=initial_latents((stream,), base.latent_shape),
                generator=stream,
                eta=ETA.get(sampler, 0.0),
                num_inference_steps=self.steps,
                guidance_scale=GUIDANCE,
                output_type="latent",
            ).images
        )

    def row(self, saved: Saved, sampler: str) -> dict[str, float | None]:
        """The differences, each as a share of the largest latent."""
        mine = self.ours(saved, sampler)
        torch.manual_seed(0)  # of which nothing may depend
        company = self.ours(saved, sampler, COMPANY)[2:3]
        as_saved = self.theirs(saved, sampler, foreign=True) if saved.foreign or self._clips(saved) else None
        return {
            "largest": float(mine.abs().max()),
            "diffusers": share(mine, self.theirs(saved, sampler)),
            "as_saved": None if as_saved is None else share(mine, as_saved),
            "company": share(mine, company),
        }

    def _clips(self, saved: Saved) -> bool:
        return "clip_sample" not in saved.config


def share(mine: Tensor, other: Tensor) -> float:
    """The largest difference over the largest of `mine`; NaN where one is not finite."""
    return float((mine - other).abs().max() / mine.abs().max())


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Prints the table and returns what `--out` gets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="seedling", help="a base in StableDiffusionPipeline layout")
    parser.add_argument("--out", help="JSON file")
    given = parser.parse_args(arguments)
    diffusers.utils.logging.set_verbosity_error()
    beside = Beside(load_base(bundled(given.base, "models.base"), None, torch.float32, "cpu"))
    rows = [
        {"configuration": name, "sampler": sampler} | beside.row(saved, sampler)
        for name, saved in CONFIGURATIONS.items()
        for sampler in SCHEDULERS
    ]
    columns = ("configuration", "sampler", "largest", "diffusers", "as_saved", "company")
    print(table(columns, [["-" if row[name] is None else row[name] for name in columns] for row in rows]))
    write_json(given.out, {"benchmark": "samplers", "rows": rows})
    return {"benchmark": "samplers", "rows": rows}


if __name__ == "__main__":
    main()
