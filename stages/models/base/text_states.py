"""What the UNet is told about its prompts: one row a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TextStates:
    """Encoded prompts, all with or all without `pooled`.

    states: [R, T, d], read by the cross-attention. pooled: [R, p], added to the time embedding of SDXL's
    UNet; None for SD 1.x / 2.x.
    """

    states: Tensor
    pooled: Tensor | None = None

    def row(self, index: int) -> TextStates:
        """One prompt, as [1, T, d] and [1, p]."""
        return self._each(lambda x: x[index : index + 1])

    def expand(self, rows: int) -> TextStates:
        """One prompt [1, ...] -> [rows, ...], without a copy."""
        return self._each(lambda x: x.expand(rows, *x.shape[1:]))

    def zeros_like(self) -> TextStates:
        return self._each(torch.zeros_like)

    def interleave(self, other: TextStates) -> TextStates:
        """[S, ...] twice -> [S * 2, ...]: a row of self, then one of other in self's dtype."""
        pooled = None
        if self.pooled is not None and other.pooled is not None:
            pooled = _interleaved(self.pooled, other.pooled)
        return TextStates(_interleaved(self.states, other.states), pooled)

    @staticmethod
    def cat(parts: Sequence[TextStates]) -> TextStates:
        """The rows of all parts, in order."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return TextStates(torch.cat([part.states for part in parts]), torch.cat(pooled) if pooled else None)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TextStates:
        return TextStates(change(self.states), None if self.pooled is None else change(self.pooled))


def _interleaved(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([x, y.to(x.dtype)], dim=1).flatten(0, 1)
