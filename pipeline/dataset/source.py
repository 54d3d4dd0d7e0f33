"""An OUTPUT as a data set is made of it: the scenes of a shard, with what is known of their concepts and pictures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.ledger.commits import Commit, restored
from pipeline.ledger.run_record import recorded_spec
from pipeline.ledger.withdrawals import FOLDER
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.watching.snapshot import command_of, read_snapshot
from schemas.errors import CommandError, OutputError
from schemas.records import EMPTY, OUTSIDE_CROP, TOO_SMALL

BACKGROUND = "background"
"""`origin` of a concept that is no thing: what no other covers. It gets no box and no mask."""
CROWDED = "real, with more masks than concepts (segment.max_concepts)"
NOT_USED = "real, with a thing whose mask was not used (crowds that are skipped, annotations without a segmentation)"
_CONCEPTS = ["scene_id", "index", "word", "origin", "area", "given"]
_SCORES = ["scene_id", "key", "concepts", "found", "keep", "reason", "file", "mask"]
_IDS = ["instance", "instances", "together"]
"""Columns of the scores that an older Unscene did not write."""


@dataclass(frozen=True)
class SceneRows:
    """A scene: its concepts by index, without masks; its pictures, by key, and their scores where there are some.
    unlabelled: why its own picture shows things that are no concepts, in a few words to count by; None where it does
    not, as far as its masks tell. placed: keys of the pictures that were placed into a real one; given: of those among
    them where that is not its own. crowds: indices of the concepts whose annotation is marked iscrowd, as far as the
    tables know."""

    scene_id: str
    shard: int
    concepts: list[Row]
    pictures: list[str]
    scores: dict[str, Row]
    unlabelled: str | None = None
    placed: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    crowds: frozenset[int] = frozenset()


class DatasetSource:
    """storage: of an OUTPUT. spec: of its job; withdrawn: scenes that have been taken out. new: whether the new
    pictures and their scores are wanted. unmarked: whether one of the masks that were looked at does not say if it is
    marked iscrowd, as an older Unscene wrote them.

    Raises OutputError when there is no job, CommandError when it has nothing to make a data set of.
    """

    def __init__(self, storage: Storage, new: bool) -> None:
        self.storage, self.spec, self._new, self.unmarked = storage, recorded_spec(storage), new, False
        given = self.spec.source.handles
        self.reader = OutputReader(storage, Storage(given) if given else None)
        self.withdrawn = frozenset(
            scene for home in {storage, self.reader.home("concepts")} for scene in home.names(FOLDER)
        )
        self.shards = self.reader.shards("concepts")
        home = self.reader.home("concepts").url
        if not self.shards:
            raise CommandError(f"{home} has no concepts yet; `unscene status` says how far it is")
        if new:
            self.scored = set(self.reader.shards("scores"))
            self._check_scored()

    def _check_scored(self) -> None:
        if self.scored:
            return
        url, alone = self.storage.url, "or take the source's own pictures alone by --scenes only"
        if self.spec.evaluate.enabled:
            raise CommandError(f"{url} has no scores yet, which hold the masks of new pictures; wait for them, {alone}")
        raise CommandError(
            f"{url} has no scores, which hold the masks of new pictures; draw and score them in an output of their "
            f"own ({self.anew()}), {alone}"
        )

    def anew(self) -> str:
        """The command of a job that draws and scores what this OUTPUT's handles know."""
        given = self.spec.source.handles or self.storage.url
        run = command_of(read_snapshot(self.storage))
        run = run if run.startswith("unscene run ") else "unscene run SPEC"  # `make demo` takes no options
        ours = (f"source.handles={given}", "source.uri=null", "evaluate.enabled=true", "output=ANOTHER")
        return f"`{_with(run, ours)}`"

    def words(self) -> Iterator[tuple[str, str | None]]:
        """(scene, word) of every concept that is a thing, in the order of shards."""
        for rows in in_order(self._concepts, self.shards):
            for scene_id, concepts in rows.items():
                if scene_id not in self.withdrawn:
                    yield from ((scene_id, row["word"]) for row in concepts if row["origin"] != BACKGROUND)

    def scenes(self, shard: int) -> list[SceneRows]:
        """The scenes of a shard that have concepts, in its order. Raises OutputError where it cannot be read."""
        concepts = self._concepts(shard)
        given = self.rows("scenes", shard, columns=["scene_id", "words", "masks"])
        masks = (mask for rows in given.values() for row in rows for mask in row["masks"] or ())
        self.unmarked |= any(mask["number"] is not None and mask.get("crowd") is None for mask in masks)
        pictures: dict[str, list[Row]] = {}
        scores: dict[str, list[Row]] = {}
        if self._new and self.reader.commit("variations", shard) is not None:
            pictures = self.rows("variations", shard, columns=["scene_id", "key", "mode", "into"])
            if shard in self.scored:
                scores = self.rows("scores", shard, columns=[*_SCORES, *_IDS])
        return [
            SceneRows(
                scene_id,
                shard,
                sorted(rows, key=lambda row: int(row["index"])),
                [row["key"] for row in pictures.get(scene_id, [])],
                {row["key"]: row for row in scores.get(scene_id, [])},
                _unlabelled(rows, given[scene_id][0]),
                frozenset(row["key"] for row in pictures.get(scene_id, []) if row.get("mode") == "place"),
                frozenset(row["key"] for row in pictures.get(scene_id, []) if row.get("into")),
                _crowds(rows, given[scene_id][0]),
            )
            for scene_id, rows in concepts.items()
        ]

    def _concepts(self, shard: int) -> dict[str, list[Row]]:
        return self.rows("concepts", shard, columns=_CONCEPTS)

    def rows(
        self, table: str, shard: int, scene_ids: Sequence[str] | None = None, columns: list[str] | None = None
    ) -> dict[str, list[Row]]:
        """Scene -> its rows. Raises OutputError where they cannot be read."""
        try:
            return self.reader.rows(table, shard, scene_ids, columns)
        except UNREADABLE as error:
            raise OutputError(
                f"{self.reader.home(table).url}: shard {shard} of {table} cannot be read ({type(error).__name__}: "
                f"{error}); {self._remedy(table, shard)}, and type the same command"
            ) from error

    def _remedy(self, table: str, shard: int) -> str:
        home, commit = self.reader.home(table), self.reader.commit(table, shard)
        return restored(home, None if commit is None else (commit.stage, commit.shard, commit.round))

    def commit(self, table: str, shard: int) -> Commit | None:
        """The commit of one shard of a table, with the places of its tar's members."""
        return self.reader.commit(table, shard)


def _unlabelled(concepts: Sequence[Row], scene: Row) -> str | None:
    """Why things that the scene's masks name are no concepts; None where each is one, or is not in the square."""
    for mask in scene.get("masks") or ():
        if mask["reason"] and str(mask["reason"]).partition(": ")[0] not in (OUTSIDE_CROP, EMPTY, TOO_SMALL):
            return NOT_USED
    own = sum(row["origin"] == "own" for row in concepts)
    return None if own >= len(scene["words"] or ()) else CROWDED


def _crowds(concepts: Sequence[Row], scene: Row) -> frozenset[int]:
    """Indices of the concepts whose annotation is marked iscrowd."""
    marked = {mask["name"] for mask in scene.get("masks") or () if mask.get("crowd")}
    return frozenset(int(row["index"]) for row in concepts if row.get("given") in marked)


def _with(command: str, overrides: Sequence[str]) -> str:
    """The command with `--set`s in the place of those that it has for the same fields, and for all scenes through all
    stages."""
    fields = {override.partition("=")[0] for override in overrides}
    words = shlex.split(command)
    kept = words[:1]
    for before, word in pairwise(words):
        if word in ("--set", "--limit", "--until") or before in ("--limit", "--until"):
            continue
        if before == "--set":
            if word.partition("=")[0] not in fields:
                kept += [before, word]
        else:
            kept.append(word)
    return shlex.join([*kept, *(word for override in overrides for word in ("--set", override))])
