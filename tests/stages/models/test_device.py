"""The arithmetic of instruments: TF32 on a GPU while they look, and nothing else moved."""

from __future__ import annotations

import pytest
import torch

from stages.models.device import tf32_products


def test_products_are_tf32_on_a_gpu_and_meanwhile() -> None:
    before = torch.get_float32_matmul_precision()
    with tf32_products(torch.device("cuda")):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(ValueError, match="of a picture"), tf32_products(torch.device("cuda")):
        raise ValueError("of a picture")
    assert torch.get_float32_matmul_precision() == before


def test_a_cpu_computes_as_before() -> None:
    before = torch.get_float32_matmul_precision()
    with tf32_products(torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == before
