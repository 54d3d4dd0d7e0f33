"""What every stage is: set up once in a process, then scenes in, outputs out. No Ray, no storage layout."""

from __future__ import annotations

import os
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput, SceneTask
from stages.transient import is_suspect, is_transient

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where an object lay in the memory of one process: it says nothing, and is another one each time."""
_HERE = f"{Path(__file__).parent.parent}{os.sep}"
"""Where this code lies: on a cluster in a folder of Ray's session, another one with each head."""


def tell_nobody(word: dict[str, Any]) -> None:
    """The progress of a stage that nobody watches."""


def none_withdrawn() -> frozenset[str]:
    """The scenes that were taken out of a job that nobody can take any out of: none."""
    return frozenset()


class Parting:
    """Word to a stage that its process is about to be ended, and its answer: asked from one thread while another is at
    the work. A stage that keeps no states of its work never looks."""

    def __init__(self) -> None:
        self._asked, self._answered = threading.Event(), threading.Event()
        self._kept = False

    @property
    def due(self) -> bool:
        """Whether the state of the work is to be kept at once."""
        return self._asked.is_set() and not self._answered.is_set()

    def answer(self, kept: bool) -> None:
        """The state was kept, or could not be. Says nothing where nobody has asked."""
        if self.due:
            self._kept = kept
            self._answered.set()

    def ask(self, within_s: float) -> bool:
        """Whether the state was kept, as soon as it was, or the time is over. Unit: seconds."""
        self._asked.set()
        self._answered.wait(within_s)
        return self._kept


@dataclass(frozen=True)
class StageContext:
    """What a stage is given by the process that it runs in; it knows nothing else of its surroundings.

    shared: fsspec URL of a folder for what is computed once a run (the prior set), the same for all workers.
    progress: told within a unit, every few seconds, how far it is: a few numbers by name, such as {"share": 0.62,
    "phase": 2, "step": 120, "steps": 800} or {"share": 0.25, "picture": 2, "pictures": 8}. share: of the whole unit's
    work, 0 to 1, as near as the stage can tell. It is not to raise.
    withdrawn: asked within a unit, every few seconds, for the ids of scenes that are no longer wanted. A stage that
    works on for long leaves them out from then on; a short one need not ask.
    parting: looked at within a unit by a stage that keeps states of its work.
    """

    shared: str
    progress: Callable[[dict[str, Any]], None] = tell_nobody
    withdrawn: Callable[[], frozenset[str]] = none_withdrawn
    parting: Parting = field(default_factory=Parting)


class Stage(Protocol):
    """One stage of the job, in one process.

    name: folder of its results under OUTPUT and key of its commits.
    table: name of its Arrow schema in `schemas.records.TABLES`.
    needs: tables whose rows each task carries; `files`: tables whose tar members each task carries.
    """

    name: ClassVar[str]
    table: ClassVar[str]

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def files(self) -> tuple[str, ...]: ...

    def __init__(self, spec: JobSpec, context: StageContext) -> None: ...

    def prepare(self) -> None:
        """Once a run, in one worker, before any other worker of the stage starts: fill `context.shared`. Idempotent."""
        ...

    def setup(self) -> None:
        """Load models. Called once in each worker, after `prepare`."""
        ...

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """Exactly one output per task. A scene that cannot be done is an output with a failure, not an exception."""
        ...


def failed(scene_id: str, error: BaseException) -> SceneOutput:
    """The output of a scene whose work raised `error`: the same row for the same fault, whichever process it met."""
    trace = "".join(traceback.format_exception(error)).replace(_HERE, "")
    failure = Failure(
        scene_id,
        type(error).__name__,
        _ADDRESS.sub("", str(error) or repr(error)),
        _ADDRESS.sub("", trace)[-8000:],
        transient=is_transient(error),
        suspect=is_suspect(error),
    )
    return SceneOutput(scene_id, failure=failure)
