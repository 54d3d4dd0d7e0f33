"""The scenes that train side by side: their parameters and their ledger. A scene can leave at any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stages.extract.method.draws import SceneDraws
from stages.extract.method.latents import SceneLatents
from stages.extract.training.optimizer import SceneOptimizer
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.handles.tokens import Pieces


@dataclass(frozen=True)
class TrainingScene:
    """word_ids: for each handle the token or tokens that it starts from, one a text encoder, so its length is N."""

    scene_id: str
    word_ids: Sequence[tuple[int | Pieces, ...]]
    latents: SceneLatents


@dataclass
class TrainedScene:
    """What one scene has learned, float32 on the CPU (full weights: float16).

    handles: [N, d]; lora: PEFT names -> factors; full: names -> weights; curves: [steps, 3] with the
    diffusion, attention and prior terms of every step; diverged, withdrawn: (phase, step) at which it stopped
    being finite, or was taken out.
    """

    scene_id: str
    handles: Tensor
    lora: dict[str, Tensor] = field(default_factory=dict)
    full: dict[str, Tensor] = field(default_factory=dict)
    curves: Tensor = field(default_factory=lambda: torch.zeros(0, 3))
    diverged: tuple[int, int] | None = None
    withdrawn: tuple[int, int] | None = None


class TrainingBatch:
    """Row i of every stacked tensor belongs to `scenes[i]`; rows close up when a scene leaves.

    handles: [S, N_max, d]; flat: LoRA factors [S, P] in `layout`; alive: bool [S]; draws, optimizer: those of
    the phase in hand; ended: results of the scenes that have left.
    """

    def __init__(self, scenes: Sequence[TrainingScene], model: SceneModel) -> None:
        self.order = [scene.scene_id for scene in scenes]
        self.scenes = list(scenes)
        self.handles = nn.Parameter(model.initial_handles([scene.word_ids for scene in scenes]))
        self.flat: nn.Parameter | None = None
        self.layout: LoraLayout | None = None
        self.full: dict[str, Tensor] = {}
        self.alive = torch.ones(len(self.scenes), dtype=torch.bool, device=self.handles.device)
        self.draws: list[SceneDraws] = []
        self.optimizer: SceneOptimizer | None = None
        self.ended: dict[str, TrainedScene] = {}
        self._curves: dict[str, list[Tensor]] = {name: [] for name in self.order}
        self._open: list[Tensor] = []

    def add_factors(self, layout: LoraLayout, seed: int) -> nn.Parameter:
        """Fresh factors for every scene, each from its own stream."""
        start = torch.stack([layout.initial(seed, scene.scene_id) for scene in self.scenes])
        self.layout, self.flat = layout, nn.Parameter(start.to(self.handles.device))
        return self.flat

    def begin(self, draws: list[SceneDraws], optimizer: SceneOptimizer) -> None:
        """A phase begins."""
        self.draws, self.optimizer = draws, optimizer

    @property
    def latents(self) -> list[SceneLatents]:
        return [scene.latents for scene in self.scenes]

    def note(self, terms: Tensor) -> None:
        """terms: [3, S], of one step."""
        self._open.append(terms)

    def drop_diverged(self, phase: int) -> None:
        """Takes out the scenes that are no longer finite. Waits for the device."""
        assert self.optimizer is not None
        died = self.optimizer.died_at.tolist()
        self._leave(
            {
                row: TrainedScene(self.scenes[row].scene_id, self._handles(row), diverged=(phase, step))
                for row, step in enumerate(died)
                if step >= 0
            }
        )

    def withdraw(self, scene_ids: frozenset[str], phase: int, step: int) -> None:
        """Takes out the scenes that are no longer wanted."""
        self._leave(
            {
                row: TrainedScene(scene.scene_id, self._handles(row), withdrawn=(phase, step))
                for row, scene in enumerate(self.scenes)
                if scene.scene_id in scene_ids
            }
        )

    def _leave(self, leaving: dict[int, TrainedScene]) -> None:
        if not leaving:
            return
        assert self.optimizer is not None
        self._close_curves()
        for row, result in leaving.items():
            result.curves = self._curve(self.scenes[row].scene_id)
            self.ended[result.scene_id] = result
        stay = [row for row in range(len(self.scenes)) if row not in leaving]
        self.scenes = [self.scenes[row] for row in stay]
        self.draws = [self.draws[row] for row in stay]
        if stay:
            self.optimizer.keep(torch.tensor(stay, device=self.alive.device))
            self.alive = self.optimizer.alive
            self.handles, *rest = self.optimizer.parameters
            self.flat = rest[0] if rest else None

    def curves(self) -> dict[str, Tensor]:
        """Terms [steps, 3] of the scenes still here, on the CPU."""
        self._close_curves()
        return {scene.scene_id: self._curve(scene.scene_id) for scene in self.scenes}

    def resume(self, scene_ids: Sequence[str], curves: dict[str, Tensor], ended: Sequence[TrainedScene]) -> None:
        """As an earlier process left it: `scene_ids` still train, `ended` have left."""
        known = {scene.scene_id: scene for scene in self.scenes}
        self.scenes = [known[name] for name in scene_ids]
        self._curves |= {name: [curve] for name, curve in curves.items()}
        self.ended = {result.scene_id: result for result in ended}

    def results(self) -> list[TrainedScene]:
        """One a scene, in the order in which they came."""
        flat = None if self.flat is None else self.flat.detach().cpu()
        curves = self.curves()
        trained = {
            scene.scene_id: TrainedScene(
                scene.scene_id,
                self._handles(row),
                lora={} if flat is None or self.layout is None else self.layout.state(flat[row]),
                full=self.full,
                curves=curves[scene.scene_id],
            )
            for row, scene in enumerate(self.scenes)
        }
        return [self.ended.get(name) or trained[name] for name in self.order]

    def _handles(self, row: int) -> Tensor:
        return self.handles.detach()[row, : len(self.scenes[row].word_ids)].cpu().clone()

    def _close_curves(self) -> None:
        if not self._open:
            return
        steps = torch.stack(self._open).cpu()
        for row, scene in enumerate(self.scenes):
            self._curves[scene.scene_id].append(steps[:, :, row].clone())
        self._open = []

    def _curve(self, scene_id: str) -> Tensor:
        parts = self._curves[scene_id]
        return torch.cat(parts) if parts else torch.zeros(0, 3)
