"""Files that are streamed, and have their name when they are whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, TypeVar

from pipeline.dataset.parts import OWN
from pipeline.storage.folder import Storage

Writer = TypeVar("Writer")


@contextlib.contextmanager
def whole_file(into: Storage, name: str) -> Iterator[BinaryIO]:
    """A file to stream into; an error leaves nothing under `name`."""
    unnamed = f"{OWN}/{name.replace('/', '_')}"
    with into.open_write(unnamed) as file:
        yield file
    into.publish(unnamed, name)
    into.delete(unnamed)


class Opened:
    """A part's one file, opened when there is a picture: a file of none would stop readers."""

    def __init__(self, into: Storage, name: str) -> None:
        self._into, self._name = into, name
        self._stack = contextlib.ExitStack()
        self.begun = False

    def through(self, writer: Callable[[BinaryIO], AbstractContextManager[Writer]]) -> Writer:
        """Opens it, for what `writer` makes of it: closed before it."""
        self.begun = True
        file = self._stack.enter_context(whole_file(self._into, self._name))
        return self._stack.enter_context(writer(file))

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """Gives the file its name at the end, unless there is an error."""
        with self._stack:
            yield

    @property
    def files(self) -> dict[str, int]:
        """Its name -> its size in bytes, once it is closed; empty where no picture came."""
        folder, _, name = self._name.rpartition("/")
        return {self._name: self._into.names(folder)[name]} if self.begun else {}
