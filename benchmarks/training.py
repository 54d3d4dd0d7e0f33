"""Times of training steps, of the engine and of the yardstick, in one process."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.measure import clock, peak_gib, reset_peak, wait
from benchmarks.models import build_base
from benchmarks.scenes import make_prior_pictures, make_scenes
from benchmarks.yardstick import Yardstick
from schemas.job import Extract, Phase
from stages.extract.method.latents import encode_scene
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.handles.cost import ALL_WEIGHTS, THROUGH_FROZEN, TO_CONTEXT, meta_unet, unet_forward_tflop
from stages.handles.scene_model import SceneModel
from stages.handles.weights import SceneWeights, pack_scene
from stages.models.base.base_model import BaseModel
from stages.models.device import pick_dtype

STEPS = 400
"""Steps of a phase in the paper: what measured steps are scaled to."""
PLACEHOLDER = "<asset{index}>"
PRIOR_PICTURES, PRIOR_LATENTS = 4, 100

gc.freeze()  # what the imports made stays; looking through it took half a second at every collection


@dataclass(frozen=True)
class Options:
    """steps1, steps2: timed steps a phase; warm: steps before them, which are dropped; threads: of torch, 0 as it
    is.
    """

    model: str = "seedling"
    device: str = "cpu"
    dtype: str = "auto"
    rank: int = 16
    steps1: int = 20
    steps2: int = 20
    warm: int = 3
    threads: int = 0


class DivergedError(RuntimeError):
    """A scene left its batch, so the times are not those of a batch of that size."""


class TrainingBench:
    """meet: called before every timed stretch; with several processes it waits for all of them.

    One side is in memory at a time, the engine or one of the yardsticks, so a peak is that side's own and each has
    all of the device. The random weights come out the same every time.
    """

    def __init__(self, options: Options, meet: Callable[[], Any] = lambda: None) -> None:
        self.options, self.meet = options, meet
        self.device = torch.device(options.device)
        self.dtype = pick_dtype(options.dtype, self.device)
        self.settings = Extract.model_validate({"lora": {"rank": options.rank}})
        self.held: tuple[str, Any] = ("", None)
        self.warmed: set[object] = set()
        if options.threads:
            torch.set_num_threads(options.threads)

    def facts(self) -> dict[str, float]:
        """FLOPs of the UNet's forward pass, and of one scene with the engine and with either yardstick. Unit:
        TFLOP.
        """
        forward = forward_tflop(self._engine().base)
        return {
            "forward": forward,
            "engine": forward * STEPS * (TO_CONTEXT + 2 * THROUGH_FROZEN),
            "full": forward * STEPS * 2 * (TO_CONTEXT + ALL_WEIGHTS),
            "lora": forward * STEPS * 2 * (TO_CONTEXT + THROUGH_FROZEN),
        }

    def engine(self, scenes: int) -> dict[str, float]:
        """One batch of so many scenes. Seconds a step of the whole batch (wall, CPU), what a scene costs once, and
        the peak.
        """
        model = self._engine()
        if scenes not in self.warmed and self.options.warm:
            self._train(model, self._prepared(model, scenes)[0], 1, 1)
            self.warmed.add(scenes)
        reset_peak(self.device)
        training, encode = self._prepared(model, scenes)
        sample, fixed = {"scenes": float(scenes), "encode": encode / scenes}, 0.0
        results: list[TrainedScene] = []
        for phase, steps in ((1, self.options.steps1), (2, self.options.steps2)):
            warm = self.options.warm
            short = clock(lambda: self._train(model, training, *self._of(phase, warm)), self.device)  # noqa: B023
            self.meet()
            train = partial(self._train, model, training, *self._of(phase, warm + steps))
            both = clock(lambda train=train: results.extend(train()), self.device)
            wall, cpu = ((long - brief) / steps for long, brief in zip(both, short, strict=True))
            sample |= {f"wall{phase}": wall, f"cpu{phase}": cpu}
            fixed += max(short[0] - warm * wall, 0.0)
        trained = results[-1]  # of phase 2: it has factors
        weights = SceneWeights([PLACEHOLDER] * len(trained.handles), trained.handles, trained.lora, widths=model.widths)
        pack = clock(lambda: pack_scene(weights), self.device)[0]
        sample["once"] = encode / scenes + pack + fixed / scenes
        sample["peak_gib"] = peak_gib(self.device)
        return sample

    def forget(self) -> None:
        """Nothing is held any more: for another side, or after an error."""
        self.held = ("", None)
        self.warmed.clear()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def yardstick(self, kind: str, number: int = 0, threads: int = 0) -> dict[str, float]:
        """The plain loop on scene `number`; kind: full or lora; threads: torch's while it runs, 0 as it is."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            return self._yardstick(kind, number)
        finally:
            torch.set_num_threads(before)

    def _yardstick(self, kind: str, number: int) -> dict[str, float]:
        plain = self._loop(kind)
        scene = make_scenes(number + 1, plain.base.side)[number]
        words = [plain.tokens.pick_word(None, self.settings.init_word)[1]] * len(scene.masks)
        plain.begin(scene, words)
        reset_peak(self.device)
        sample = {"scenes": 1.0, "encode": 0.0, "once": clock(lambda: plain.begin(scene, words), self.device)[0]}
        for phase, steps in ((1, self.options.steps1), (2, self.options.steps2)):
            wall, cpu = self._stretch(plain.phase(phase), steps)
            sample |= {f"wall{phase}": wall / steps, f"cpu{phase}": cpu / steps}
        sample["peak_gib"] = peak_gib(self.device)
        for parameter in (p for module in plain.modules for p in module.parameters()):
            parameter.grad = None
        return sample

    def _stretch(self, step: Callable[[], None], steps: int) -> tuple[float, float]:
        for _ in range(self.options.warm):
            step()
        wait(self.device)
        self.meet()
        return clock(lambda: [step() for _ in range(steps)], self.device)

    def _engine(self) -> SceneModel:
        if self.held[0] != "engine":
            self.forget()
            self.held = ("engine", SceneModel(build_base(self.options.model, self.dtype, self.device), PLACEHOLDER))
        return self.held[1]

    def _loop(self, kind: str) -> Yardstick:
        if self.held[0] != kind:
            self.forget()
            stored = torch.float32 if kind == "full" else self.dtype
            base = build_base(self.options.model, stored, self.device)
            self.held = (
                kind,
                Yardstick(base, kind, self.settings, self.dtype, make_prior_pictures(PRIOR_PICTURES, base.side)),
            )
        return self.held[1]

    def _prepared(self, model: SceneModel, scenes: int) -> tuple[list[TrainingScene], float]:
        """The scenes as the engine takes them, and the seconds that their encoding took."""
        word = model.tokens.pick_word(None, self.settings.init_word)[1]
        made: list[TrainingScene] = []

        def encode() -> None:
            for scene in make_scenes(scenes, model.base.side):
                latents = encode_scene(model.base, scene.picture, scene.masks, model.recorder.side)
                made.append(TrainingScene(scene.scene_id, [word] * len(scene.masks), latents))

        seconds = clock(encode, self.device)[0]
        return made, seconds

    def _train(self, model: SceneModel, scenes: list[TrainingScene], steps1: int, steps2: int) -> list[TrainedScene]:
        settings = self.settings.model_copy(
            update={
                "phase1": Phase(steps=steps1, lr=self.settings.phase1.lr),
                "phase2": Phase(steps=steps2, lr=self.settings.phase2.lr),
            }
        )
        prior = torch.randn(PRIOR_LATENTS, *model.base.latent_shape, generator=torch.Generator().manual_seed(1))
        results = Trainer(model, settings, 0, prior).train(scenes)
        lost = [result.scene_id for result in results if result.diverged is not None]
        if lost:
            raise DivergedError(
                f"{', '.join(lost)} diverged, so the times would be those of a smaller batch; take another --dtype"
            )
        return results

    @staticmethod
    def _of(phase: int, steps: int) -> tuple[int, int]:
        return (steps, 0) if phase == 1 else (0, steps)


def forward_tflop(base: BaseModel) -> float:
    """UNet, one sample, forward; a multiply-add is 2. Unit: TFLOP."""
    return unet_forward_tflop(meta_unet(dict(base.unet.config)), base.tokenizer.model_max_length)
