"""Invariant 5: a scene's random streams are named by job seed, scene and purpose, and by nothing else."""

from __future__ import annotations

import itertools

import torch

from stages.streams import stream, stream_seed


def test_the_same_name_gives_the_same_draws() -> None:
    first, second = (torch.randn(8, generator=stream(7, "00ff", "extract/noise")) for _ in range(2))
    assert torch.equal(first, second)


def test_another_seed_scene_or_purpose_gives_other_draws() -> None:
    names = itertools.product((0, 1), ("00ff", "00fe"), ("extract/noise", "extract/lora"))
    assert len({stream_seed(*name) for name in names}) == 8


def test_a_stream_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert stream_seed(0, "0123456789abcdef", "extract/noise") == 168919678598909855
