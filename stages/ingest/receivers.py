"""The pictures of `generate.place.given`: real ones of the user's, each with masks beside it where concepts are to be
drawn. They are read as a source of masks is. No torch: the driver asks too.
"""

from __future__ import annotations

from schemas.errors import SpecError, StoreAway
from schemas.job import JobSpec, Source
from stages.ingest.census import Census, Picked, read_picked, take_census
from stages.ingest.source.hashing import hash_of_all


def as_source(spec: JobSpec) -> JobSpec:
    """The same job with those pictures for its source."""
    return spec.model_copy(update={"source": Source(uri=spec.generate.place.given, masks="beside")})


def census_of(spec: JobSpec) -> Census:
    """All that lies there. Raises SpecError where there is no picture."""
    try:
        return take_census(as_source(spec))
    except (SpecError, StoreAway) as error:  # what lists a source names the source's field
        raise type(error)(*(_of_given(str(text)) for text in error.args)) from error


def receivers(spec: JobSpec) -> list[Picked]:
    """Those that have masks, by address. Raises SpecError where there is none."""
    found = [picked for picked in census_of(spec).pictures if picked.masks and not picked.masks_fault]
    if not found:
        raise SpecError(
            f"generate.place.given: no picture under {spec.generate.place.given} has a mask beside it; put masks there "
            "that are called <picture>.mask0.png, or take place.region: replace"
        )
    return sorted(found, key=lambda picked: picked.uri)


def _of_given(text: str) -> str:
    """The sentence on a source, said of these pictures."""
    return text.replace("source.uri", "generate.place.given").replace(" or set source.suffixes", "")


def content_of(spec: JobSpec) -> str:
    """What identifies all of them: a hash over pictures and masks, whatever they are called. Raises SpecError."""
    source = as_source(spec)
    read = [read_picked(picked, source) for picked in receivers(spec)]
    return f"sha256:{hash_of_all([f'{one.hashed.sha256} {one.masks_sha256}' for one in read])}"
