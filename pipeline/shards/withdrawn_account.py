"""The account's part for scenes that were withdrawn when they were made already: their file's line says `scene`, their
results stay, and a line of its own says that nobody wants them any more."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import read_record, recorded_spec, recorded_stages
from pipeline.ledger.withdrawals import withdrawn_scenes
from pipeline.shards.account import WITHDRAWN_ACCOUNT
from pipeline.storage.folder import Storage
from pipeline.storage.parquet import CHECKED
from schemas.outcomes import AccountLine
from schemas.records import ACCOUNT


def account_withdrawn(storage: Storage) -> None:
    """Writes the part anew from the marks; deletes it where there is nothing to tell. A scene that is not through yet
    becomes a failure, which its file's own line tells. Raises OutputError where there is no job."""
    lines = _lines(storage)
    if lines:
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([line.row() for line in lines], schema=ACCOUNT), buffer, **CHECKED)
        storage.write(WITHDRAWN_ACCOUNT, buffer.getvalue())
    elif storage.exists(WITHDRAWN_ACCOUNT):
        storage.delete(WITHDRAWN_ACCOUNT)


def _lines(storage: Storage) -> list[AccountLine]:
    marked = withdrawn_scenes(storage)
    if not marked:
        return []
    ledger = Ledger(storage, recorded_stages(read_record(storage), recorded_spec(storage)))
    through: dict[int, set[str]] = {}
    lines = []
    for row in read_plan(storage).all_rows():
        if row["scene_id"] not in marked or row["duplicate_of"] is not None:
            continue
        shard = row["shard"]
        if shard not in through:
            commit = ledger.commit(ledger.stages[-1], shard)
            through[shard] = set(commit.done) if commit else set()
        if row["scene_id"] in through[shard]:
            lines.append(
                AccountLine(
                    "withdrawal",
                    row["uri"],
                    "withdrawn",
                    "after it was made",
                    "what was made of it stays; `unscene withdraw` with --undo takes the mark back",
                    None,
                    row["scene_id"],
                )
            )
    return lines
