"""Pictures a second with scenes mixed in one batch, against a plain diffusers pipeline that loads them one by one.

    python benchmarks/generate.py                                   the seedling on this CPU
    python benchmarks/generate.py --device cuda --model sd21 --batches 1,4,16,64
    python benchmarks/generate.py --device cuda --model sdxl --batches 1,4,16

The batch holds several scenes, each with its own handles and LoRA factors, a few pictures of each. Both sides use
guidance, DPM-Solver++ (2M) and the VAE, and make the same pictures. The plain pipeline loads a scene's factors with
`load_lora_weights`, writes its handle rows into the embedding tables, and makes that scene's pictures in one call. It
runs in the dtype throughout, as `from_pretrained(..., torch_dtype=...)` has it. Both models are in memory; a GPU's peak
leaves out the other one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from benchmarks.measure import clock, machine, medians, peak_gib, reset_peak, spread, table, write_json
from benchmarks.models import NAMES, build_base, held_gib
from benchmarks.training import PLACEHOLDER
from stages.handles.scene_model import SceneModel
from stages.models.base.base_model import BaseModel
from stages.models.base.pictures import decode_latents
from stages.models.base.sampler import denoise, initial_latents, make_scheduler
from stages.models.base.text_states import TextStates
from stages.models.device import pick_dtype

COLUMNS = ("configuration", "s a batch", "CPU s a picture", "pictures a second", "peak GiB", "ratio")
SAMPLER = "dpmsolver++"
HANDLES = 2


class MixedBatches:
    """The engine: one forward pass for pictures of several scenes."""

    def __init__(self, base: BaseModel, scenes: int, rank: int, steps: int, guidance: float) -> None:
        self.model, self.steps, self.guidance = SceneModel(base, PLACEHOLDER), steps, guidance
        self.layout = self.model.layout(rank, True)
        generator = torch.Generator().manual_seed(0)
        self.handles = torch.randn(scenes, HANDLES, sum(self.model.widths), generator=generator) * 0.02
        self.flat = torch.stack([self.layout.initial(0, f"scene{i}") for i in range(scenes)])
        for _, _, up in self.layout.pairs(self.flat):
            up.normal_(0, 0.01, generator=generator)

    @torch.no_grad()
    def latents(self, jobs: Sequence[tuple[int, str]], seeds: Sequence[int]) -> Tensor:
        """jobs: (scene, prompt) of each picture."""
        model, base = self.model, self.model.base
        scenes = list(dict.fromkeys(scene for scene, _ in jobs))
        owner = torch.tensor([scenes.index(scene) for scene, _ in jobs], device=base.device)
        prompts = [prompt for _, prompt in jobs]
        try:
            model.bind(self.handles[scenes].to(base.device), self.flat[scenes].to(base.device), self.layout)
            text = self._text(prompts, owner, len(scenes))
            negative = (
                text.zeros_like() if base.negative_is_zeros("") else self._text([""] * len(jobs), owner, len(scenes))
            )
            model.owners.rows(torch.cat([owner, owner]), len(scenes))
            return denoise(
                base.predict,
                make_scheduler(SAMPLER, base.scheduler),
                initial_latents(seeds, base.latent_shape).to(base.device),
                self.steps,
                self.guidance,
                text,
                negative,
            )
        finally:
            model.release()

    def _text(self, prompts: Sequence[str], owner: Tensor, scenes: int) -> TextStates:
        self.model.owners.rows(owner, scenes)
        ids = torch.stack([self.model.tokens.ids(prompt) for prompt in prompts])
        return self.model.base.text_states(ids.to(owner.device))

    def pictures(self, jobs: Sequence[tuple[int, str]], seeds: Sequence[int]) -> Any:
        """uint8 [R, H, W, 3]."""
        return decode_latents(self.model.base, self.latents(jobs, seeds))


class SceneByScene:
    """Plain diffusers, as its documentation says, for the scenes of `mixed`."""

    def __init__(self, base: BaseModel, mixed: MixedBatches) -> None:
        self.mixed, self.base = mixed, base
        self.firsts = [len(tokenizer) for tokenizer in base.tokenizers]
        encoders = base.text_encoders
        for tokenizer, encoder, first in zip(base.tokenizers, encoders.values(), self.firsts, strict=True):
            tokenizer.add_tokens(mixed.model.tokens.names[:HANDLES])
            encoder.resize_token_embeddings(max(encoder.config.vocab_size, first + HANDLES), mean_resizing=False)
        parts = {
            "vae": base.vae,
            "unet": base.unet,
            "scheduler": make_scheduler(SAMPLER, base.scheduler),
            "tokenizer": base.tokenizer,
            **encoders,
        }
        self.pipe: Any
        if base.tokenizer_2 is None:
            self.pipe = StableDiffusionPipeline(
                **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            )
        else:
            self.pipe = StableDiffusionXLPipeline(
                **parts,
                tokenizer_2=base.tokenizer_2,
                add_watermarker=False,
                force_zeros_for_empty_prompt=base.zero_negative,
            )
        self.pipe.to(dtype=base.dtype).set_progress_bar_config(disable=True)

    @torch.no_grad()
    def pictures(self, jobs: Sequence[tuple[int, str]], seeds: Sequence[int], output: str = "np") -> list[Any]:
        """One call of the pipeline for each scene; its result for each call."""
        found = []
        for scene in dict.fromkeys(scene for scene, _ in jobs):
            mine = [i for i, (owner, _) in enumerate(jobs) if owner == scene]
            self.pipe.load_lora_weights(self.mixed.layout.state(self.mixed.flat[scene]))
            columns = self.mixed.handles[scene].split(self.mixed.model.widths, dim=-1)
            for encoder, first, rows in zip(self.base.text_encoders.values(), self.firsts, columns, strict=True):
                weight = encoder.get_input_embeddings().weight
                weight[first : first + HANDLES] = rows.to(weight)
            latents = initial_latents([seeds[i] for i in mine], self.base.latent_shape)
            found.append(
                self.pipe(
                    [jobs[i][1] for i in mine],
                    num_inference_steps=self.mixed.steps,
                    output_type=output,
                    guidance_scale=self.mixed.guidance,
                    latents=latents.to(self.base.device, self.base.dtype),
                ).images
            )
            self.pipe.unload_lora_weights()
        return found


def make_jobs(pictures: int, scenes: int) -> list[tuple[int, str]]:
    """(scene, prompt) of each picture: scenes in turn, one handle and both in turn."""
    names = [PLACEHOLDER.replace("{index}", str(j)) for j in range(HANDLES)]
    prompts = [f"a photo of {names[0]} at the beach", f"a photo of {names[1]} and {names[0]} in the snow"]
    return [(i % scenes, prompts[i // scenes % 2]) for i in range(pictures)]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Prints the table and returns what `--out` gets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=NAMES, default="seedling")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--batches", default="1,4,16,64", help="pictures in one batch of the engine")
    parser.add_argument(
        "--scene-pictures", type=int, default=4, help="pictures a scene, which the plain one makes at once"
    )
    parser.add_argument("--steps", type=int, default=30, help="sampler steps")
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0: as they are")
    parser.add_argument("--out", help="JSON file")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    dtype = pick_dtype(given.dtype, device)
    batches = [int(b) for b in given.batches.split(",")]
    each = given.scene_pictures
    if given.guidance <= 1:
        parser.error("--guidance must be above 1: without it the pipelines do half of the work")
    mixed = MixedBatches(
        build_base(given.model, dtype, device), -(-max(batches) // each), given.rank, given.steps, given.guidance
    )
    plain = SceneByScene(build_base(given.model, dtype, device), mixed)
    calls: dict[str, tuple[Any, int]] = {}
    for count in (1, each):
        calls[f"diffusers, {count} a scene"] = (plain, count)
    for batch in batches:
        calls[f"engine, batch {batch}"] = (mixed, batch)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    broken: dict[str, str] = {}
    for number in range(given.rounds + 1):  # round 0 warms up
        for name, (side, count) in calls.items():
            if name in broken:
                continue
            scenes = 1 if side is plain else max(1, count // each)
            jobs, seeds = make_jobs(count, scenes), list(range(count))
            reset_peak(device)
            try:
                wall, cpu = clock(lambda: side.pictures(jobs, seeds), device)  # noqa: B023
            except torch.OutOfMemoryError as error:
                broken[name] = str(error).splitlines()[0]
            if name in broken:  # only now is the error gone, whose frames hold tensors
                torch.cuda.empty_cache()
            elif number:
                other = mixed.model.base if side is plain else plain.base
                peak = peak_gib(device) - held_gib(other) * (device.type == "cuda")
                samples[name].append(
                    {"seconds": wall, "cpu_seconds": cpu / count, "pictures_second": count / wall, "peak_gib": peak}
                )
    facts = machine(device)
    rows: list[dict[str, Any]] = [
        {"configuration": name} | medians(found) | {"spread": spread(s["pictures_second"] for s in found)}
        for name, found in samples.items()
        if found and name not in broken
    ]
    plain_rates = [row["pictures_second"] for row in rows if row["configuration"].startswith("diffusers")]
    for row in rows:
        row["ratio"] = row["pictures_second"] / max(plain_rates) if plain_rates else None
    print(
        f"\n{given.model} on {facts['device']}, {given.steps} steps, guidance {given.guidance}, rank {given.rank}, "
        f"{each} pictures a scene, medians of {given.rounds} rounds\n"
    )
    print(
        table(
            COLUMNS,
            [
                [
                    row["configuration"],
                    row["seconds"],
                    row["cpu_seconds"],
                    row["pictures_second"],
                    row["peak_gib"],
                    row["ratio"] or "-",
                ]
                for row in rows
            ],
        )
    )
    for name, problem in broken.items():
        print(f"{name}: {problem}")
    result = {
        "benchmark": "generate",
        "machine": facts,
        "options": vars(given),
        "rows": rows,
        "broken": broken,
        "samples": samples,
    }
    write_json(given.out, result)
    return result


if __name__ == "__main__":
    main()
