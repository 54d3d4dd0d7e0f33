"""A linear layer with factors of many scenes, applied as one batched matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.handles.lora.layer import LoraLayer


class LoraLinear(LoraLayer):
    """A frozen linear layer plus the factors of the row's own scene.

    pair: (A [S, r, in], B [S, out, r]) or None. Input and output: [R, T, features].
    """

    def change(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        grouped = x.reshape(down.shape[0], -1, x.shape[-1])
        return torch.bmm(torch.bmm(grouped, down.mT), up.mT)
