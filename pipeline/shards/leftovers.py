"""What a run that was killed leaves behind, and when it may go.

Parts and attempts go when a commit has decided their round, since until then their writer may be alive. What a write
leaves beside its file, and a probe, has a name that nobody takes a second time; it goes when it was there before this
run took the lease and still is when the run ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.ledger.commits import rounds, sweep_attempts
from pipeline.ledger.lease import FOLDER as LEASE
from pipeline.ledger.manifest import FOLDER as MANIFEST
from pipeline.storage.folder import SHARED, Storage

_PARTS = re.compile(r"^(\d{6,})\.r(\d+)$")
_BESIDE = re.compile(r"^(?:.+\.[0-9a-f]{32}\.(?:tmp|partial)|_probe-[0-9a-f]{32})$")


def sweep(storage: Storage, stages: Sequence[str]) -> None:
    """Removes attempts and parts of rounds that are decided. Two listings a stage, and one of its commits where there
    is anything."""
    for stage in stages:
        parts = [match for folder in storage.folders(f"_work/{stage}") if (match := _PARTS.match(folder))]
        if not parts and not storage.folders(f"_attempts/{stage}"):
            continue
        latest = rounds(storage, stage)
        sweep_attempts(storage, stage, latest)
        for match in parts:
            if int(match[2]) <= latest.get(int(match[1]), -1):
                storage.delete_folder(f"_work/{stage}/{match[0]}")


@contextmanager
def cleared(storage: Storage, stages: Sequence[str], tables: Sequence[str]) -> Iterator[None]:
    """Removes, when what is done inside has ended well, what half-made files were there before it, and ends uploads of
    attempts whose process died: nobody packs any more."""
    folders = ["", SHARED]
    if storage.local:  # elsewhere no file is written beside its name
        folders += [LEASE, "_plan", MANIFEST, *tables, *(f"_commits/{stage}" for stage in stages)]
    found = ((folder, name) for folder in folders for name in storage.every_name(folder))
    before = [f"{folder}/{name}".lstrip("/") for folder, name in found]
    before = [path for path in before if _BESIDE.match(path.rsplit("/", 1)[-1])]
    yield
    for path in before:
        storage.delete(path)
    storage.abort_uploads("_attempts")
