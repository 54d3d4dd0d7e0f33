"""The account's part for the pictures of `generate.place.given`, which are nobody's scenes."""

from __future__ import annotations

import io

from pipeline.ledger.settings import has_begun
from pipeline.shards.account import GIVEN_ACCOUNT
from pipeline.shards.tables import write_table
from pipeline.stage_kinds import GENERATE
from pipeline.storage.folder import Storage
from pipeline.wording import counted
from schemas.job import JobSpec
from stages.ingest.drawn_into import DrawnInto, look_at_all


def account_given(storage: Storage, spec: JobSpec) -> str | None:
    """Looks at all of them and writes what is not drawn into; one sentence of it for whoever starts the work, where
    there is any. Once something was drawn they stay what they were. Takes the part away where a job draws into none.
    Raises SpecError where nothing can be drawn into."""
    there = storage.exists(GIVEN_ACCOUNT)
    if spec.generate.mode != "place" or not spec.generate.place.given:
        if there:
            storage.delete(GIVEN_ACCOUNT)
        return None
    if there and has_begun(storage, GENERATE.name):
        return None
    found = look_at_all(spec)
    buffer = io.BytesIO()
    write_table(buffer, "account", [line.row() for line in found.lines])
    storage.write(GIVEN_ACCOUNT, buffer.getvalue())
    if not found.lines:
        return None
    return f"generate.place.given: {given_text(found)}; {storage.url_of(GIVEN_ACCOUNT)} says of each why"


def given_text(found: DrawnInto) -> str:
    """`4 pictures with 5 masks to draw in; not drawn into: 2 files and 3 masks`."""
    masks = sum(line.outcome == "mask" for line in found.lines)
    files = len(found.lines) - masks
    text = f"{counted(found.pictures, 'picture')} with {counted(found.masks, 'mask')} to draw in"
    left = [counted(count, thing) for count, thing in ((files, "file"), (masks, "mask")) if count]
    return f"{text}; not drawn into: {' and '.join(left)}" if left else text
