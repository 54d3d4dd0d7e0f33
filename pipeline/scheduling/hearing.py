"""A worker's own warnings, kept for the driver: what the code that works on a scene logs, with the scene it is about.

They travel with the answer for their unit, a few short lines of it; Ray's files on the worker's machine have them too.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from pipeline.watching.watcher import Level, Said

MOST = 20
"""Warnings of one unit that are sent; the others are counted."""
_LONGEST = 500
_OURS = ("stages", "pipeline")
"""Whose warnings: ours. Those of the libraries below are for Ray's files."""


class Hearing(logging.Handler):
    """Keeps the first warnings since it was last emptied, and how many came after them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[Said] = []
        self._more = 0
        self._scene_ids: Sequence[str] = ()

    @contextlib.contextmanager
    def open(self, scene_ids: Sequence[str] = ()) -> Iterator[None]:
        """Listens to what is logged inside. scene_ids: of the unit that is worked on, one of which a text may name;
        where there is only one, it is about that one."""
        self._scene_ids = scene_ids
        loggers = [logging.getLogger(name) for name in _OURS]
        for logger in loggers:
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: what one has to say of a scene must not cost the scene."""
        if not logging.root.handlers and logging.lastResort is not None:
            logging.lastResort.handle(record)  # where it would have gone if nobody listened
        try:
            text = " ".join(record.getMessage().split())
        except Exception:
            text = str(record.msg)
        if len(self._said) >= MOST:
            self._more += 1
        else:
            level: Level = "error" if record.levelno >= logging.ERROR else "warning"
            shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
            self._said.append(Said(shown, level, self._meant(text)))

    def take(self) -> tuple[Said, ...]:
        """What was said since the last time."""
        found = self._said
        if self._more:
            found.append(Said(f"{self._more} more warnings are in Ray's log of this worker"))
        self._said, self._more = [], 0
        return tuple(found)

    def _meant(self, text: str) -> str | None:
        if len(self._scene_ids) == 1:
            return self._scene_ids[0]
        return next((scene_id for scene_id in self._scene_ids if scene_id in text), None)
