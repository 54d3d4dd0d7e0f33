"""Errors that a filesystem keeps to itself: fsspec's searches leave out the folder that they could not list, and its
`isfile` says no where nobody answered. A source listed so lacks pictures, and nothing tells."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from stages.transient import comes_of_network_failure

_ASKED = ("_ls", "_info", "_lsdir")
_ASKED_PLAINLY = ("ls", "info")
"""What the searches of an asynchronous filesystem, and of a plain one, ask by."""


@contextlib.contextmanager
def all_heard(fs: Any) -> Iterator[None]:
    """Raises, at the end of what is done inside, the first network failure that `fs` met there and did not raise."""
    met: list[Exception] = []
    names = [name for name in (_ASKED if getattr(fs, "async_impl", False) else _ASKED_PLAINLY) if hasattr(fs, name)]
    for name in names:
        setattr(fs, name, _noting(getattr(fs, name), met))
    try:
        yield
    finally:
        for name in names:
            with contextlib.suppress(AttributeError):
                delattr(fs, name)
    if met:
        raise met[0]


def _noting(ask: Callable[..., Any], met: list[Exception]) -> Callable[..., Any]:
    """`ask`, with its network failures kept in `met` too."""

    def note(error: Exception) -> None:
        if comes_of_network_failure(error):
            met.append(error)

    if inspect.iscoroutinefunction(ask):

        async def asked(*args: Any, **kwargs: Any) -> Any:
            try:
                return await ask(*args, **kwargs)
            except Exception as error:
                note(error)
                raise

        return asked

    def asked_plainly(*args: Any, **kwargs: Any) -> Any:
        try:
            return ask(*args, **kwargs)
        except Exception as error:
            note(error)
            raise

    return asked_plainly
