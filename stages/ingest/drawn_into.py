"""Which pictures and masks of `generate.place.given` are drawn into, and why the others are not. No torch: the driver
looks at all of them before work starts, since a worker meets only those whose turn comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.outcomes import AccountLine, SceneOutput, SceneTask
from schemas.records import NOT_READ
from stages.ingest.census import Picked, read_picked
from stages.ingest.receivers import as_source, census_of
from stages.ingest.stage import IngestStage
from stages.stage import StageContext
from stages.telling import tell

GIVEN_FILE = "given file"
"""`kind` of their lines in the account."""
NOT_DRAWN_INTO = "not drawn into"


@dataclass
class DrawnInto:
    """pictures, masks: how many are drawn into. lines: of the account, for every other file and mask of the folder."""

    pictures: int = 0
    masks: int = 0
    lines: list[AccountLine] = field(default_factory=list)


def preparer(spec: JobSpec) -> IngestStage:
    """What prepares them as it does a scene's own. spec: as of `as_source`."""
    ingest = IngestStage(spec, StageContext(""))
    ingest.setup()
    return ingest


def prepared(picked: Picked, ingest: IngestStage, spec: JobSpec) -> SceneOutput:
    """One picture with its masks: `given.png` and `given.mask0.png ...`, or a failure. spec: as of `as_source`."""
    read = read_picked(picked, spec)
    plan = {
        "uri": picked.uri,
        "sha256": read.hashed.sha256,
        "bytes": read.hashed.bytes,
        "error": read.hashed.error,
        "masks": list(picked.masks),
        "masks_sha256": read.masks_sha256,
        "masks_error": read.masks_error,
        "entry": None,
    }
    (output,) = ingest.process([SceneTask("given", {"plan": [plan]})])
    return output


def look_at_all(spec: JobSpec) -> DrawnInto:
    """Prepares each of them once. Raises SpecError where none can be drawn into."""
    source, census = as_source(spec), census_of(spec)
    ingest, count = preparer(source), len(census.pictures)
    found = DrawnInto(lines=[_of_the_folder(line) for line in census.lines])
    for number, picked in enumerate(census.pictures, 1):
        tell(f"looking at the pictures of generate.place.given, {number:,} of {count:,}")
        if picked.masks_fault:
            found.lines.append(_left_out(picked, "its masks are unclear", picked.masks_fault))
        elif not picked.masks:
            found.lines.append(_left_out(picked, "no mask beside it", None))
        else:
            output = prepared(picked, ingest, source)
            found.lines += _lines(picked, output)
            found.pictures += output.failure is None
            found.masks += sum(name.startswith("given.mask") for name in output.files)
    if not found.pictures:
        first = next((line for line in found.lines if line.reason == NOT_DRAWN_INTO), found.lines[0])
        raise SpecError(
            f"generate.place.given: none of the pictures under {spec.generate.place.given} can be drawn into, such as "
            f"{first.uri}: {first.detail or first.reason}"
        )
    return found


def _of_the_folder(line: AccountLine) -> AccountLine:
    """A line of the census, without the advice to set a field of `source`, which this folder does not have."""
    return replace(line, kind=GIVEN_FILE, detail=None if "source." in (line.detail or "") else line.detail)


def _left_out(picked: Picked, reason: str, detail: str | None) -> AccountLine:
    return AccountLine(GIVEN_FILE, picked.uri, "left out", reason, detail)


def _lines(picked: Picked, output: SceneOutput) -> Iterator[AccountLine]:
    """The picture where it cannot be used, and each of its masks that is not."""
    if output.failure is not None:
        said = output.failure.message
        yield _left_out(picked, NOT_DRAWN_INTO, said.partition("; ")[0] if "source." in said else said)
    for mask in output.rows[0]["masks"]:
        if mask["number"] is None:
            unread = mask["reason"] == NOT_READ
            reason, _, detail = (NOT_DRAWN_INTO if unread else str(mask["reason"])).partition(": ")
            why = "its picture cannot be used" if unread else detail or None
            yield AccountLine(GIVEN_FILE, mask["name"], "mask", reason, why)
