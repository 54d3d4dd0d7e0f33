"""What a Ray error says of its cause."""

from __future__ import annotations

from ray.exceptions import RayTaskError


def cause_of(error: BaseException) -> str:
    """The first telling line of a Ray error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if isinstance(error, RayTaskError) and lines else (lines[0][:300] if lines else repr(error))
