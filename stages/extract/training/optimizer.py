"""AdamW over stacked parameters: elementwise, hence every scene has an optimizer of its own in one call.

Gradients are clipped by each scene's own norm. A scene whose loss or gradient is no longer finite stops: its
gradients are zero from then on, and no other scene sees anything of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from schemas.job import Extract

EPS = 1e-8
BETA1 = 0.9
MOMENTS = ("exp_avg", "exp_avg_sq")


class SceneOptimizer:
    """Fresh at the start of each phase.

    parameters: each [S, ...]; with S = 1 any shape (full tuning). alive: bool [S], which scenes still train;
    changed in place. died_at: int64 [S], the step at which a scene stopped being finite, or -1. loss_scale
    keeps float16 gradients from vanishing.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], lr: float, settings: Extract, alive: Tensor, loss_scale: float = 1.0
    ) -> None:
        self.parameters, self.alive = list(parameters), alive
        self.loss_scale, self.clip_norm = loss_scale, settings.clip_norm
        self.died_at = torch.full_like(alive, -1, dtype=torch.long)
        self.adamw = torch.optim.AdamW(
            self.parameters,
            lr=lr,
            betas=(BETA1, settings.adam_beta2),
            eps=EPS,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def step(self, losses: Tensor, number: int) -> None:
        """losses: [S] with graph; number: of the step, noted where a scene dies. No synchronisation with the
        device.
        """
        scenes = len(self.alive)
        sound = self.alive & torch.isfinite(losses)
        total = torch.where(sound, losses, torch.zeros_like(losses)).sum()
        for parameter in self.parameters:
            parameter.grad = None
        (total * self.loss_scale).backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.loss_scale != 1.0:
            torch._foreach_div_(gradients, self.loss_scale)
        norms = scene_norms(gradients, scenes)
        sound &= torch.isfinite(norms)
        self.died_at.copy_(torch.where(self.alive & ~sound, number, self.died_at))
        self.alive.copy_(sound)
        scale = (self.clip_norm / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            per_row = (scenes,) + (1,) * (gradient.dim() - 1)
            gradient.mul_(scale.view(per_row)).masked_fill_(~sound.view(per_row), 0.0)
        self.adamw.step()

    def keep(self, rows: Tensor) -> None:
        """Only these scenes go on; rows: int64, ascending. `parameters` are new, smaller ones afterwards, with
        their moments.
        """
        self.alive, self.died_at = self.alive[rows], self.died_at[rows]
        states, self.parameters = (
            [self.adamw.state.pop(p) for p in self.parameters],
            [torch.nn.Parameter(p.detach()[rows]) for p in self.parameters],
        )
        self.adamw.param_groups[0]["params"] = self.parameters
        for parameter, state in zip(self.parameters, states, strict=True):
            self.adamw.state[parameter] = {
                name: value[rows] if name in MOMENTS else value for name, value in state.items()
            }

    def state(self) -> dict[str, Tensor]:
        """Moments and counters of all parameters, by number; what `load_state` takes."""
        found: dict[str, Tensor] = {}
        for number, parameter in enumerate(self.parameters):
            found |= {f"{number}.{name}": value for name, value in self.adamw.state[parameter].items()}
        return found

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues where `state` was taken: same parameters, same scenes."""
        for number, parameter in enumerate(self.parameters):
            mine = {
                name.split(".", 1)[1]: value for name, value in state.items() if name.split(".", 1)[0] == str(number)
            }
            # The step counter lives beside the parameter, as the fused kernel wants it.
            self.adamw.state[parameter] = {name: value.to(parameter.device, copy=True) for name, value in mine.items()}


def scene_norms(gradients: Sequence[Tensor], scenes: int) -> Tensor:
    """[S]: the norm over all of a scene's gradients."""
    squares = [gradient.reshape(scenes, -1).square().sum(1) for gradient in gradients]
    return torch.stack(squares).sum(0).sqrt()
