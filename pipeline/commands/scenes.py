"""`unscene scenes`: every scene of an OUTPUT in a line, and finding some by the name of their file or a word."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.ledger.commits import Commit
from pipeline.ledger.plan import Plan, read_plan
from pipeline.ledger.run_record import read_record, recorded_spec, recorded_stages
from pipeline.ledger.scene_names import base_of
from pipeline.ledger.withdrawals import FOLDER
from pipeline.shards.quality import thresholds
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.stage_kinds import LEARNING, STAGE_OF
from pipeline.storage.folder import Storage
from pipeline.wording import counted, first_line
from schemas.errors import CommandError, Withdrawn

_COLUMNS = {
    "concepts": ["scene_id", "index", "word"],
    "variations": ["scene_id", "key"],
    "scores": ["scene_id", "key", "keep", "complete"],
}


@dataclass
class ListedScene:
    """What a line says of a scene.

    path: below the source, with its folders; uris: of its file, then of others with the same bytes. stage: the last
    that has made something of it, None where none has. words: of its concepts, None where a concept has none. kept,
    complete: of its scored pictures, those with `keep` and those that show every concept once; None without scores.
    chosen: whether a threshold was set, so that `kept` says something of what is seen. failure: its row of FAILURES.
    unreadable: tables of its shard that cannot be read. withdrawn: whether nothing more is to be made of it.
    """

    scene_id: str
    path: str
    uris: list[str]
    stage: str | None = None
    words: list[str | None] = field(default_factory=list)
    pictures: int = 0
    kept: int | None = None
    complete: int | None = None
    failure: Row | None = None
    unreadable: list[str] = field(default_factory=list)
    chosen: bool = False
    withdrawn: bool = False

    def is_called(self, wanted: str, base: str = "") -> bool:
        """Whether `wanted` begins its id, or stands in the path of a file of its or in a word of its concepts; in any
        case and Unicode form. base: what all paths begin with, in which nobody looks for a scene."""
        texts = [*(uri.removeprefix(base) for uri in self.uris), *(word for word in self.words if word)]
        part = _plain(wanted.removeprefix(base))
        return self.scene_id.startswith(wanted.lower()) or any(part in _plain(text) for text in texts)

    def facts(self) -> dict[str, Any]:
        """The same for `--json`."""
        failure = self.failure and {key: self.failure[key] for key in ("stage", "error", "message")}
        return {
            "scene_id": self.scene_id,
            "path": self.path,
            "uris": self.uris,
            "stage": self.stage,
            "concepts": len(self.words),
            "words": self.words,
            "pictures": self.pictures,
            "kept": self.kept,
            "complete": self.complete,
            "failure": failure,
            "unreadable": self.unreadable,
            "withdrawn": self.withdrawn,
        }

    def line(self) -> str:
        """The same for a person."""
        said = [f"through {self.stage}"] if self.stage else [] if self.failure else ["waiting"]
        if self.words:
            words = ", ".join(word for word in self.words if word)
            said.append(counted(len(self.words), "concept") + (f" ({words})" if words else ""))
        if self.pictures:
            said.append(counted(self.pictures, "picture"))
        if self.kept is not None:
            kept = f"{self.kept} kept, " if self.chosen else ""
            said.append(f"{kept}{self.complete} with every concept once")
        if self.failure is not None:
            reason = first_line(self.failure["message"], self.failure["error"])
            said.append(f"failed in {self.failure['stage']}: {reason}")
        if self.unreadable:
            said.append(f"cannot be read: {', '.join(self.unreadable)}")
        if self.withdrawn and (self.failure is None or self.failure["error"] != Withdrawn.__name__):
            said.append("withdrawn")
        return f"{self.scene_id}  {self.path}: {'; '.join(said)}"


def list_scenes(storage: Storage, wanted: str | None = None) -> Iterator[ListedScene]:
    """The scenes of an OUTPUT in the order of its plan, a shard in memory; those that `wanted` means where it is given
    (see `ListedScene.is_called`).

    Raises OutputError when there is no job, at once: whoever writes them has begun nothing yet.
    """
    spec, record = recorded_spec(storage), read_record(storage)
    earlier = Storage(spec.source.handles) if spec.source.handles else None
    stages = [*(LEARNING if earlier is not None else ()), *recorded_stages(record, spec)]
    reader, plan = OutputReader(storage, earlier), read_plan(storage)
    chosen = bool(thresholds(spec.evaluate))
    base = base_of(plan, spec.source.uri)
    repeats: dict[str, list[str]] = {}
    for row in plan.all_rows():
        if row["duplicate_of"] is not None:
            repeats.setdefault(row["scene_id"], []).append(row["uri"])

    marked = {scene for home in (storage, earlier) if home is not None for scene in home.names(FOLDER)}

    def listed() -> Iterator[ListedScene]:
        for shard in range(plan.shards):
            for scene in _of_shard(reader, plan, shard, stages, base, repeats):
                scene.chosen, scene.withdrawn = chosen, scene.scene_id in marked
                if wanted is None or scene.is_called(wanted, base):
                    yield scene

    return listed()


def scene_lines(found: Iterable[ListedScene], storage: Storage, wanted: str | None) -> Iterator[str]:
    """A line a scene, and how many there are. Raises CommandError where none is what was wanted."""
    count = failed = 0
    for scene in found:
        count, failed = count + 1, failed + (scene.failure is not None)
        yield scene.line()
    if wanted is not None and not count:
        raise CommandError(f"--find {wanted}: no scene of {storage.url} is called so; without --find all are listed")
    yield counted(count, "scene") + (f", {failed} failed" if failed else "")


def as_json(found: Iterable[ListedScene], storage: Storage) -> Iterator[str]:
    """The scenes as one JSON object, piece by piece: a scene a line."""
    yield f'{{"output": {json.dumps(storage.url)}, "scenes": ['
    for number, scene in enumerate(found):
        yield f"{',' if number else ''}\n {json.dumps(scene.facts())}"
    yield "\n]}\n"


def _of_shard(
    reader: OutputReader, plan: Plan, shard: int, stages: Sequence[str], base: str, repeats: dict[str, list[str]]
) -> Iterator[ListedScene]:
    found: dict[str, Commit] = {}
    for table, stage in STAGE_OF.items():
        if stage in stages and (commit := reader.commit(table, shard)) is not None:
            found[table] = commit
    done = {STAGE_OF[table]: frozenset(commit.done) for table, commit in found.items()}
    failures = {row["scene_id"]: row for commit in found.values() for row in commit.failures}
    tables: dict[str, dict[str, list[Row]]] = {}
    unreadable = []
    for table in _COLUMNS.keys() & found.keys():
        try:
            tables[table] = reader.rows(table, shard, columns=_COLUMNS[table])
        except UNREADABLE:
            unreadable.append(table)
    for row in plan.rows(shard):
        if row["duplicate_of"] is not None:
            continue
        scene_id = row["scene_id"]
        concepts, variations, scores = (tables.get(table, {}).get(scene_id, []) for table in _COLUMNS)
        scored = scene_id in done.get("evaluate", frozenset()) and "scores" in tables
        yield ListedScene(
            scene_id,
            row["uri"].removeprefix(base),
            [row["uri"], *repeats.get(scene_id, [])],
            next((stage for stage in reversed(stages) if scene_id in done.get(stage, frozenset())), None),
            [concept["word"] for concept in sorted(concepts, key=lambda concept: int(concept["index"]))],
            len(variations),
            sum(bool(score["keep"]) for score in scores) if scored else None,
            sum(bool(score["complete"]) for score in scores) if scored else None,
            failures.get(scene_id),
            sorted(unreadable),
        )


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
