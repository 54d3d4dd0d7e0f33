"""LoRA factors of many scenes around one frozen convolution, all scenes in one grouped convolution.

The factors have PEFT's shapes: A is a convolution like the base's (its kernel, stride and padding) down to `rank`
channels, B a 1x1 convolution up.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.handles.lora.layer import LoraLayer


class LoraConv(LoraLayer):
    """A frozen convolution plus the factors of the row's own scene.

    pair: (A [S, r, in, k, k], B [S, out, r, 1, 1]) or None. Input and output: [R, features, h, w].
    """

    def change(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        scenes, rank = down.shape[:2]
        # Each scene's channels are one group: [b, S * in, h, w], so no scene sees another's.
        grouped = x.unflatten(0, (scenes, -1)).transpose(0, 1).flatten(1, 2)
        narrow = functional.conv2d(
            grouped, down.flatten(0, 1), None, self.base.stride, self.base.padding, self.base.dilation, groups=scenes
        )
        narrow = narrow.unflatten(1, (scenes, rank)).transpose(0, 1).flatten(3)
        return torch.matmul(up.flatten(2)[:, None], narrow)
