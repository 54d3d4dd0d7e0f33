"""Files that changed since they were planned: seen by what a listing tells, made sure of by their bytes.

A change of a picture makes another scene in its place, since a scene is its bytes; a change of its masks makes the same
scene anew. A picture that lies under another address now keeps its place and its results. Whatever it is, the row of
the plan is written anew, and its shard goes through one more round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.ledger.commits import read_commit
from pipeline.ledger.plan import Plan, Row, content_of
from pipeline.ledger.rounds import Ledger
from pipeline.storage.many import in_order
from stages.ingest.census import Picked, Read
from stages.telling import tell

_SIGNS = ("stamp", "masks", "masks_stamp", "entry")
_NOT_AS_PLANNED = ("FileChanged", "FileUnreadable")


@dataclass(frozen=True)
class Change:
    """row: of the plan, as it stands. content: its columns as the file is now. what: `picture` or `masks`, which make
    results stale; `address`, `names of its masks`, `absence` or `presence`, which do not; None where only the signs of
    a change were there (a copy, a touch)."""

    row: Row
    content: Row
    what: str | None

    @property
    def deep(self) -> bool:
        """Whether results of the file as it was are no results of the file as it is."""
        return self.what in ("picture", "masks")


@dataclass
class Revision:
    """rows: of the plan, to be written. shards: that need another round. again, reread: see `retries.Round`."""

    rows: list[Row] = field(default_factory=list)
    shards: set[int] = field(default_factory=set)
    again: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    reread: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))


def not_as_planned(ledger: Ledger) -> dict[str, bool]:
    """Scenes whose file was not there for ingest as the plan knows it -> whether their shard is settled, so that
    another round costs no work in hand. A listing need not show it: a time of a whole second, a size that stayed."""
    places = ((shard, ledger.rounds["ingest"][shard]) for shard in ledger.committed.lost("ingest"))
    return {
        row["scene_id"]: ledger.settled(commit.shard)
        for commit in in_order(lambda at: read_commit(ledger.storage, "ingest", *at), places)
        for row in commit.failures
        if row["error"] in _NOT_AS_PLANNED
    }


def find_changes(
    plan: Plan, pictures: Iterable[Picked], read: Callable[[Picked], Read], doubted: Mapping[str, bool] | None = None
) -> Iterator[Change]:
    """Reads what looks changed, and what could not be read before, and yields what is. A file that can be read no more
    is no change: whoever needs it will say so.

    pictures: in the order of their addresses, as the changes are then. doubted: see `not_as_planned`.
    """
    rows, doubted = plan.rows_by_uri(), doubted or {}
    suspects = (
        (row, picked)
        for row, picked in _matched(rows, pictures)
        if row["scene_id"] in doubted or _looks_changed(row, picked)
    )
    for number, (row, found) in enumerate(in_order(lambda pair: (pair[0], read(pair[1])), suspects)):
        tell(f"reading pictures that look changed, {number:,} so far")
        content = content_of(found)
        masks_unreadable = content["masks_sha256"] is None and content["masks"]
        if content["sha256"] is None or (masks_unreadable and row["masks_sha256"] is not None):
            continue
        if content["sha256"] != row["sha256"]:
            yield Change(row, content, "picture")
        elif (content["masks_sha256"], content["masks_error"]) != (row["masks_sha256"], row["masks_error"]):
            yield Change(row, content, "masks")
        elif content["masks"] != (row["masks"] or []):
            yield Change(row, content, "names of its masks" if len(content["masks"]) == len(row["masks"]) else "masks")
        elif row["gone"] or doubted.get(row["scene_id"]):
            yield Change(row, content, "presence")
        elif any(content[name] != (row[name] or _nothing(name)) for name in _SIGNS):
            yield Change(row, content, None)


def find_gone(plan: Plan, pictures: Iterable[Picked], beyond: Container[str]) -> Iterator[Change]:
    """Rows whose file has left the source since a run last looked. What was made of it stays. pictures: in the order of
    their addresses; beyond: those that a limit keeps out of them."""
    there = (picked.uri for picked in pictures)
    at = next(there, None)
    for row in plan.rows_by_uri():
        while at is not None and at < row["uri"]:
            at = next(there, None)
        if at != row["uri"] and row["uri"] not in beyond and not row["gone"]:
            yield Change(row, {"gone": True}, "absence")


def _matched(rows: Iterable[Row], pictures: Iterable[Picked]) -> Iterator[tuple[Row, Picked]]:
    """Rows of the plan whose picture is listed; both in the order of addresses."""
    listed = iter(pictures)
    picked = next(listed, None)
    for row in rows:
        while picked is not None and picked.uri < row["uri"]:
            picked = next(listed, None)
        if picked is not None and picked.uri == row["uri"]:
            yield row, picked


def with_results(changes: Iterable[Change], ledger: Ledger) -> Iterator[tuple[Change, bool]]:
    """Each change, and whether the scene as planned has gone through a stage and failed in none, so that its results
    are of the old file."""
    for change in changes:
        commits = [ledger.commit(stage, change.row["shard"]) for stage in ledger.stages]
        gone_through = [commit for commit in commits if commit is not None]
        scene = change.row["scene_id"]
        failed = any(row["scene_id"] == scene for commit in gone_through for row in commit.failures)
        done = change.row["duplicate_of"] is None and any(scene in commit.done for commit in gone_through)
        yield change, done and not failed


def revision(plan: Plan, changes: Iterable[Change]) -> Revision:
    """The rows that changes make of the plan: those of the files, and those of files with the same bytes."""
    changed = {_place(change.row): change for change in changes}
    made = Revision()
    if not changed:
        return made
    touched = {scene for c in changed.values() if c.deep for scene in (c.row["scene_id"], c.content["scene_id"])}
    families: dict[str, list[Row]] = defaultdict(list)
    before: dict[tuple[int, int], Row] = {}
    for row in plan.all_rows():
        change = changed.get(_place(row))
        new = {**row, **change.content} if change else row
        if change or new["scene_id"] in touched:
            before[_place(row)] = row
            families[new["scene_id"] if new["scene_id"] in touched else f"{_place(row)}"].append(new)
    for scene, family in families.items():
        if scene in touched:
            _one_scene(family, before)
        for row in family:
            old = before[_place(row)]
            if row != old:
                made.rows.append(row)
            change = changed.get(_place(row))
            if (change and change.what) or row["duplicate_of"] != old["duplicate_of"]:
                made.shards.add(row["shard"])
            moved = row["duplicate_of"] is None and old["duplicate_of"] is not None
            if row["duplicate_of"] is None and (moved or (change and change.deep)):
                made.again[row["shard"]].append(row["scene_id"])
            elif row["duplicate_of"] is None and change and change.what in ("address", "names of its masks"):
                made.reread[row["shard"]].append(row["scene_id"])
    return made


def _one_scene(family: list[Row], before: dict[tuple[int, int], Row]) -> None:
    """Of files with the same bytes: of those with masks, or else of all, the one that was the scene already, or else
    the first."""
    masked = [row for row in family if row["masks"]] or family
    settled = [
        row for row in masked if row["duplicate_of"] is None and before[_place(row)]["scene_id"] == row["scene_id"]
    ]
    owner = (settled or masked)[0]
    for i, row in enumerate(family):
        wanted = None if row is owner else owner["uri"]
        if row["duplicate_of"] != wanted:
            family[i] = {**row, "duplicate_of": wanted}


def _looks_changed(row: Row, picked: Picked) -> bool:
    if row["error"] is not None or row["masks_error"] is not None or row["gone"]:
        return True
    if row["stamp"] is None and picked.stamp is not None and row["entry"] is None and not row["masks"]:
        return False  # of a plan that kept no stamps
    if picked.entry is not None and picked.masks_sha256 != row["masks_sha256"]:
        return True
    now = (picked.stamp, list(picked.masks), picked.masks_stamp, picked.entry)
    return now != tuple(row[name] if row[name] is not None else _nothing(name) for name in _SIGNS) or bool(
        picked.masks_fault
    )


def _nothing(name: str) -> list[str] | None:
    return [] if name == "masks" else None


def _place(row: Row) -> tuple[int, int]:
    return row["shard"], row["position"]
