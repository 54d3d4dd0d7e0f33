"""Random streams that belong to a scene (invariant 5): named by (job seed, scene_id, purpose), never by position."""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, scene_id: str, purpose: str) -> int:
    """A 63-bit seed from the job's seed, the scene and the purpose, by SHA-256."""
    digest = hashlib.sha256(f"{seed}/{scene_id}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, scene_id: str, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of one scene. Draws are made on the CPU so that devices agree."""
    return torch.Generator("cpu").manual_seed(stream_seed(seed, scene_id, purpose))
