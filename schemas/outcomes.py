"""What a stage is given of a scene, what it gives, and what becomes of what it cannot use."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.secrets import masked

BEYOND = "beyond source.limit"
"""The reason of what the job was asked not to take: counted, and not told file by file."""


@dataclass(frozen=True)
class AccountLine:
    """What became of one file, page or annotation; the columns of `ACCOUNT`."""

    kind: str
    uri: str
    outcome: str
    reason: str | None = None
    detail: str | None = None
    annotation: str | None = None
    scene_id: str | None = None
    concepts: tuple[int, ...] = ()

    def row(self) -> dict[str, Any]:
        return _told(asdict(self))


@dataclass(frozen=True)
class Failure:
    """Why one scene failed in one stage; the columns of `FAILURES` but `stage`.

    transient: of the place, not of the scene, so that it is tried again. suspect: perhaps of the process that worked on
    the scene (a GPU in an error state fails everything after), so that another one tries it again. Neither is a column:
    the table's are final.
    """

    scene_id: str
    error: str
    message: str
    traceback: str | None = None
    attempt: int = 1
    uri: str | None = None
    transient: bool = False
    suspect: bool = False

    @property
    def final(self) -> bool:
        """Whether it is the scene's own, so that another try would end in the same way."""
        return not self.transient and not self.suspect

    def row(self, stage: str) -> dict[str, Any]:
        columns = asdict(self)
        del columns["transient"], columns["suspect"]
        if not self.message.strip():  # a bare `raise ValueError`
            columns["message"] = f"{self.error} without a word"
        return {"stage": stage, **_told(columns)}


def _told(columns: dict[str, Any]) -> dict[str, Any]:
    """As it may be read by anybody, and as a table can hold it: without credentials, and with an escape for each byte
    of a name that is no UTF-8."""
    return {name: as_told(value) if isinstance(value, str) else value for name, value in columns.items()}


def as_told(text: str) -> str:
    """A text for tables and screens: without credentials, and in Unicode whatever a name of it is in."""
    return masked(text).encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass
class SceneTask:
    """What a stage gets for one scene: rows and files that earlier stages committed.

    rows: table name -> this scene's rows (`plan`, `scenes`, `concepts`, `handles` ...).
    files: what follows the scene's id in the name of the tar member -> bytes (`png`, `mask0.png`, `safetensors`,
    `0003.jpg` ...).
    """

    scene_id: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class SceneOutput:
    """What a stage makes of one scene: rows of its table and members of its tar, or a failure (or both: ingest
    keeps a row for a file that it could not read).

    files: full member name (`<key>.<suffix>`) -> bytes, in the order in which they go into the tar.
    """

    scene_id: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    failure: Failure | None = None
