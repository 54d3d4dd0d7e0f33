"""The account of a source: what became of every file, page and annotation, one line each.

A shard's part is made from its plan, its scenes and its concepts when it is through, and is committed with its
failures. What belongs to no shard (files left out, annotations of no picture) is the driver's own part, written anew by
every run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.ledger.commits import commit_name
from pipeline.ledger.committed import Committed
from pipeline.ledger.damaged import readable
from pipeline.ledger.rounds import FAILURES
from pipeline.shards.reader import OutputReader
from pipeline.shards.tables import table_name
from pipeline.shards.tally import tallied
from pipeline.storage.folder import Storage
from pipeline.storage.parquet import read_parquet
from pipeline.wording import counted
from schemas.outcomes import BEYOND, AccountLine
from schemas.records import NOT_READ

SOURCE_ACCOUNT = "account/account-source.parquet"
WITHDRAWN_ACCOUNT = "account/account-withdrawn.parquet"

_FAILED = "its scene failed"
_FAILED_IN = "failed in "

Row = dict[str, Any]
Counted = tuple[str, str, str | None]
"""kind, outcome and reason of a line."""


def shard_account(
    reader: OutputReader, shard: int, plan: Sequence[Row], failures: Sequence[Row], annotations: str | None
) -> Iterator[AccountLine]:
    """The lines of one shard's files and their masks. annotations: address of the annotation file, where masks come
    from one."""
    scenes, concepts = (
        reader.rows(table, shard, columns=["scene_id", *columns]) if reader.commit(table, shard) else {}
        for table, columns in (("scenes", ["masks", "pages"]), ("concepts", ["index", "given"]))
    )
    failed = {row["scene_id"]: row for row in failures}
    outcomes: dict[str, tuple[str, str | None]]
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
            why = f"{_FAILED_IN}{failure['stage']}" if failure else None
            yield AccountLine("file", row["uri"], "scene", why, failure["message"] if failure else None, None, scene_id)
            scene = next(iter(scenes.get(scene_id, [])), {})
            yield from _pages(row["uri"], scene_id, scene.get("pages"))
            used = _used(concepts.get(scene_id, []))
            outcomes = _outcomes(given, scene, failure, scene_id in concepts)
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


def account_tally(rows: Sequence[Row]) -> list[list[Any]]:
    """Kind, outcome, reason, and how many lines are so, over rows of ACCOUNT, for a commit."""
    return [[*line, count] for line, count in Counter(_counted(row) for row in rows).items()]


def account_counts(storage: Storage, committed: Committed | None = None) -> Counter[Counted]:
    """How many lines there are of each kind, outcome and reason, over what is committed of the account. committed:
    where somebody has listed the failures already. Raises OutputError where a part is damaged."""
    total: Counter[Counted] = Counter()
    for counts in _parts(storage, committed).values():
        total.update(counts)
    return total


def _parts(storage: Storage, committed: Committed | None) -> dict[str, Counter[Counted]]:
    """Part of the account -> what `account_counts` says of it: by the commits, or read where it is of no shard."""
    if committed is None or FAILURES not in committed.stages:
        committed = Committed(storage, [FAILURES])
    there = storage.names("account")

    def read(name: str) -> Counter[Counted]:
        return Counter(map(_counted, _rows_of(storage, name, committed, ["kind", "outcome", "reason"])))

    def read_shard(shard: int) -> Counter[Counted]:
        name = table_name("account", shard)
        return read(name) if name.rpartition("/")[2] in there else Counter()

    told = tallied(committed, FAILURES, "account", _of_tally, read_shard)
    found = {table_name("account", shard): counts for shard, counts in told}
    return {
        name: read(name) for name in (SOURCE_ACCOUNT, WITHDRAWN_ACCOUNT) if name.rpartition("/")[2] in there
    } | found


def _rows_of(storage: Storage, name: str, committed: Committed, columns: Sequence[str] | None = None) -> list[Row]:
    """Of a part of the account. Raises OutputError where it is damaged, or FileNotFoundError."""
    rounds = committed.rounds(FAILURES)
    commits = [commit_name(FAILURES, shard, rounds[shard]) for shard in rounds if table_name("account", shard) == name]
    remedy = f"delete {storage.url_of(commits[0])} and " if commits else ""
    with (
        storage.open_read(name) as file,
        readable(storage, name, f"{remedy}run the job again, which writes it anew"),
    ):
        rows: list[Row] = read_parquet(file, columns).to_pylist()
        return rows


def _counted(row: Row) -> Counted:
    return row["kind"], row["outcome"], row["reason"]


def _of_tally(tally: list[list[Any]]) -> Counter[Counted]:
    return Counter({(kind, outcome, reason): count for kind, outcome, reason, count in tally})


def is_told(outcome: str, reason: str | None) -> bool:
    """Whether a line says that something was left out, repeated or not used, which neither a failure nor the limit that
    was asked for tells besides."""
    if reason == BEYOND:
        return False
    return outcome in ("left out", "duplicate", "withdrawn") or (outcome == "mask" and reason not in (None, _FAILED))


def account_text(counts: Counter[Counted], unfinished: bool = False) -> list[str]:
    """The counts of an account in words: files first, then annotations; reasons after what they are the reasons of.

    unfinished: whether shards are left whose scenes, and the masks of those, have no line yet.
    """
    lines = []
    so_far = " so far (scenes still under way, and their masks, have no line yet)" if unfinished else ""
    for kind in ("file", "annotation", "page", "gone file", "withdrawal"):
        outcomes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        failed = 0
        for (of, outcome, reason), count in counts.items():
            if of == kind:
                outcomes[outcome] += count
                failed += count if outcome == "scene" and (reason or "").startswith(_FAILED_IN) else 0
                if reason is not None:
                    reasons[reason if outcome != "mask" else f"masks not used, {reason}"] += count
        if outcomes:
            said = {outcome: f"{count} {_name(outcome, count)}" for outcome, count in sorted(outcomes.items())}
            if failed:
                said["scene"] += f" ({failed} failed)"
            lines.append(f"account of {counted(sum(outcomes.values()), kind)}{so_far}: {', '.join(said.values())}")
            lines += [f"  {reason}: {count}" for reason, count in reasons.most_common()]
    return lines


def line_text(row: Mapping[str, Any]) -> str:
    """One line of an account for a person: what, and why it is not used."""
    name = row["uri"] if row["annotation"] is None else f"annotation {row['annotation']}"
    return ": ".join(part for part in (name, row["reason"] or row["outcome"], row["detail"]) if part)


def account_rows(storage: Storage, most: int, committed: Committed | None = None) -> Iterator[Row]:
    """The first lines of the account of what was left out, or not used; of the pages of a file one stands for all.
    committed: as for `account_counts`. Raises OutputError as that does."""
    if committed is None or FAILURES not in committed.stages:
        committed = Committed(storage, [FAILURES])
    parts = _parts(storage, committed)
    for name in sorted(parts, reverse=True):  # what belongs to no shard first
        if not any(is_told(outcome, reason) for _, outcome, reason in parts[name]):
            continue
        try:
            rows = _rows_of(storage, name, committed)
        except FileNotFoundError:  # committed, and not published yet
            continue
        before: Row = {"kind": None, "uri": None}
        for row in rows:
            same_file = (row["kind"], row["uri"]) == ("page", before["uri"]) and before["kind"] == "page"
            before = row
            if is_told(row["outcome"], row["reason"]) and not same_file:
                if not most:
                    return
                most -= 1
                yield row


def _name(outcome: str, count: int) -> str:
    return outcome if count == 1 or outcome in ("left out", "withdrawn") else f"{outcome}s"


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
    given: Sequence[str], scene: Row, failure: Row | None, segmented: bool
) -> dict[str, tuple[str, str | None]]:
    """Why each given mask is no concept, should it be none."""
    masks = scene.get("masks") or []
    told = {mask["name"]: str(mask["reason"]) for mask in masks if mask["reason"] and mask["reason"] != NOT_READ}
    numbered = {mask["name"] for mask in masks if mask["number"] is not None}
    found: dict[str, tuple[str, str | None]] = {}
    for name in given:
        if name in told:
            short, _, detail = told[name].partition(": ")
            found[name] = (short, detail or None)
        elif segmented and name in numbered:
            found[name] = ("beyond segment.max_concepts", "the largest masks are used; raise it to use more")
        elif failure is not None:
            found[name] = (_FAILED, failure["message"])
        else:
            found[name] = ("not read yet", "its scene was made before this mask came, or is not through")
    return found
