"""The OUTPUT that a person names: by its address, or by the spec of the job that writes it."""

from __future__ import annotations

import shlex
from pathlib import Path

from pipeline.commands.paths import anchored
from pipeline.ledger.lease import at_work
from pipeline.ledger.run_record import NAME
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from schemas.job import JobSpec
from schemas.shipped import is_job
from schemas.spec_file import load_spec


def output_at(named: str) -> Storage:
    """The OUTPUT at an address, or the `output` of a job spec, or of a job that ships where no output has its name.

    Raises SpecError where a file of YAML is no spec, OutputError where an address cannot be one, or the job of a
    spec has not begun.
    """
    if not named.strip():  # what a shell makes of a variable that is not set
        raise OutputError("OUTPUT is empty; name the output folder of a job, or its spec")
    if is_job(named) and not (Path(named) / "run.json").is_file():
        return _of_job(named, load_spec(named))
    if named.lower().endswith((".yaml", ".yml")) and "://" not in named and not Path(named).is_dir():
        return _of_job(named, load_spec(Path(named).expanduser()))
    return Storage(named)


def _of_job(named: str, spec: JobSpec) -> Storage:
    storage = Storage(anchored(spec).output)
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
