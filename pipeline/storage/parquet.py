"""Reading a Parquet file through fsspec, or from memory, by the thread that asks and no other.

pyarrow's `read_table` has Arrow's own threads read ahead of a Python file; where one of them lets go of it while the
interpreter ends, the process is aborted after all its work is done ("terminate called without an active exception").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(file: BinaryIO, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows; of some columns or of all."""
    names = None if columns is None else list(columns)
    return pq.ParquetFile(file, pre_buffer=False).read(names, use_threads=False)
