"""Writing and reading the Parquet side of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.folder import Storage
from pipeline.storage.parquet import CHECKED, read_parquet
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
    with pq.ParquetWriter(file, schema, **CHECKED) as writer:
        if batch.num_rows:  # no rows, no row group: `datasets` stumbles over a group of none
            writer.write_table(batch)


def read_rows(
    storage: Storage, table: str, shard: int, scene_ids: Sequence[str] | None = None, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    """Rows of one shard, of some scenes or all, in file order. columns: `scene_id` is among them."""
    with storage.open_read(table_name(table, shard)) as file:
        return rows_in(file, scene_ids, columns)


def rows_in(
    file: BinaryIO, scene_ids: Sequence[str] | None = None, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    """The same of a file that is open."""
    found = read_parquet(file, columns)
    if scene_ids is not None:
        wanted = pa.array(list(scene_ids), pa.string())
        found = found.filter(pc.is_in(found.column("scene_id"), value_set=wanted))
    return list(found.to_pylist())


def table_name(table: str, shard: int) -> str:
    return f"{table}/{table}-{shard:06d}.parquet"
