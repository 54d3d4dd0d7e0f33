"""Fifty steps (25 of each phase) give the stored loss curves: no change of results passes unnoticed.

The other golden tests say that the engine is right; this one says that it is still what it was.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.golden.make_fifty_steps import COMMAND, FILE, STEPS, WORDS, run

RTOL = 1e-4
"""Other instruction sets and thread counts move a term by less than 1e-6, a learning rate 1 % higher by 1e-3."""


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def check(mine: list[float], wanted: list[float], what: str) -> None:
    one, other = torch.tensor(mine, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64)
    off = (one - other).abs() / other.abs().clamp_min(1e-12)
    worst = int(off.argmax())
    assert float(off[worst]) <= RTOL, (
        f"{what} has changed, most at {worst}: {wanted[worst]} -> {mine[worst]}. Results of all jobs change with it. "
        f"If that is meant, run `{COMMAND}` and say in the commit why"
    )


@pytest.mark.parametrize("scene", WORDS)
def test_the_curves_are_the_stored_ones(new: dict[str, Any], stored: dict[str, Any], scene: str) -> None:
    for column, term in enumerate(("diffusion", "attention", "prior")):
        mine, wanted = ([step[column] for step in each[scene]["curves"]] for each in (new, stored))
        assert len(mine) == len(wanted) == 2 * STEPS
        check(mine, wanted, f"the {term} term of scene {scene}")


@pytest.mark.parametrize("scene", WORDS)
def test_the_learned_weights_have_the_stored_norms(new: dict[str, Any], stored: dict[str, Any], scene: str) -> None:
    assert len(new[scene]["handle_norms"]) == len(WORDS[scene])
    check(new[scene]["handle_norms"], stored[scene]["handle_norms"], f"the norm of a handle of scene {scene}")
    check([new[scene]["lora_norm"]], [stored[scene]["lora_norm"]], f"the norm of the factors of scene {scene}")


def test_the_stored_run_is_of_both_phases(stored: dict[str, Any]) -> None:
    assert set(stored) == set(WORDS)
    for scene in stored.values():
        prior = [step[2] for step in scene["curves"]]
        assert not any(prior[:STEPS])
        assert all(prior[STEPS:])


def test_a_change_of_one_in_a_thousand_is_seen(stored: dict[str, Any]) -> None:
    wanted = stored["two"]["handle_norms"]
    check(wanted, wanted, "nothing")
    with pytest.raises(AssertionError, match=COMMAND):
        check([wanted[0], wanted[1] * 1.001], wanted, "a norm")
