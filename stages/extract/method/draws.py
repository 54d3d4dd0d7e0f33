"""Every random number of a scene's training, each purpose from a stream of its own (invariant 5).

A stream is named by (job seed, scene_id, phase, purpose), so a scene draws the same numbers whoever shares
its batch, and a setting that leaves one purpose out (no flips, no prior) leaves the other purposes' numbers
as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.extract.method.union_sampling import draw_flip, draw_subset
from stages.streams import stream


@dataclass(frozen=True)
class Draw:
    """One scene's numbers for one step; latents are [C, h, w], float32, on the CPU; colour: RGB in [-1, 1]."""

    subset: tuple[int, ...]
    flip: bool
    timestep: int
    noise: Tensor
    vae_noise: Tensor
    prior_index: int = 0
    prior_timestep: int = 0
    prior_noise: Tensor | None = None
    colour: tuple[float, ...] | None = None


class SceneDraws:
    """The streams of one scene in one phase.

    concepts: N; latent_shape: (C, h, w); timesteps: training timesteps of the schedule; prior_images: size of
    the prior set, 0 where the phase has no prior term; colour: whether a step has a random colour.
    """

    PURPOSES = ("union", "timestep", "noise", "vae", "prior", "prior_timestep", "prior_noise", "colour")

    def __init__(
        self,
        seed: int,
        scene_id: str,
        phase: int,
        concepts: int,
        latent_shape: Sequence[int],
        timesteps: int,
        *,
        union: bool = True,
        flip: bool = True,
        prior_images: int = 0,
        colour: bool = False,
    ) -> None:
        self.streams = {p: stream(seed, scene_id, f"extract/phase{phase}/{p}") for p in self.PURPOSES}
        self.concepts, self.latent_shape, self.timesteps = concepts, tuple(latent_shape), timesteps
        self.union, self.flip, self.prior_images, self.colour = union, flip, prior_images, colour

    def next(self) -> Draw:
        """The next step's numbers."""
        streams = self.streams
        subset = draw_subset(self.concepts, streams["union"], self.union)
        flip = draw_flip(streams["union"]) and self.flip
        prior = bool(self.prior_images)
        return Draw(
            subset,
            flip,
            self._integer(self.timesteps, "timestep"),
            self._normal("noise"),
            self._normal("vae"),
            prior_index=self._integer(self.prior_images, "prior") if prior else 0,
            prior_timestep=self._integer(self.timesteps, "prior_timestep") if prior else 0,
            prior_noise=self._normal("prior_noise") if prior else None,
            colour=self._colour() if self.colour else None,
        )

    def state(self) -> dict[str, Tensor]:
        """Where every stream stands; what `load_state` takes."""
        return {purpose: generator.get_state() for purpose, generator in self.streams.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for purpose, generator in self.streams.items():
            generator.set_state(state[purpose])

    def _colour(self) -> tuple[float, ...]:
        return tuple((torch.rand(3, generator=self.streams["colour"]) * 2 - 1).tolist())

    def _integer(self, below: int, purpose: str) -> int:
        return int(torch.randint(0, below, (), generator=self.streams[purpose]))

    def _normal(self, purpose: str) -> Tensor:
        return torch.randn(self.latent_shape, generator=self.streams[purpose])
