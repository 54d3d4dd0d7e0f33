"""The lines of one shard's account, from its plan, its scenes, its concepts and its failures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.ledger.plan import read_plan
from pipeline.ledger.run_record import recorded_spec
from pipeline.shards.reader import UNREADABLE, OutputReader
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from schemas.outcomes import AccountLine
from schemas.records import NOT_READ

FAILED = "its scene failed"
FAILED_IN = "failed in "

Row = dict[str, Any]


def shard_account(
    reader: OutputReader,
    shard: int,
    plan: Sequence[Row],
    failures: Sequence[Row],
    annotations: str | None,
    through: bool = True,
) -> Iterator[AccountLine]:
    """The lines of one shard's files and their masks. annotations: address of the annotation file, where masks come
    from one. through: whether the shard is through all stages; before that a mask may become a concept yet."""
    scenes, concepts = (
        reader.rows(table, shard, columns=["scene_id", *columns]) if reader.commit(table, shard) else {}
        for table, columns in (("scenes", ["masks", "pages"]), ("concepts", ["index", "given"]))
    )
    failed = {row["scene_id"]: row for row in failures}
    outcomes: dict[str, tuple[str | None, str | None]]
    masks_of = {row["uri"]: row["masks_sha256"] for row in plan}
    for row in plan:
        if row["gone"]:
            if row["duplicate_of"] is None:
                yield AccountLine("gone file", row["uri"], "scene", "no longer there", None, None, row["scene_id"])
            continue
        scene_id, repeats = row["scene_id"], row["duplicate_of"]
        failure = failed.get(scene_id)
        given = row["masks"] or []
        if repeats is not None:
            kept = "; its masks are not used beside those of that one" if given else ""
            if given and masks_of.get(repeats) == row["masks_sha256"]:
                kept = ", with the same masks"
            yield AccountLine("file", row["uri"], "duplicate", "same bytes", f"as {repeats}{kept}", None, scene_id)
            outcomes = dict.fromkeys(given, ("mask of a duplicate", f"the masks of {repeats} count"))
            used = {}
        else:
            why = f"{FAILED_IN}{failure['stage']}" if failure else None
            yield AccountLine("file", row["uri"], "scene", why, failure["message"] if failure else None, None, scene_id)
            scene = next(iter(scenes.get(scene_id, [])), {})
            yield from _pages(row["uri"], scene_id, scene.get("pages"))
            used = _used(concepts.get(scene_id, []))
            outcomes = _outcomes(given, scene, failure, scene_id in concepts, through)
        for name in given:
            reason, detail = outcomes[name] if name not in used else (None, None)
            yield AccountLine(
                "file" if row["entry"] is None else "annotation",
                name if row["entry"] is None else str(annotations),
                "mask",
                reason,
                detail,
                None if row["entry"] is None else name,
                scene_id,
                tuple(used.get(name, [])),
            )


def account_so_far(storage: Storage, shards: Sequence[int]) -> Iterator[tuple[int, list[Row]]]:
    """(shard, rows of ACCOUNT) of shards that are not through, from what is committed of them. One that cannot be read
    now is passed over: its account comes with it."""
    if not shards:
        return
    plan, annotations, reader = read_plan(storage), recorded_spec(storage).source.coco, OutputReader(storage)

    def made(shard: int) -> list[Row] | None:
        try:
            commits = [commit for table in STAGE_OF if (commit := reader.commit(table, shard)) is not None]
            failures = [failure for commit in commits for failure in commit.failures]
            lines = shard_account(reader, shard, plan.rows(shard), failures, annotations, through=False)
            return [line.row() for line in lines]
        except UNREADABLE:
            return None

    for shard, rows in zip(shards, in_order(made, shards), strict=True):
        if rows is not None:
            yield shard, rows


def _pages(uri: str, scene_id: str, pages: int | None) -> Iterator[AccountLine]:
    for page in range(2, (pages or 1) + 1):
        detail = f"page {page} of {pages}; the first is the picture: save the others as files of their own"
        yield AccountLine("page", uri, "left out", "more pages or frames", detail, None, scene_id)


def _used(concepts: Sequence[Row]) -> dict[str, list[int]]:
    """Name of a given mask -> the concepts that it is."""
    used: dict[str, list[int]] = defaultdict(list)
    for row in concepts:
        if row.get("given") is not None:
            used[row["given"]].append(row["index"])
    return used


def _outcomes(
    given: Sequence[str], scene: Row, failure: Row | None, segmented: bool, through: bool
) -> dict[str, tuple[str | None, str | None]]:
    """Why each given mask is no concept, should it be none; nothing of one that waits to become one."""
    masks = scene.get("masks") or []
    told = {mask["name"]: str(mask["reason"]) for mask in masks if mask["reason"] and mask["reason"] != NOT_READ}
    numbered = {mask["name"] for mask in masks if mask["number"] is not None}
    found: dict[str, tuple[str | None, str | None]] = {}
    for name in given:
        if name in told:
            short, _, detail = told[name].partition(": ")
            found[name] = (short, detail or None)
        elif segmented and name in numbered:
            found[name] = ("beyond segment.max_concepts", "the largest masks are used; raise it to use more")
        elif failure is not None:
            found[name] = (FAILED, failure["message"])
        elif not through and name in numbered:
            found[name] = (None, None)
        else:
            found[name] = ("not read yet", "its scene was made before this mask came, or is not through")
    return found
