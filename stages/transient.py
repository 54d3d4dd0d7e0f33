"""Errors of the place, not of the scene: memory that ran out, a network that failed. Tried again, they may pass.

Asked of every error in every stage, so nothing is imported for the question: an error of torch's or of aiohttp's can
only come from where they are loaded already. (Workers of the ingest stage are many, and load no torch.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from schemas.errors import SceneError


def is_transient(error: BaseException) -> bool:
    """Whether the scene is worth another try. A SceneError says so itself."""
    if isinstance(error, SceneError):
        return error.transient
    return is_out_of_memory(error) or is_network_failure(error)


def is_suspect(error: BaseException) -> bool:
    """Whether the process that it was raised in may be what is wrong: after an error of the GPU, or with its memory
    full, everything fails there. A SceneError is the scene's, and a connection that failed is nobody's."""
    return not isinstance(error, SceneError) and not is_network_failure(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether fewer scenes at once may help."""
    if isinstance(error, (MemoryError, _loaded("torch", "OutOfMemoryError"))):
        return True
    if not isinstance(error, RuntimeError) or "torch" not in sys.modules:
        return False
    if not all(isinstance(argument, str) for argument in error.args):  # accelerate takes them for texts
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    return should_reduce_batch_size(error)


def is_network_failure(error: BaseException) -> bool:
    """Whether a connection failed, was cut or took too long. A file that is not there, or is forbidden, is none."""
    return isinstance(
        error,
        (
            ConnectionError,
            TimeoutError,
            _loaded("aiohttp", "ClientConnectionError"),
            _loaded("aiohttp", "ClientPayloadError"),
            _loaded("requests.exceptions", "ConnectionError"),
            _loaded("requests.exceptions", "Timeout"),
        ),
    )


def comes_of_network_failure(error: BaseException) -> bool:
    """Whether one stands behind `error`: filesystems raise FileNotFoundError where they could not ask."""
    return any(map(is_network_failure, behind(error)))


def behind(error: BaseException) -> Iterator[BaseException]:
    """The error itself and what it was raised from or during, each once: an error can be its own cause."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and not any(found is one for one in seen):
        seen.append(found)
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _loaded(module: str, name: str) -> Any:
    """A module's class for isinstance, or no class at all while the module is not loaded."""
    return getattr(sys.modules.get(module), name, ())
