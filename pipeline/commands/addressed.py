"""The OUTPUT that a person names: by its address, or by the spec of the job that writes it."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.paths import anchored
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from schemas.shipped import is_job
from schemas.spec_file import load_spec


def output_at(named: str) -> Storage:
    """The OUTPUT at an address, or the `output` of a job spec, or of a job that ships where no output has its name.

    Raises SpecError where a file of YAML is no spec, OutputError where an address cannot be one.
    """
    if not named.strip():  # what a shell makes of a variable that is not set
        raise OutputError("OUTPUT is empty; name the output folder of a job, or its spec")
    if is_job(named) and not (Path(named) / "run.json").is_file():
        return Storage(anchored(load_spec(named)).output)
    if named.lower().endswith((".yaml", ".yml")) and "://" not in named and not Path(named).is_dir():
        return Storage(anchored(load_spec(Path(named).expanduser())).output)
    return Storage(named)
