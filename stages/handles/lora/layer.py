"""What every layer with LoRA factors does: the frozen layer, plus the change by the factors of each row's own scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from stages.handles.row_owners import RowOwners


class LoraLayer(nn.Module, ABC):
    """A frozen layer; with nothing bound it computes what it did before.

    pair: A and B of all scenes, [S, ...] each, or None; `change` says how they act.
    """

    def __init__(self, base: Any, owners: RowOwners) -> None:
        super().__init__()
        self.base, self.owners = base, owners
        self.pair: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        plain = self.base(x)
        if self.pair is None:
            return plain
        down, up = self.pair
        if self.owners.index is not None:
            down, up = down[self.owners.index], up[self.owners.index]
        return plain + self.change(x, down, up).view_as(plain)

    @abstractmethod
    def change(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """down, up: the factors of the scenes, or of each row; the result has as many elements as the output."""
