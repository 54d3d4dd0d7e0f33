"""What every training script shares: a budget of scenes, and numbers in the format that the processor is fast with."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.training.precision import cpu_multiplies_bfloat16
from models.training.progress import Budget


def test_a_budget_of_scenes_does_not_know_the_clock() -> None:
    budget = Budget(minutes=1e-9, save_every=1, scenes=800)
    assert [budget.tick(seen) for seen in (0, 200, 800, 900)] == [0, 0.25, 1, 1]
    assert Budget(minutes=1e-9, save_every=1).tick() == 1


@pytest.mark.parametrize(("flags", "pays"), [("fpu avx512f avx512_bf16", True), ("fpu avx2 avx512f", False)])
def test_bfloat16_is_for_processors_that_have_it(tmp_path: Path, flags: str, pays: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n", encoding="ascii")
    assert cpu_multiplies_bfloat16(cpuinfo) is pays
    assert cpu_multiplies_bfloat16(tmp_path / "elsewhere") is False
