"""Trains scenes of the demo with other LoRA settings and measures what came of it. No Ray.

Phase 1 is the same for all settings of a seed: it is trained once, and every phase 2 starts from its handles. What is
measured is what a user gets: weights packed and unpacked, float16 factors and all.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.lora_instruments import Eyes, Mask, Picture
from models.training.world.places.backgrounds import BACKGROUNDS
from schemas.job import Extract, Prior
from schemas.templates import fill_template
from stages.extract.method.latents import encode_scene
from stages.extract.method.losses import diffusion_loss, prior_loss
from stages.extract.method.prior import draw_prior
from stages.extract.method.union_sampling import union_mask
from stages.extract.training.trainer import Trainer, TrainingScene
from stages.handles.full_weights import replaced
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.handles.weights import SceneWeights, pack_scene, unpack_scene
from stages.ingest.square import fit_square, square_mask, square_picture
from stages.models.base.loading import load_base
from stages.models.base.pictures import decode_latents
from stages.models.base.sampler import denoise, initial_latents, make_scheduler
from stages.models.place import bundled
from stages.streams import stream, stream_seed

DEMO = Path(__file__).resolve().parent.parent / "demo"
OTHER_PROMPTS = (
    "a photo of a red apple on grass",
    "a photo of a blue whale in the snow",
    "a photo of a yellow star on a wooden floor",
    "a photo of a green frog at night",
)
"""What the base draws for these must not change: they name nothing that any scene trains."""


@dataclass(frozen=True)
class DemoScene:
    """picture: uint8 [side, side, 3]; masks: bool [side, side] each, the true ones; ground: index into BACKGROUNDS."""

    name: str
    picture: Picture
    masks: list[Mask]
    ground: int


@dataclass(frozen=True)
class Sizes:
    """How much is measured. pairs: of timestep and noise a prompt; drawn: base pictures a kind of prompt; contexts:
    backgrounds asked for, a concept; steps: of the sampler.
    """

    pairs: int = 12
    drawn: int = 16
    contexts: int = 2
    steps: int = 12
    guidance: float = 5.0


def demo_scenes(side: int, count: int) -> list[DemoScene]:
    """The first `count` scenes of the demo's bucket, prepared as ingest does."""
    names = [background.name for background in BACKGROUNDS]
    scenes = []
    for stem, fact in sorted(json.loads((DEMO / "truth/scenes.json").read_text()).items())[:count]:
        with Image.open(next((DEMO / "bucket").glob(f"{stem}.*"))) as image:
            square = fit_square(*image.size, side, "crop")
            picture = np.asarray(square_picture(image.convert("RGB"), square))
        masks = [
            square_mask(Image.open(file).convert("L"), square)
            for file in sorted((DEMO / "truth").glob(f"{stem}.mask*.png"))
        ]
        scenes.append(DemoScene(stem, picture, masks, names.index(fact["background"])))
    return scenes


class StartedModel(SceneModel):
    """Handles start from `start` [S, N_max, d] where it is set, instead of from words."""

    start: Tensor | None = None

    def initial_handles(self, word_ids: Sequence[Sequence[tuple[int, ...]]]) -> Tensor:
        if self.start is None:
            return super().initial_handles(word_ids)
        return self.start[:, : max(map(len, word_ids))].clone()


class Study:
    """The seedling with a few scenes. settings: what is common to all configurations; phase 2's are replaced."""

    def __init__(self, scenes: int, settings: Extract, sizes: Sizes, seed: int = 0) -> None:
        base = load_base(bundled("seedling", "models.base"), None, torch.float32, "cpu")
        self.model = StartedModel(base, settings.placeholder, settings.attention_maps)
        self.settings, self.sizes, self.seed = settings, sizes, seed
        everything = demo_scenes(base.side, 10)
        self.scenes = everything[:scenes]
        self.roster = [(scene.picture, mask) for scene in everything for mask in scene.masks]
        self.eyes = Eyes(base, self.roster)
        word = self.model.tokens.pick_word(None, settings.init_word)[1]
        self.training = [
            TrainingScene(
                scene.name,
                [word] * len(scene.masks),
                encode_scene(
                    base,
                    torch.from_numpy(scene.picture.copy()).permute(2, 0, 1) / 127.5 - 1,
                    torch.from_numpy(np.stack(scene.masks)),
                    self.model.recorder.side,
                ),
            )
            for scene in self.scenes
        ]
        self.prior = draw_prior(self.model, settings.prior, seed)
        # The training set's prompt, other noise: pictures that no scene has trained on.
        held_out = settings.prior.model_copy(update={"images": sizes.drawn})
        self.drawn = {
            "prior": [(settings.prior.prompt, draw_prior(self.model, held_out, seed + 1))],
            "other": [(prompt, draw_prior(self.model, self._drawn_for(prompt), seed + 1)) for prompt in OTHER_PROMPTS],
        }
        self.base_losses = {kind: self._drawn_loss(kind) for kind in self.drawn}
        self.handles: list[Tensor] = []

    def _drawn_for(self, prompt: str) -> Prior:
        count = max(1, self.sizes.drawn // len(OTHER_PROMPTS))
        return self.settings.prior.model_copy(update={"prompt": prompt, "images": count})

    def untrained(self) -> list[SceneWeights]:
        """Every handle the word it starts from."""
        return [self._packed(self.model.initial_handles([scene.word_ids])[0]) for scene in self.training]

    def phase1(self) -> tuple[list[SceneWeights], float]:
        """Trains the handles alone; every later `phase2` starts from them. Also returns CPU seconds a scene."""
        self.model.start, began = None, time.process_time()
        settings = self.settings.model_copy(
            update={"tuning": "lora", "phase2": self.settings.phase2.model_copy(update={"steps": 0})}
        )
        results = Trainer(self.model, settings, self.seed).train(self.training)
        self.handles = [result.handles for result in results]
        return [self._packed(h) for h in self.handles], (time.process_time() - began) / len(results)

    def phase2(self, **changes: Any) -> tuple[list[SceneWeights | None], float]:
        """Trains phase 2 with the changed fields of `extract`; None for a scene that diverged, and CPU seconds a
        scene of one core.
        """
        common = self.settings.model_dump() | {"phase1": {"steps": 0}} | changes
        settings, began = Extract.model_validate(common), time.process_time()
        size = 1 if settings.tuning == "full" else len(self.training)
        packed: list[SceneWeights | None] = []
        for start in range(0, len(self.training), size):
            group = slice(start, start + size)
            self.model.start = torch.nn.utils.rnn.pad_sequence(self.handles[group], batch_first=True)
            for result in Trainer(self.model, settings, self.seed, self.prior).train(self.training[group]):
                packed.append(None if result.diverged else self._packed(result.handles, result.lora, result.full))
        return packed, (time.process_time() - began) / len(self.training)

    def _packed(
        self, handles: Tensor, lora: dict[str, Tensor] | None = None, full: dict[str, Tensor] | None = None
    ) -> SceneWeights:
        tokens = self.model.tokens.names[: len(handles)]
        return unpack_scene(pack_scene(SceneWeights(tokens, handles.detach(), lora or {}, full or {})))

    @contextlib.contextmanager
    def bound(self, weights: SceneWeights) -> Iterator[None]:
        """The base with one scene's weights."""
        layout = LoraLayout.of_state(weights.lora) if weights.lora else None
        flat = layout.flatten(weights.lora)[None] if layout else None
        with replaced(self.model.base, weights.full) if weights.full else contextlib.nullcontext():
            try:
                self.model.bind(weights.handles[None], flat, layout)
                self.model.owners.blocks(1)
                yield
            finally:
                self.model.release()

    @torch.no_grad()
    def measure(self, number: int, weights: SceneWeights) -> dict[str, float]:
        """Everything that is said of one trained scene; see `benchmarks/lora.py` for what the names mean."""
        with self.bound(weights):
            losses = {kind: self._drawn_loss(kind) / base for kind, base in self.base_losses.items()}
            return {"fit": self._fit(number)} | losses | self._pictures(number)

    def _rows(self, purpose: str, count: int) -> tuple[Tensor, Tensor]:
        """Fixed pairs: timesteps [count] spread evenly, noise [count, C, h, w] from a stream no training reads."""
        steps = torch.linspace(0.02, 0.98, count) * self.model.schedule.timesteps
        noise = torch.randn((count, *self.model.base.latent_shape), generator=stream(self.seed, purpose, "study"))
        return steps.long(), noise

    def _predict(self, latents: Tensor, prompt: str, steps: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """latents: [R, C, h, w] -> prediction and target."""
        model = self.model
        states = model.base.text_states(model.tokens.ids(prompt)[None]).expand(len(steps))
        prediction = model.base.predict(model.schedule.noisy(latents, noise, steps), steps, states)
        return prediction, model.schedule.target(latents, noise, steps)

    def _fit(self, number: int) -> float:
        """Mean squared error inside the mask, over all concepts together and each alone."""
        scene, names = self.training[number], self.model.tokens.names
        count = len(scene.word_ids)
        steps, noise = self._rows(scene.scene_id, self.sizes.pairs)
        latents = scene.latents.mean[0].expand_as(noise)
        values = []
        for subset in [tuple(range(count)), *((j,) for j in range(count))]:
            prompt = fill_template(self.settings.template, [names[j] for j in subset])
            mask = union_mask(scene.latents.masks[0], subset).expand(len(steps), -1, -1)
            prediction, target = self._predict(latents, prompt, steps, noise)
            values.append(diffusion_loss(prediction, target, mask, "area_balanced").mean())
        return float(torch.stack(values).mean())

    @torch.no_grad()
    def _drawn_loss(self, kind: str) -> float:
        """Unmasked error on what the base has drawn itself."""
        losses = []
        for prompt, latents in self.drawn[kind]:
            steps, noise = self._rows(prompt, len(latents))
            losses.append(prior_loss(*self._predict(latents, prompt, steps, noise)))
        return float(torch.cat(losses).mean())

    def contexts(self, number: int) -> list[int]:
        """Backgrounds asked for: others than the scene's own, and not that of the prior's prompt."""
        own = self.scenes[number].ground
        places = [i for i in range(len(BACKGROUNDS)) if i != own and BACKGROUNDS[i].name != "beach"]
        return [places[(own + 3 * k) % len(places)] for k in range(self.sizes.contexts)]

    def _pictures(self, number: int) -> dict[str, float]:
        """Pictures of each concept alone, plain and in contexts: identity, nearest, background."""
        images, asked = self.draw(number)
        first = sum(len(scene.masks) for scene in self.scenes[:number])
        plain, placed, nearest, right = [], [], [], []
        for image, (concept, place) in zip(images, asked, strict=True):
            masks = self.eyes.find(image)
            similarity, hit = self.eyes.likest(image, masks, first + concept)
            (plain if place is None else placed).append(similarity)
            nearest.append(hit)
            if place is not None:
                right.append(self.eyes.background(image) == place)
        return {
            "identity": float(np.mean(plain + placed)),
            "identity_plain": float(np.mean(plain)),
            "identity_placed": float(np.mean(placed)),
            "nearest": float(np.mean(nearest)),
            "background": float(np.mean(right)),
        }

    @torch.no_grad()
    def draw(self, number: int) -> tuple[Sequence[Picture], list[tuple[int, int | None]]]:
        """The pictures of the bound scene and what was asked for: (concept, background or None). The same noise
        whatever the weights are.
        """
        model, sizes, scene = self.model, self.sizes, self.training[number]
        places: list[int | None] = [None, *self.contexts(number)]
        asked = [(concept, place) for concept in range(len(scene.word_ids)) for place in places]
        prompts = [
            fill_template(self.settings.template, [model.tokens.names[c]])
            + ("" if place is None else f" {BACKGROUNDS[place].phrases[0]}")
            for c, place in asked
        ]
        states = model.base.text_states(torch.stack([model.tokens.ids(prompt) for prompt in prompts]))
        negative = model.base.text_states(model.tokens.ids("")[None]).expand(len(prompts))
        noise = initial_latents(
            [stream_seed(self.seed, scene.scene_id, f"study/{i}") for i in range(len(asked))], model.base.latent_shape
        )
        latents = denoise(
            model.base.predict,
            make_scheduler("dpmsolver++", model.base.scheduler),
            noise,
            sizes.steps,
            sizes.guidance,
            states,
            negative,
        )
        return decode_latents(model.base, latents), asked
