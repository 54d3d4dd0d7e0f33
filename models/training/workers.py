"""Several training processes that act as one: each takes its part of every batch, and their gradients are averaged.

On a shared CPU two processes of one thread do far more than one process of two threads, which waits at every operation
for whichever thread was put aside; on a machine of several GPUs it is the usual data parallelism. Start them with

    python -m torch.distributed.run --nproc-per-node 2 -m models.training.base.unet ...

Without a launcher there is one worker and nothing here costs anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from models.training.pools import end_with_parent


@dataclass(frozen=True)
class Workers:
    """This process's rank among `count`."""

    rank: int
    count: int

    @property
    def leads(self) -> bool:
        """True for the one that prints, saves and keeps the time."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all workers are here."""
        if self.count > 1:
            distributed.barrier()

    def average_gradients(self, model: nn.Module, loss: Tensor, share: float) -> tuple[Tensor, float]:
        """Replace every gradient by its mean over the workers.

        Returns the mean loss and the leader's `share` of the budget, so that all workers stop at the same step.
        """
        if self.count == 1:
            return loss, share
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        shares = loss.new_tensor([share * self.count if self.leads else 0.0])
        flat = torch.cat([*(g.flatten() for g in gradients), loss[None], shares])
        distributed.all_reduce(flat)
        flat /= self.count
        for gradient, fresh in zip(gradients, flat.split([g.numel() for g in gradients] + [2]), strict=False):
            gradient.copy_(fresh.view_as(gradient))
        return flat[-2], float(flat[-1])


def join_workers(device: str) -> Workers:
    """Join the group that the launcher made, or stand alone where there is no launcher."""
    if "WORLD_SIZE" not in os.environ:
        return Workers(0, 1)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # else the parent may be a shell that is left
        end_with_parent()
    # Others may wait for hours: the leader renders the scenes, and a shared CPU has other work.
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=12))
    return Workers(distributed.get_rank(), distributed.get_world_size())
