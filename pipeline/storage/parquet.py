"""Parquet files of an OUTPUT: written with checksums, and read through fsspec by the thread that asks and no other.

pyarrow's `read_table` has Arrow's own threads read ahead of a Python file; where one of them lets go of it while the
interpreter ends, the process is aborted after all its work is done ("terminate called without an active exception").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

CHECKED = {"compression": "zstd", "write_page_checksum": True}
"""How tables are written. Without a checksum a page with one wrong bit is read as other values, three times in a
hundred."""


class Damaged(ValueError):
    """Bytes that are no Parquet file, or no longer the one that was written."""


def read_parquet(file: BinaryIO, columns: Sequence[str] | None = None, schema: pa.Schema | None = None) -> pa.Table:
    """The file's rows; of some columns or of all. schema: that they have to have.

    Raises Damaged for what the file holds; what keeps it from being fetched is raised as it is.
    """
    data = file.read()
    names = None if columns is None else list(columns)
    try:
        opened = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False, page_checksum_verification=True)
        found = opened.read(names, use_threads=False)
        return found if schema is None else found.select(schema.names).cast(schema)
    except (ValueError, KeyError, OSError, NotImplementedError, pa.ArrowException) as error:  # it raises any of them
        raise Damaged(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
