"""Writing and reading the Parquet side of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.folder import Storage
from schemas.records import TABLES


def write_table(file: BinaryIO, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows under the table's own schema; raises ValueError when a row does not fit, naming its scene."""
    schema = TABLES[table]
    try:
        batch = pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"rows of {table} do not fit their schema: {error}") from None
    for name in schema.names:
        if not schema.field(name).nullable and batch.column(name).null_count:
            raise ValueError(f"rows of {table} lack `{name}`")
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        if batch.num_rows:  # no rows, no row group: `datasets` stumbles over a group of none
            writer.write_table(batch)


def read_rows(
    storage: Storage, table: str, shard: int, scene_ids: Sequence[str] | None = None, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    """Rows of one shard, of some scenes or all, in file order."""
    filters = None if scene_ids is None else [("scene_id", "in", list(scene_ids))]
    with storage.open_read(table_name(table, shard)) as file:
        return list(pq.read_table(file, filters=filters, columns=columns).to_pylist())


def table_name(table: str, shard: int) -> str:
    return f"{table}/{table}-{shard:06d}.parquet"
