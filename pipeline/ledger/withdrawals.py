"""`unscene withdraw`: takes scenes out of a job that may be running; a mark on storage is all that it needs.

Workers look at the marks before a unit and every few seconds while they train, so a scene leaves its batch at once and
the others go on. It ends as a failure with the error `Withdrawn`, and stays out until the mark is taken back.
"""

from __future__ import annotations

import logging

from pipeline.ledger.plan import read_plan
from pipeline.ledger.run_record import read_record
from pipeline.storage.folder import Storage
from schemas.errors import CommandError

log = logging.getLogger(__name__)

FOLDER = "_withdrawn"


def withdraw(storage: Storage, scene: str, undo: bool = False) -> str:
    """Marks the scene whose id begins with `scene`, or takes its mark back; returns what to tell.

    Raises OutputError when there is no job, CommandError when no scene of the plan, or more than one, begins so.
    """
    read_record(storage)
    ids = {str(name) for name in read_plan(storage).table.column("scene_id").to_pylist()}
    found = sorted(name for name in ids if name.startswith(scene))
    if len(found) != 1:
        what = "no scene of the plan begins" if not found else f"{len(found)} scenes of the plan begin"
        raise CommandError(
            f"--scene {scene}: {what} so under {storage.url}; name the output folder of an Unscene job, and a scene of "
            "its report"
        )
    if undo:
        storage.delete(f"{FOLDER}/{found[0]}")
        return f"{found[0]}: wanted again; if it has failed already, `unscene retry {storage.url}` makes it"
    storage.create(f"{FOLDER}/{found[0]}", b"")
    return f"{found[0]}: withdrawn; what is committed of it stays, nothing more is made of it"


def withdrawn_scenes(storage: Storage) -> frozenset[str]:
    """Ids of all marked scenes. A storage that does not answer withdraws nothing: work in hand is worth more."""
    try:
        return frozenset(storage.names(FOLDER))
    except Exception as error:
        log.warning("the withdrawn scenes cannot be listed (%s: %s)", type(error).__name__, error)
        return frozenset()
