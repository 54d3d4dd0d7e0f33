"""The OUTPUT that a person names: by its address, or by the spec of the job that writes it."""

from __future__ import annotations

import shlex
from pathlib import Path

from pipeline.commands.paths import anchored
from pipeline.ledger.lease import at_work
from pipeline.ledger.run_record import NAME
from pipeline.storage.folder import Storage
from schemas.errors import OutputError, SpecError
from schemas.job import JobSpec
from schemas.secrets import is_masked, masked_tree
from schemas.shipped import is_job
from schemas.spec_file import load_spec


def output_at(named: str) -> Storage:
    """The OUTPUT at an address, or the `output` of a job spec, or of a job that ships where no output has its name.

    Raises SpecError where a file of YAML is no spec, OutputError where an address cannot be one, or the job of a
    spec has not begun.
    """
    if not named.strip():  # what a shell makes of a variable that is not set
        raise OutputError("OUTPUT is empty; name the output folder of a job, or its spec")
    spec = _spec_at(named)
    return Storage(named) if spec is None else _of_job(named, spec)


def with_credentials(recorded: JobSpec, named: str) -> JobSpec:
    """The spec of run.json, which holds no credentials, with those of the spec that a person names, if there are any.

    Raises SpecError where they are needed, and only the output is named.
    """
    told = recorded.source.model_dump(mode="json")
    lacking = [f"source.{name}" for name, value in told.items() if is_masked(value)]
    lacking += [f"models.{name}" for name, value in recorded.models.model_dump(mode="json").items() if is_masked(value)]
    for section, field in (("evaluate", "sam"), ("generate", "accelerate")):
        lacking += [f"{section}.{field}"] if is_masked(getattr(getattr(recorded, section), field)) else []
    if not lacking:
        return recorded
    given = _spec_at(named)
    if given is None:
        raise SpecError(
            f"{' and '.join(lacking)}: run.json keeps no credentials; name the job's spec, which has them, instead of "
            f"its output: `unscene retry JOB.yaml` for `unscene retry {shlex.quote(named)}`"
        )
    for name in lacking:
        section, field = name.split(".")
        with_them = getattr(getattr(given, section), field)
        if masked_tree({field: with_them})[field] != getattr(getattr(recorded, section), field):
            raise SpecError(
                f"{name}: {named} names another place than run.json, beside the credentials; put it back, or give the "
                "job a new output"
            )
        part = getattr(recorded, section).model_copy(update={field: with_them})
        recorded = recorded.model_copy(update={section: part})
    return recorded


def _spec_at(named: str) -> JobSpec | None:
    if is_job(named) and not (Path(named) / "run.json").is_file():
        return anchored(load_spec(named))
    if named.lower().endswith((".yaml", ".yml")) and "://" not in named and not Path(named).is_dir():
        return anchored(load_spec(Path(named).expanduser()))
    return None


def _of_job(named: str, spec: JobSpec) -> Storage:
    storage = Storage(spec.output)
    try:
        begun = storage.exists(NAME) or storage.folders("") or at_work(storage) is not None
    except Exception:  # every backend has its own classes; whoever reads what is there says why it cannot be read
        begun = True
    if not begun:
        what = "evaluate" if "protocol" in spec.model_fields_set else "run"
        raise OutputError(
            f"{named}: its output {storage.url} holds no job yet; `unscene {what} {shlex.quote(named)}` begins it"
        )
    return storage
