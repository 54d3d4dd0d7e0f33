"""AdamW over stacked parameters: elementwise, hence every scene has an optimizer of its own in one call.

Gradients are clipped by each scene's own norm. A scene whose loss or gradient is no longer finite stops: its
gradients are zero from then on, and no other scene sees anything of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from schemas.job import Extract

EPS = 1e-8
BETA1 = 0.9


class SceneOptimizer:
    """Fresh at the start of each phase.

    parameters: each [S, ...]; with S = 1 any shape (full tuning). alive: bool [S], which scenes still train;
    changed in place and handed on to the next phase. loss_scale keeps float16 gradients from vanishing.
    """

    def __init__(self, parameters: Sequence[Tensor], scenes: int, lr: float, settings: Extract, alive: Tensor,
                 loss_scale: float = 1.0) -> None:
        self.parameters, self.scenes, self.alive = list(parameters), scenes, alive
        self.loss_scale, self.clip_norm = loss_scale, settings.clip_norm
        self.died_at = torch.full_like(alive, -1, dtype=torch.long)
        on_gpu = self.parameters[0].device.type == "cuda"
        self.adamw = torch.optim.AdamW(self.parameters, lr=lr, betas=(BETA1, settings.adam_beta2), eps=EPS,
                                       weight_decay=settings.weight_decay, fused=on_gpu, foreach=not on_gpu)

    def step(self, losses: Tensor, number: int) -> None:
        """losses: [S] with graph; number: of the step, noted where a scene dies. No synchronisation with the
        device.
        """
        sound = self.alive & torch.isfinite(losses)
        total = torch.where(sound, losses, torch.zeros_like(losses)).sum()
        for parameter in self.parameters:
            parameter.grad = None
        (total * self.loss_scale).backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.loss_scale != 1.0:
            torch._foreach_div_(gradients, self.loss_scale)
        norms = scene_norms(gradients, self.scenes)
        sound &= torch.isfinite(norms)
        self.died_at.copy_(torch.where(self.alive & ~sound, number, self.died_at))
        self.alive.copy_(sound)
        scale = (self.clip_norm / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            per_row = (self.scenes,) + (1,) * (gradient.dim() - 1)
            gradient.mul_(scale.view(per_row)).masked_fill_(~sound.view(per_row), 0.0)
        self.adamw.step()


def scene_norms(gradients: Sequence[Tensor], scenes: int) -> Tensor:
    """[S]: the norm over all of a scene's gradients."""
    squares = [gradient.reshape(scenes, -1).square().sum(1) for gradient in gradients]
    return torch.stack(squares).sum(0).sqrt()
