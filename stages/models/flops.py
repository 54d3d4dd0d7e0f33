"""FLOPs of a model's matrix products, forward and backward, by formulas: a multiply-add is 2.

Works on tensors without numbers, so that what a model of any size costs is known in a second and no weights are loaded.
The backward pass is not run: a product costs once more for each of its two factors that needs a gradient. What is no
product (norms, activations, softmax, updates of weights) is left out, as torch's own counter leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Call:
    """What a scene, or a run, asks a model for. what: in words; times: how often; tflop: of one, with its backward pass
    if it has one; at: `tf32` where a card computes it so, `prompts` where it does and waits for its memory; else it
    is in the arithmetic of its stage."""

    what: str
    times: float
    tflop: float
    at: Literal["", "tf32", "prompts"] = ""

    @property
    def total(self) -> float:
        """TFLOP of all of them."""
        return self.times * self.tflop


class FlopCount(TorchFunctionMode):
    """Counts what is computed inside `with FlopCount() as count`. forward, backward: FLOPs."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0.0

    @property
    def step(self) -> float:
        """TFLOP of the forward and the backward pass."""
        return (self.forward + self.backward) / 1e12

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if products := _PRODUCTS.get(func):
            products(self, out, *args, **(kwargs or {}))
        return out

    def add(self, flops: float, *factors: Tensor) -> None:
        """A product of two factors."""
        self.forward += flops
        if torch.is_grad_enabled():
            self.backward += flops * sum(factor.requires_grad for factor in factors)

    def linear(self, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
        """[..., in] by [out, in]."""
        self.add(2.0 * out.numel() * weight.shape[-1], input, weight)

    def convolution(self, out: Tensor, input: Tensor, weight: Tensor, *_: Any, **__: Any) -> None:
        """[R, in, h, w] by [out, in / groups, k, k]."""
        self.add(2.0 * out.numel() * math.prod(weight.shape[1:]), input, weight)

    def transposed(self, out: Tensor, input: Tensor, weight: Tensor, *_: Any, **__: Any) -> None:
        """[R, in, h, w] by [in, out / groups, k, k]."""
        self.add(2.0 * input.numel() * math.prod(weight.shape[1:]), input, weight)

    def matmul(self, out: Tensor, input: Tensor, other: Tensor, **_: Any) -> None:
        """[..., n, m] by [..., m, k]."""
        self.add(2.0 * out.numel() * input.shape[-1], input, other)

    def added(self, out: Tensor, input: Tensor, left: Tensor, right: Tensor, **_: Any) -> None:
        """`baddbmm` and `addmm`: a product that something is added to."""
        self.matmul(out, left, right)

    def summed(self, out: Tensor, equation: str, left: Tensor, right: Tensor) -> None:
        """`einsum` of two: a product a value of every index."""
        indices = equation.partition("->")[0].replace(" ", "").split(",")
        sizes = {
            letter: size
            for part, x in zip(indices, (left, right), strict=True)
            for letter, size in zip(part, x.shape, strict=True)
        }
        self.add(2.0 * math.prod(sizes.values()), left, right)

    def attention(self, out: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> None:
        """[..., L, d], [..., S, d], [..., S, v]: weights, and the mean of the values by them."""
        rows, columns = math.prod(query.shape[:-1]), key.shape[-2]
        self.add(2.0 * rows * columns * query.shape[-1], query, key)
        weights = query if query.requires_grad else key
        self.add(2.0 * rows * columns * value.shape[-1], weights, value)


_PRODUCTS: dict[Any, Callable[..., None]] = {
    functional.linear: FlopCount.linear,
    functional.conv2d: FlopCount.convolution,
    functional.conv_transpose2d: FlopCount.transposed,
    torch.einsum: FlopCount.summed,
    functional.scaled_dot_product_attention: FlopCount.attention,
    **dict.fromkeys((torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__), FlopCount.matmul),
    **dict.fromkeys((torch.baddbmm, torch.addmm), FlopCount.added),
}
