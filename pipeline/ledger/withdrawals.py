"""`unscene withdraw`: takes scenes out of a job that may be running; a mark on storage is all that it needs.

Workers look at the marks before a unit and every few seconds while they train, so a scene leaves its batch at once and
the others go on. It ends as a failure with the error `Withdrawn`, and stays out until the mark is taken back.
"""

from __future__ import annotations

import logging
import shlex

from pipeline.ledger.plan import read_plan
from pipeline.ledger.run_record import recorded_spec
from pipeline.ledger.scene_names import base_of, one_scene, uris_of
from pipeline.storage.folder import Storage

log = logging.getLogger(__name__)

FOLDER = "_withdrawn"


def withdraw(storage: Storage, scene: str, undo: bool = False) -> str:
    """Marks the scene that `scene` means (an id, its beginning, or the name of its file or folder), or takes its mark
    back; returns what to tell.

    Raises OutputError when there is no job, CommandError when no scene of the plan, or more than one, is meant.
    """
    spec, plan = recorded_spec(storage), read_plan(storage)
    scenes = uris_of(plan, plan.table.column("scene_id").to_pylist())
    found = one_scene(scene, scenes, "scene of the plan", storage.url)
    base = base_of(plan, spec.source.uri)
    who = f"{found} ({next((uri.removeprefix(base) for uri in scenes[found]), 'its file has changed since')})"
    if undo:
        if not storage.exists(f"{FOLDER}/{found}"):
            return f"{who}: it is not withdrawn from {storage.url}; nothing was changed"
        storage.delete(f"{FOLDER}/{found}")
        again = f"`unscene retry {shlex.quote(storage.url)}`"
        return f"{who}: wanted again; if it has failed already, {again} makes it"
    storage.create(f"{FOLDER}/{found}", b"")
    return f"{who}: withdrawn; what is committed of it stays, nothing more is made of it"


def withdrawn_scenes(storage: Storage) -> frozenset[str]:
    """Ids of all marked scenes. A storage that does not answer withdraws nothing: work in hand is worth more."""
    try:
        return frozenset(storage.names(FOLDER))
    except Exception as error:
        log.warning("the withdrawn scenes cannot be listed (%s: %s)", type(error).__name__, error)
        return frozenset()
