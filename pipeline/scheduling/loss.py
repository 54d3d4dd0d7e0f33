"""Whether a process was lost with its whole machine, for which nothing that it worked on is to blame."""

from __future__ import annotations

import ray
from ray.exceptions import ActorUnavailableError, RayError

_NODE_DIED = "its node has died"
"""Ray's own words; it has no class for it."""


def lost_with_its_node(error: RayError, node: str | None) -> bool:
    """Whether the node of a process is gone, preempted or out of reach. node: its id, where it is known."""
    if getattr(error, "preempted", False) or isinstance(error, ActorUnavailableError) or _NODE_DIED in str(error):
        return True
    return node is not None and node not in {found["NodeID"] for found in ray.nodes() if found["Alive"]}
