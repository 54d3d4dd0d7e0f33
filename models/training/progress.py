"""What every training script shares in shape: a budget, a learning rate over it, an average, a state file.

A budget is in minutes, because that is what a small machine has, or in scenes, for a run of many sittings on a machine
that has other work; the learning rate follows the share of it that is used up, so that it ends at zero either way. What
is used is kept in the state file, so that a stopped run takes up where it was.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn


def training_arguments(
    description: str, *, minutes: float, batch: int, learning_rate: float
) -> argparse.ArgumentParser:
    """The options that all scripts have, with this model's defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--work", type=Path, required=True, help="folder for state and sample sheets")
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="minutes of training in all, resumed ones included"
    )
    parser.add_argument("--batch", type=int, default=batch, help="scenes a step")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help="at the start; it ends at zero")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that render scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes between states")
    parser.add_argument("--no-resume", dest="resume", action="store_false", help="ignore the state in --work")
    return parser


@dataclass
class Budget:
    """How much training there is, how much is used up, and when the next state is due."""

    minutes: float
    save_every: float
    """Minutes."""
    scenes: int | None = None
    """Scenes to see, instead of minutes to spend."""
    used: float = 0.0
    """Minutes, over all resumed runs."""
    _last: float = field(default_factory=time.monotonic)
    _saved_at: float = 0.0

    def tick(self, seen: int = 0) -> float:
        """Count the time since the last tick; returns the share of the budget used, 0..1. seen: scenes, so far."""
        now = time.monotonic()
        self.used += (now - self._last) / 60
        self._last = now
        return min(1.0, seen / self.scenes if self.scenes else self.used / self.minutes)

    def tick_from_now(self) -> None:
        """Leave the time since the last tick out of the count: it was preparation."""
        self._last = time.monotonic()

    def resume(self, used: float) -> None:
        """Go on from `used` minutes."""
        self.used = self._saved_at = used

    def state_due(self) -> bool:
        """True once every `save_every` minutes."""
        if self.used - self._saved_at < self.save_every:
            return False
        self._saved_at = self.used
        return True


def set_learning_rate(
    optimizer: torch.optim.Optimizer, peak: float, step: int, share: float, warm_up: int = 200
) -> None:
    """Linear warm-up over `warm_up` steps, then linear decay to zero over the budget; a group's own `scale` multiplies
    it where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = peak * group.get("scale", 1.0) * min(1.0, (step + 1) / warm_up) * max(0.0, 1.0 - share)


class Average:
    """Exponential moving average of a model's floating-point parameters; the weights that are kept."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Early in the run the decay is smaller, (1 + step) / (10 + step), so that the start is forgotten."""
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        values, fresh = list(self.values.values()), [p.detach() for _, p in model.named_parameters()]
        torch._foreach_lerp_(values, fresh, weight)

    def load(self, values: dict[str, torch.Tensor]) -> None:
        """Go on from the values of a state file, on whatever device they came."""
        for name, value in values.items():
            self.values[name].copy_(value)

    def copy_to(self, model: nn.Module) -> None:
        """Write the average into `model`."""
        model.load_state_dict(self.values, strict=False)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state file so that a reader finds the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    torch.save(state, fresh)
    os.replace(fresh, path)


def load_state(path: Path, resume: bool) -> dict[str, Any] | None:
    """The last state, or None when there is none or `resume` is off."""
    if not resume or not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)
