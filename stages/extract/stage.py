"""The extract stage: pictures and masks in, handles and weights out, many scenes in one batch."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from schemas.errors import SceneError, Withdrawn
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneOutput, SceneTask
from schemas.templates import fill_template
from stages.extract.method.latents import decode_picture, encode_scene
from stages.extract.method.prior import draw_prior, load_prior, prior_exists, prior_name, save_prior
from stages.extract.training.batch_size import pick_batch
from stages.extract.training.checkpoint import CheckpointFile
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.halving import halving
from stages.handles.scene_model import SceneModel
from stages.handles.tokens import Pieces
from stages.handles.weights import SceneWeights, overflow, pack_scene
from stages.models.base.loading import load_base
from stages.models.device import pick_device, pick_dtype
from stages.models.place import bundled, model_revision
from stages.stage import StageContext, failed
from stages.transient import is_out_of_memory

log = logging.getLogger(__name__)

CURVE_POINTS = 100
SCRATCH = "scratch"
"""Folder under `context.shared` for batches in training."""


@dataclass(frozen=True)
class _Prepared:
    """words: what each handle starts from; pieces: their tokens, for each text encoder; known: the concept's own word,
    where there is one; masks: their digest."""

    scene: TrainingScene
    pieces: list[tuple[Pieces, ...]]
    words: list[str]
    known: list[str | None]
    masks: str


class ExtractStage:
    """See `stages.stage.Stage`. Progress is told as {"share", "phase", "step", "steps"}; withdrawn scenes leave
    their batch. size: scenes that train side by side.
    """

    name: ClassVar[str] = "extract"
    table: ClassVar[str] = "handles"
    needs: ClassVar[tuple[str, ...]] = ("scenes", "concepts")
    files: ClassVar[tuple[str, ...]] = ("scenes",)

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.spec, self.context = spec, context
        self.size = 1
        self.base_path = bundled(spec.models.base, "models.base")
        self.model: SceneModel | None = None
        self.prior: Tensor | None = None
        self.revision = ""
        self.through = self.of = 0

    @property
    def wants_prior(self) -> bool:
        return self.spec.extract.prior.weight > 0 and self.spec.extract.phase2.steps > 0

    def prepare(self) -> None:
        """Draws the prior set into `context.shared`, unless it is there. The model stays for `setup`."""
        if not self.wants_prior or prior_exists(self.context.shared, self._prior_name()):
            return
        self.model = self._load()
        latents = draw_prior(self.model, self.spec.extract.prior, self.spec.seed)
        save_prior(self.context.shared, self._prior_name(), latents)

    def setup(self) -> None:
        """Loads the base and the prior set; finds out now if the settings do not fit the base."""
        settings = self.spec.extract
        self.model = self.model or self._load()
        self.model.tokens.start(None, settings.init_word)
        self.model.tokens.positions(fill_template(settings.template, [self.model.tokens.names[0]]), [0])
        if self.wants_prior:
            self.prior = load_prior(self.context.shared, self._prior_name())
        self.size = settings.batch if isinstance(settings.batch, int) else pick_batch(self.model, settings, self.prior)
        if settings.tuning == "full":
            self.size = 1

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """Trains the tasks in batches; one that raises is split until the culprit is alone, and after one that ran
        out of memory the batches are smaller.
        """
        waiting = deque(tasks)
        self.through, self.of = 0, len(tasks)
        while waiting:
            ready: list[_Prepared] = []
            while waiting and len(ready) < self.size:
                task = waiting.popleft()
                try:
                    ready.append(self._prepare_scene(task))
                except Exception as error:  # whatever is wrong with a scene is that scene's failure
                    self.through += 1
                    yield failed(task.scene_id, error)
            for prepared, output in halving(self._train, ready):
                self.through += 1
                yield failed(prepared.scene.scene_id, output) if isinstance(output, Exception) else output

    def _load(self) -> SceneModel:
        spec, device = self.spec, pick_device()
        dtype = pick_dtype(spec.models.dtype, device)
        # What trains is float32, so full tuning keeps the weights so and computes in `dtype`.
        stored = torch.float32 if spec.extract.tuning == "full" else dtype
        base = load_base(self.base_path, spec.models.revision, stored, device)
        base.dtype = dtype
        return SceneModel(base, spec.extract.placeholder, spec.extract.attention_maps)

    def _prior_name(self) -> str:
        spec = self.spec
        self.revision = self.revision or model_revision(self.base_path, "models.base", spec.models.revision)
        return prior_name(spec.extract.prior, self.revision, spec.models.dtype, spec.seed)

    def _prepare_scene(self, task: SceneTask) -> _Prepared:
        assert self.model is not None, "setup() comes before process()"
        model, base = self.model, self.model.base
        concepts = sorted(task.rows.get("concepts", []), key=lambda row: row["index"])
        if not concepts:
            raise SceneError("the scene has no concepts; loosen segment.min_area or segment.pred_iou_thresh")
        if "png" not in task.files:
            raise SceneError("the scene's prepared picture is missing from its shard")
        masks = [decode_mask(row["mask"]) for row in concepts]
        wrong = [m.shape for m in masks if m.shape != (base.side, base.side)]
        if wrong:
            raise SceneError(f"a mask is {wrong[0][1]}x{wrong[0][0]} pixels, the picture is {base.side}x{base.side}")
        picked = [model.tokens.start(row.get("word"), self.spec.extract.init_word) for row in concepts]
        for row, (word, _) in zip(concepts, picked, strict=True):
            if row.get("word") not in (None, word):
                log.warning(
                    "scene %s: models.base does not know the word %r of concept %d; its handle starts from %r",
                    task.scene_id,
                    row["word"],
                    row["index"],
                    word,
                )
        latents = encode_scene(
            base, decode_picture(task.files["png"], base.side), torch.from_numpy(np.stack(masks)), model.recorder.side
        )
        pieces = [ids for _, ids in picked]
        scene = TrainingScene(task.scene_id, pieces, latents)
        seen = hashlib.sha256(np.stack(masks).tobytes()).hexdigest()
        return _Prepared(scene, pieces, [word for word, _ in picked], [row.get("word") for row in concepts], seen)

    def _train(self, ready: Sequence[_Prepared]) -> Iterator[SceneOutput]:
        """Outputs of a batch, in order. After one that ran out of memory batches are at most half its size."""
        assert self.model is not None
        began, checkpoints, context = time.monotonic(), self._checkpoints(ready), self.context
        progress = self._progress(len(ready))
        trainer = Trainer(
            self.model, self.spec.extract, self.spec.seed, self.prior, progress, context.withdrawn, checkpoints
        )
        try:
            trained = trainer.train([p.scene for p in ready])
        except Exception as error:
            if checkpoints is not None:
                checkpoints.clear()
            if len(ready) > 1 and is_out_of_memory(error):
                self.size = len(ready) // 2
            raise
        before = checkpoints.before_s if checkpoints is not None else 0.0
        seconds = (before + time.monotonic() - began) / len(ready)
        return self._outputs(ready, trained, seconds, checkpoints)

    def _progress(self, scenes: int) -> Callable[[dict[str, Any]], None]:
        """The trainer's words for a batch of so many scenes, with the share of the unit that is done by then."""
        first, second = self.spec.extract.phase1.steps, self.spec.extract.phase2.steps
        through, of = self.through, max(1, self.of)

        def told(word: dict[str, Any]) -> None:
            done = word["step"] + (first if word["phase"] == 2 else 0)
            self.context.progress({"share": (through + scenes * done / max(1, first + second)) / of, **word})

        return told

    def _outputs(
        self,
        ready: Sequence[_Prepared],
        trained: Sequence[TrainedScene],
        seconds: float,
        checkpoints: CheckpointFile | None,
    ) -> Iterator[SceneOutput]:
        for prepared, result in zip(ready, trained, strict=True):
            yield self._output(prepared, result, seconds)
        if checkpoints is not None:  # Only now has the last result left this process.
            checkpoints.clear()

    def _checkpoints(self, ready: Sequence[_Prepared]) -> CheckpointFile | None:
        """The place of the batch's checkpoints, named by everything that decides its numbers."""
        settings = self.spec.extract
        if settings.checkpoint_every_s is None:
            return None
        self.revision = self.revision or model_revision(self.base_path, "models.base", self.spec.models.revision)
        content = {
            "scenes": [p.scene.scene_id for p in ready],
            "words": [p.words for p in ready],
            "masks": [p.masks for p in ready],  # they may be other ones when a scene is made anew
            "seed": self.spec.seed,
            "base": self.revision,
            "dtype": self.spec.models.dtype,
            "settings": self._settings(),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return CheckpointFile(
            f"{self.context.shared.rstrip('/')}/{SCRATCH}",
            f"{digest[:32]}.safetensors",
            settings.checkpoint_every_s,
            self.context.parting,
        )

    def _settings(self) -> dict[str, Any]:
        """What the scenes' numbers depend on."""
        return self.spec.extract.model_dump(
            mode="json", exclude={"batch", "gradient_checkpointing", "checkpoint_every_s"}
        )

    def _output(self, prepared: _Prepared, result: TrainedScene, seconds: float) -> SceneOutput:
        settings, scene_id = self.spec.extract, result.scene_id
        if result.withdrawn is not None:
            phase, step = result.withdrawn
            return failed(scene_id, Withdrawn(f"withdrawn at phase {phase} step {step}"))
        if result.diverged is not None:
            phase, step = result.diverged
            return failed(
                scene_id,
                SceneError(
                    f"diverged at phase {phase} step {step}: its loss or gradient is no longer finite; lower "
                    f"extract.phase{phase}.lr"
                ),
            )
        assert self.model is not None
        tokens = self.model.tokens.names[: len(result.handles)]
        weights = SceneWeights(tokens, result.handles, result.lora, result.full, self.model.widths)
        # The last step's losses say nothing of what it made of the weights, nor of whether they fit into float16.
        if (wrong := overflow(weights)) is not None:
            rate = "extract.phase1.lr or extract.phase2.lr" if wrong == "handles" else "extract.phase2.lr"
            return failed(scene_id, SceneError(f"diverged: what it learned is not finite ({wrong}); lower {rate}"))
        tail = result.curves[-max(1, -(-len(result.curves) // 10)) :]
        means = tail.mean(0).tolist() if len(tail) else [None] * 3
        file = f"{scene_id}.safetensors"
        rows = [
            {
                "scene_id": scene_id,
                "index": i,
                "token": token,
                "word": prepared.words[i],
                "word_tokens": max(map(len, prepared.pieces[i])),
                "embedding": result.handles[i].tolist(),
                "tuning": settings.tuning,
                "rank": settings.lora.rank if result.lora else None,
                "steps": [settings.phase1.steps, settings.phase2.steps],
                "diffusion_loss": means[0],
                "attention_loss": means[1],
                "prior_loss": means[2] if self.wants_prior else None,
                "seconds": seconds,
                "file": file,
            }
            for i, token in enumerate(tokens)
        ]
        info = {
            "scene_id": scene_id,
            "base": self.spec.models.base,
            "revision": self.spec.models.revision,
            "prediction_type": self.model.base.prediction_type,
            "side": self.model.base.side,
            "seed": self.spec.seed,
            "tokens": tokens,
            "words": prepared.known,
            "init_words": prepared.words,
            "settings": self._settings(),
            "curves": shorten_curves(result.curves),
        }
        return SceneOutput(scene_id, rows, {file: pack_scene(weights), f"{scene_id}.json": json.dumps(info).encode()})


def shorten_curves(curves: Tensor, points: int = CURVE_POINTS) -> dict[str, list[float]]:
    """curves: [steps, 3] -> at most `points` means of equal stretches; `step` is the first step of each
    stretch.
    """
    stretch = max(1, -(-len(curves) // points))
    parts = curves.split(stretch) if len(curves) else ()
    means = [part.mean(0).tolist() for part in parts]
    return {
        "step": [float(i * stretch) for i in range(len(parts))],
        **{
            name: [round(mean[column], 6) for mean in means]
            for column, name in enumerate(("diffusion", "attention", "prior"))
        },
    }
