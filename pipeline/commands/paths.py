"""Relative paths of a spec mean the folder the command was typed in; workers run elsewhere."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import SpecError
from schemas.job import JobSpec


def anchored(spec: JobSpec) -> JobSpec:
    """The spec with its local paths made absolute; URLs, Hub ids and bundled names stay as they are.

    Raises SpecError for a path below the home folder of nobody.
    """
    source = spec.source.model_copy(
        update={name: _absolute(getattr(spec.source, name), f"source.{name}") for name in ("uri", "handles", "coco")}
    )
    models = spec.models.model_copy(
        update={
            name: _model(getattr(spec.models, name), f"models.{name}") for name in ("base", "sam", "clip", "identity")
        }
    )
    return spec.model_copy(update={"source": source, "models": models, "output": _absolute(spec.output, "output")})


def _absolute(path: str | None, field: str) -> str | None:
    if path is not None and path.startswith(("zip://", "tar://")):
        inner, chain, archive = path.partition("::")
        return f"{inner}{chain}{_absolute(archive, field) if archive else ''}"
    if path is None or "://" in path or ("::" in path and not _local(path, field).exists()):
        return path
    return str(_local(path, field).absolute())


def _local(path: str, field: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise SpecError(
            f"{field}: {path}: there is no home folder {user} here; write the path from / on, or ./{user} for a folder "
            "of that name"
        ) from None


def _model(name: str, field: str) -> str:
    """A name that is a path here is a path; anything else (`seedling`, a Hub id) is not ours to touch."""
    local = _local(name, field)
    return str(local.absolute()) if "://" not in name and local.exists() else name


def local_paths(spec: JobSpec) -> dict[str, str]:
    """Dotted name -> absolute path of everything in the spec that lies on a local disk.

    Relative paths count from the folder that `submit` is called in, as they do for `run`; on the cluster the job starts
    in another one. Raises SpecError for a path below the home folder of nobody.
    """
    given = {
        "source.uri": spec.source.uri,
        "source.coco": spec.source.coco,
        "source.handles": spec.source.handles,
        "output": spec.output,
    }
    models = {f"models.{name}": getattr(spec.models, name) for name in ("base", "sam", "clip", "identity")}
    given |= {name: value for name, value in models.items() if value != "seedling" and _local(value, name).exists()}
    return {
        name: str(_local(value.removeprefix("file://"), name).absolute())
        for name, value in given.items()
        if value is not None and ("://" not in value or value.startswith("file://"))
    }
