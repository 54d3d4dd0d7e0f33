"""What every stage is: set up once in a process, then scenes in, outputs out. No Ray, no storage layout."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from schemas.job import JobSpec
from schemas.records import Failure, SceneOutput, SceneTask


class Stage(Protocol):
    """One stage of the job, in one process.

    name: folder of its results under OUTPUT and key of its commits.
    table: name of its Arrow schema in `schemas.records.TABLES`.
    needs: tables whose rows each task carries; `files`: tables whose tar members each task carries.
    """

    name: ClassVar[str]
    table: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[str, ...]]

    def __init__(self, spec: JobSpec, shared: str) -> None:
        """`shared`: fsspec URL of a folder for what is computed once a run (the prior set)."""
        ...

    def prepare(self) -> None:
        """Once a run, in one worker, before any other worker of the stage starts: fill `shared`. Idempotent."""
        ...

    def setup(self) -> None:
        """Load models. Called once in each worker, after `prepare`."""
        ...

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """Exactly one output per task. A scene that cannot be done is an output with a failure, not an exception."""
        ...


def failed(scene_id: str, error: BaseException) -> SceneOutput:
    """The output of a scene whose work raised `error`."""
    trace = "".join(traceback.format_exception(error))
    failure = Failure(scene_id, type(error).__name__, str(error) or repr(error), trace[-8000:])
    return SceneOutput(scene_id, failure=failure)
