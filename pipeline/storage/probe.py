"""Whether an OUTPUT can be written at all, and whether its store keeps the promise that commits rest on."""

from __future__ import annotations

import contextlib
import uuid

from pipeline.storage.folder import Storage
from schemas.errors import OutputError, StoreAway, StoreFull


def check_writable(storage: Storage) -> None:
    """Makes a file as a commit is made (by a hard link, or an object store's conditional write), twice.

    Raises OutputError if nothing can be written, or if the second file of the same name is not refused: there two
    attempts at a shard would both commit, and the later one would write over the earlier. StoreAway if nobody answers,
    StoreFull if no room is left.
    """
    probe = f"_probe-{uuid.uuid4().hex}"
    away = False
    try:
        storage.create(probe, b"the first")
        refused = not storage.create(probe, b"the second")
        kept = storage.read(probe) == b"the first"
    except StoreAway as error:
        away = True
        raise StoreAway(f"output: {error}") from error
    except StoreFull as error:
        raise StoreFull(f"output: {error}") from error
    except Exception as error:  # every backend has its own classes
        raise OutputError(
            f"output: cannot write under {storage.url} ({type(error).__name__}: {error}); check the "
            "path and your permissions"
        ) from None
    finally:
        if not away:
            with contextlib.suppress(Exception):  # what was raised says more
                storage.delete(probe)
    if not (refused and kept):
        raise OutputError(
            f"output: the store of {storage.url} ignores create-if-absent (it wrote over a file that was there), so "
            "two attempts at a shard could both commit; name a store with conditional writes, or a folder on a disk"
        )
