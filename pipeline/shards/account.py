"""The account of a source: what became of every file, page and annotation, one line each.

A shard's part (`account_lines.py`) is committed with its failures when it is through; until then it is made of what is
committed of it, whenever somebody asks. What belongs to no shard (files left out, annotations of no picture) is the
driver's own part, written anew by every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.ledger.commits import commit_name
from pipeline.ledger.committed import Committed
from pipeline.ledger.damaged import readable
from pipeline.ledger.rounds import FAILURES
from pipeline.shards.account_lines import FAILED, FAILED_IN, account_so_far
from pipeline.shards.tables import table_name
from pipeline.shards.tally import tallied
from pipeline.stage_kinds import INGEST
from pipeline.storage.folder import Storage
from pipeline.storage.parquet import read_parquet
from pipeline.wording import counted
from schemas.outcomes import BEYOND

SOURCE_ACCOUNT = "account/account-source.parquet"
WITHDRAWN_ACCOUNT = "account/account-withdrawn.parquet"
GIVEN_ACCOUNT = "account/account-given.parquet"

Row = dict[str, Any]
Counted = tuple[str, str, str | None]
"""kind, outcome and reason of a line."""


def account_tally(rows: Sequence[Row]) -> list[list[Any]]:
    """Kind, outcome, reason, and how many lines are so, over rows of ACCOUNT, for a commit."""
    return [[*line, count] for line, count in Counter(_counted(row) for row in rows).items()]


def account_counts(storage: Storage, committed: Committed | None = None) -> Counter[Counted]:
    """How many lines there are of each kind, outcome and reason, over what is known of the account. committed: where
    somebody has listed the failures already. Raises OutputError where a part is damaged."""
    total: Counter[Counted] = Counter()
    for counts in _parts(storage, committed).values():
        total.update(counts)
    return total


def _parts(storage: Storage, committed: Committed | None) -> dict[str, Counter[Counted]]:
    """Part of the account -> what `account_counts` says of it: by the commits, or read where it is of no shard, or made
    where its shard is not through."""
    committed = _with(FAILURES, committed, storage)
    there = storage.names("account")

    def read(name: str) -> Counter[Counted]:
        return Counter(map(_counted, _read(storage, name, committed, ["kind", "outcome", "reason"])))

    def read_shard(shard: int) -> Counter[Counted]:
        name = table_name("account", shard)
        return read(name) if name.rpartition("/")[2] in there else Counter()

    told = tallied(committed, FAILURES, "account", _of_tally, read_shard)
    found = {table_name("account", shard): counts for shard, counts in told}
    for shard, rows in account_so_far(storage, _not_through(storage, committed)):
        found[table_name("account", shard)] = Counter(map(_counted, rows))
    return {
        name: read(name)
        for name in (SOURCE_ACCOUNT, GIVEN_ACCOUNT, WITHDRAWN_ACCOUNT)
        if name.rpartition("/")[2] in there
    } | found


def _not_through(storage: Storage, committed: Committed) -> list[int]:
    """Shards whose pictures are read and whose account is not committed. committed: of the failures, perhaps of ingest.
    There are none where the pictures are another OUTPUT's."""
    read = _with(INGEST.name, committed, storage).rounds(INGEST.name)
    return sorted(read.keys() - committed.rounds(FAILURES).keys())


def _with(stage: str, committed: Committed | None, storage: Storage) -> Committed:
    return committed if committed is not None and stage in committed.stages else Committed(storage, [stage])


def _counted(row: Row) -> Counted:
    return row["kind"], row["outcome"], row["reason"]


def _of_tally(tally: list[list[Any]]) -> Counter[Counted]:
    return Counter({(kind, outcome, reason): count for kind, outcome, reason, count in tally})


def is_told(outcome: str, reason: str | None) -> bool:
    """Whether a line says that something was left out, repeated or not used, which neither a failure nor the limit that
    was asked for tells besides."""
    if reason == BEYOND:
        return False
    return outcome in ("left out", "duplicate", "withdrawn") or (outcome == "mask" and reason not in (None, FAILED))


def account_text(counts: Counter[Counted], unfinished: bool = False, unread: bool = False) -> list[str]:
    """The counts of an account in words: files first, then annotations; reasons after what they are the reasons of.

    unfinished: whether shards are left that are not through. unread: whether of some not even the pictures are read, so
    that their scenes, and the masks of those, have no line.
    """
    lines = []
    so_far = " so far" if unfinished else ""
    so_far += " (scenes that are not read yet, and their masks, have no line)" if unread else ""
    for kind in ("file", "annotation", "page", "gone file", "given file", "withdrawal"):
        outcomes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        failed = 0
        for (of, outcome, reason), count in counts.items():
            if of == kind:
                outcomes[outcome] += count
                failed += count if outcome == "scene" and (reason or "").startswith(FAILED_IN) else 0
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
    committed = _with(FAILURES, committed, storage)
    parts = _parts(storage, committed)
    not_through = {table_name("account", shard): shard for shard in _not_through(storage, committed)}
    for name in sorted(parts, reverse=True):  # what belongs to no shard first
        if not any(is_told(outcome, reason) for _, outcome, reason in parts[name]):
            continue
        before: Row = {"kind": None, "uri": None}
        for row in _rows_of(storage, name, committed, not_through.get(name)):
            same_file = (row["kind"], row["uri"]) == ("page", before["uri"]) and before["kind"] == "page"
            before = row
            if is_told(row["outcome"], row["reason"]) and not same_file:
                if not most:
                    return
                most -= 1
                yield row


def _read(storage: Storage, name: str, committed: Committed, columns: Sequence[str] | None = None) -> list[Row]:
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


def _rows_of(storage: Storage, name: str, committed: Committed, not_through: int | None) -> list[Row]:
    """The rows of a part. not_through: the shard that it is of, where it is to be made."""
    if not_through is not None:
        return next((rows for _, rows in account_so_far(storage, [not_through])), [])
    try:
        return _read(storage, name, committed)
    except FileNotFoundError:  # committed, and not published yet
        return []


def _name(outcome: str, count: int) -> str:
    return outcome if count == 1 or outcome in ("left out", "withdrawn") else f"{outcome}s"
