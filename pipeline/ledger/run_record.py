"""run.json: what this OUTPUT was made with, and the check that a resumed run is the same run (invariant 4)."""

from __future__ import annotations

import json
import platform
import posixpath
import shlex
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from pipeline.ledger.earlier_names import by_todays_names
from pipeline.ledger.learned_with import check_learned_with
from pipeline.ledger.settings import changes, nothing_begun
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from schemas.fingerprint import fingerprint, learning_fingerprint, result_fields
from schemas.job import JobSpec
from schemas.mistakes import check
from schemas.secrets import masked_tree
from schemas.spec_file import spec_from
from stages.models.content import is_partial

_PACKAGES = ("unscene", "ray", "torch", "diffusers", "transformers", "segment-anything", "peft", "pyarrow")
NAME = "run.json"
_LOOKED = 20  # folders of a place that may be anything


def revisions(spec: JobSpec) -> dict[str, str]:
    """What identifies the content behind the paths that the spec names.

    Raises SpecError where there is none, and where `source.handles` were learned on another base.
    """
    from stages.ingest.receivers import content_of
    from stages.models.distilled import distilled_content
    from stages.models.place import model_revision

    found = {"models.base": model_revision(spec.models.base, "models.base", spec.models.revision)}
    if spec.generate.mode == "place" and spec.generate.place.given:
        found["generate.place.given"] = content_of(spec)
    if spec.generate.accelerate:
        found["generate.accelerate"] = distilled_content(spec.generate.accelerate)
    if spec.evaluate.enabled or (spec.segment.vocabulary and not spec.source.handles):
        found["models.clip"] = model_revision(spec.models.clip, "models.clip")
    if spec.evaluate.enabled:
        found["models.identity"] = model_revision(spec.models.identity, "models.identity")
        name, field = spec.judges_sam
        found[field] = model_revision(name, field)
    if spec.source.handles:
        earlier = read_identity(Storage(spec.source.handles))
        check_learned_with(spec, found["models.base"], earlier)
        learned = recorded_spec(Storage(spec.source.handles))
        found["source.handles"] = learning_fingerprint(learned, earlier["fields"])
        return found
    # Whatever masks a source brings: of pictures without any it finds the concepts.
    found["models.sam"] = model_revision(spec.models.sam, "models.sam")
    return found


def _of_all_planned(spec: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """The spec with the larger of both limits: what an earlier run has planned stays planned, and `unscene retry` looks
    at all of it."""
    limits = [one["source"].get("limit") for one in (spec, earlier)]
    return {**spec, "source": {**spec["source"], "limit": None if None in limits else max(limits)}}


def start_record(storage: Storage, spec: JobSpec, stages: Sequence[str], typed: str | None = None) -> list[str]:
    """Creates run.json, or checks that what has begun there was made by the same fields. It holds no credentials:
    readers of results read it. Returns the fields that changed for the stages to come, as lines for a person.

    stages: names of those that the job goes through here. An evaluation's scenes stop after the first ones, and the
    spec alone would have whoever looks at them wait for the rest. typed: the command of the last run there, for whoever
    is refused.

    Raises OutputError naming every field that differs.
    """
    known = revisions(spec)
    fields = result_fields(spec, known)
    record = {
        "spec": masked_tree(spec.model_dump(mode="json")),
        "fingerprint": fingerprint(spec, known),
        "fields": fields,
        "seed": spec.seed,
        "stages": list(stages),
        "versions": _versions(),
        "created_at": time.time(),
    }
    if storage.create(NAME, json.dumps(record, indent=1).encode()):
        return []
    unmade = nothing_begun(storage)
    earlier = _loaded(storage)
    if misfit := _misfit(earlier, _IDENTITY):
        if not unmade:
            raise _of_another_version(storage, earlier, misfit)
        earlier = record
        storage.write(NAME, json.dumps(record, indent=1).encode())
    if earlier["fingerprint"] == record["fingerprint"] or earlier["fields"] == fields:  # by other names for the same
        now = _of_all_planned(record["spec"], earlier["spec"])
        if earlier["spec"] != now:  # workers, notices: `unscene retry` goes by the last ones
            storage.write(NAME, json.dumps({**earlier, "spec": now}, indent=1).encode())
        return []
    if unmade:
        storage.write(NAME, json.dumps(record, indent=1).encode())
        return []
    found = changes(storage, earlier, spec, fields)
    if not found.locked:
        taken = {name: record[name] for name in ("fields", "fingerprint", "stages")}
        now = _of_all_planned(record["spec"], earlier["spec"])
        storage.write(NAME, json.dumps({**earlier, **taken, "spec": now}, indent=1).encode())
        return [f"set anew for the stages to come: {'; '.join(found.free)}"] if found.free else []
    changed = [change.partition(": ")[0] for change in found.locked]
    if all(is_partial(earlier["fields"].get(name)) for name in changed):
        raise OutputError(
            f"{storage.url} was begun by an older Unscene, which knew {' and '.join(changed)} by a part of the bytes, "
            f"so nobody can tell whether they have changed; finish it with that version, or give the job a new output"
        )
    only_prompts = all(name.startswith("generate.") for name in changed)
    remedy = (
        "new pictures of the handles that are here go to an output of their own: `unscene run SPEC --set "
        f"{shlex.quote(f'source.handles={storage.url}')} --set source.uri=null --set output=ANOTHER`"
        if only_prompts and not spec.source.handles
        else f"put the fields back{f' (the last run there was `{typed}`)' if typed else ''}, or give the job a new "
        "output"
    )
    raise OutputError(f"{storage.url} was made with other settings ({'; '.join(found.locked)}); {remedy}")


def read_record(storage: Storage) -> dict[str, Any]:
    """run.json of an OUTPUT, with a spec that this version reads. Raises OutputError if there is none, or none that can
    be read, or one of another version."""
    record = _loaded(storage)
    if misfit := _misfit(record):
        raise _of_another_version(storage, record, misfit)
    return record


def read_identity(storage: Storage) -> dict[str, Any]:
    """The same with `fingerprint` and `fields`, for what goes by them."""
    record = read_record(storage)
    if misfit := _misfit(record, _IDENTITY):
        raise _of_another_version(storage, record, misfit)
    return record


_SHAPES: dict[str, type[Any]] = {"spec": dict, "fingerprint": str, "fields": dict, "stages": list, "versions": dict}
_IDENTITY = ("fingerprint", "fields")


def _misfit(record: dict[str, Any], needed: Sequence[str] = ()) -> str | None:
    """Why a run.json is not one as this version writes it, if it is not. needed: keys that have to be there, beside
    the spec. Keys that this version does not know are no reason."""
    for name in ("spec", *needed):
        if name not in record:
            return f"`{name}` is missing"
    for name, shape in _SHAPES.items():
        if not isinstance(record.get(name, shape()), shape):
            return f"`{name}` is a {type(record[name]).__name__}"
    spec, mistakes = check(record["spec"])
    return None if spec is not None else f"spec: {mistakes[0].text.partition(';')[0]}"


def _of_another_version(storage: Storage, record: dict[str, Any], misfit: str) -> OutputError:
    versions = record.get("versions")
    theirs, ours = versions.get("unscene") if isinstance(versions, dict) else None, _versions()["unscene"]
    wrote = f"was written by Unscene {theirs}" if theirs not in (None, ours) else "was written by another Unscene"
    return OutputError(
        f"{storage.url_of(NAME)} {wrote}, and {ours} cannot read it ({misfit}); use the version that wrote it, or give "
        "the job a new output"
    )


def _loaded(storage: Storage) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(storage.read(NAME))
        if not isinstance(record, dict):
            raise ValueError("it is no record of a job")
        record = by_todays_names(record)
    except FileNotFoundError:
        raise OutputError(f"{storage.url}: no run.json there{_elsewhere(storage)}") from None
    except NotADirectoryError:
        raise OutputError(f"{storage.url} is a file; name the output folder of an Unscene job") from None
    except Exception as error:  # broken, or kept from us: every backend has its own classes
        raise OutputError(
            f"{storage.url_of(NAME)} cannot be read ({type(error).__name__}: {error}); check access, or put it back "
            "from a copy"
        ) from None
    return record


def _elsewhere(storage: Storage) -> str:
    """Where the run.json is that a person meant: in the folder above, or in those of an evaluation's jobs."""
    above = posixpath.dirname(storage.root)
    if storage.fs.exists(posixpath.join(above, NAME)):
        return f"; name {above}, the folder above, which is the output of a job"
    below = [folder for folder in storage.folders("")[:_LOOKED] if storage.exists(f"{folder}/{NAME}")]
    if below:
        return f"; name one of the jobs below it: {', '.join(storage.url_of(folder) for folder in below)}"
    return "; name the output folder of an Unscene job"


def recorded_stages(record: dict[str, Any], spec: JobSpec) -> list[str]:
    """Names of the stages that a run.json's job goes through, in order. A record that does not say has all."""
    return list(record.get("stages") or (kind.name for kind in kinds_of(spec)))


def recorded_spec(storage: Storage) -> JobSpec:
    """The resolved spec that an OUTPUT was made with."""
    spec = read_record(storage)["spec"]
    judged = spec.get("evaluate")
    if isinstance(judged, dict):  # before there was such a field, the grid was that of `segment`
        judged.setdefault("points_per_side", None)
    return spec_from(spec, storage.url_of(NAME))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
