"""Scenes whose place another file of the source takes that has the same bytes: because their own is no longer under its
address (a picture that was renamed, a source that was moved), or has no masks where the other brings some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from pipeline.ledger.changes import Change
from pipeline.ledger.plan import Plan, Row
from stages.ingest.census import Picked

_OF_THE_FILE = ("uri", "stamp", "masks", "masks_sha256", "masks_stamp", "entry", "masks_error")


@dataclass(frozen=True)
class Move:
    """change: of the scene's row. successor: the row of the file that takes its place, which was a duplicate. others:
    rows of further duplicates. gone: whether the file that had the place has left the source."""

    change: Change
    successor: Row
    others: list[Row]
    gone: bool

    def rows(self) -> list[Row]:
        """The rows of the plan after it: the two files change places."""
        scene = {**self.change.row, **self.change.content}
        left = {**self.successor, **{name: self.change.row[name] for name in _OF_THE_FILE}}
        scene["gone"] = False
        left |= {"duplicate_of": scene["uri"], "gone": self.gone}
        return [scene, left, *({**row, "duplicate_of": scene["uri"]} for row in self.others)]


def find_moves(plan: Plan, pictures: Iterable[Picked], beyond: Container[str]) -> Iterator[Move]:
    """pictures: of the source; beyond: addresses of those that a limit keeps out of them. Of several files one with
    masks is taken, or else the first."""
    repeats: dict[str, list[Row]] = defaultdict(list)
    for row in plan.repeats():
        repeats[row["scene_id"]].append(row)
    if not repeats:
        return
    scenes = list(plan.rows_of(repeats))
    looked_for = {row["uri"] for found in (scenes, *repeats.values()) for row in found}
    listed = {picked.uri for picked in pictures if picked.uri in looked_for}
    listed |= {uri for uri in looked_for if uri in beyond}
    for scene in scenes:
        if scene["duplicate_of"] is not None or scene["sha256"] is None:
            continue
        rows, gone = repeats[scene["scene_id"]], scene["uri"] not in listed
        there = [row for row in rows if row["uri"] in listed]
        masked = [row for row in there if row["masks"] and not row["masks_error"]]
        successor = next(iter(masked or (there if gone else [])), None)
        if successor is None or not (gone or _bare(scene)):
            continue
        content = {name: successor[name] for name in _OF_THE_FILE}
        same = all(content[name] == scene[name] for name in ("masks_sha256", "masks_error"))
        change = Change(scene, content, "address" if same else "masks")
        yield Move(change, successor, [row for row in rows if row is not successor], gone)


def _bare(row: Row) -> bool:
    return not row["masks"] and not row["masks_error"]
