"""Which scene each row of the batch in the model belongs to: read by the handle embedding and the LoRA
factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class RowOwners:
    """Rows are either `scenes` blocks of equal size in scene order (training), or each named by `index` [R].

    One object is shared by all modules of a model and set before each forward pass.
    """

    scenes: int = 1
    index: Tensor | None = None

    def blocks(self, scenes: int) -> None:
        """Rows [scenes * b, ...] are ordered by scene."""
        self.scenes, self.index = scenes, None

    def rows(self, index: Tensor, scenes: int) -> None:
        """Row i belongs to scene index[i]; index: int64 [R]."""
        self.scenes, self.index = (1, None) if scenes == 1 else (scenes, index)

    def spread(self, per_scene: Tensor, rows: int) -> Tensor:
        """per_scene: [S, ...] -> [rows, ...], each row its own scene's entry."""
        if self.index is not None:
            return per_scene[self.index]
        return torch.repeat_interleave(per_scene, rows // self.scenes, dim=0, output_size=rows)
