"""Records of the ledger that are there and cannot be read: named, with what to do, by whatever command meets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.storage.folder import Storage
from pipeline.storage.parquet import Damaged
from schemas.errors import OutputError


@contextmanager
def readable(storage: Storage, name: str, remedy: str) -> Iterator[None]:
    """Around the reading of a record's bytes, not the fetching of them. remedy: beside a copy, if there is one.

    Raises OutputError where it is cut short, or of another shape.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split())
        why = said if isinstance(error, Damaged) else f"{type(error).__name__}: {said}"
        raise OutputError(f"{storage.url_of(name)} is damaged ({why}); put it back from a copy, or {remedy}") from error
