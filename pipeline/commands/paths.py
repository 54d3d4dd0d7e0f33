"""Relative paths of a spec mean the folder the command was typed in; workers run elsewhere."""

from __future__ import annotations

from pathlib import Path

from schemas.job import JobSpec


def anchored(spec: JobSpec) -> JobSpec:
    """The spec with its local paths made absolute; URLs, Hub ids and bundled names stay as they are."""
    source = spec.source.model_copy(
        update={name: _absolute(getattr(spec.source, name)) for name in ("uri", "handles", "coco")}
    )
    models = spec.models.model_copy(
        update={name: _model(getattr(spec.models, name)) for name in ("base", "sam", "clip", "identity")}
    )
    return spec.model_copy(update={"source": source, "models": models, "output": _absolute(spec.output)})


def _absolute(path: str | None) -> str | None:
    if path is not None and path.startswith(("zip://", "tar://")):
        inner, chain, archive = path.partition("::")
        return f"{inner}{chain}{_absolute(archive) if archive else ''}"
    if path is None or "://" in path or ("::" in path and not Path(path).expanduser().exists()):
        return path
    return str(Path(path).expanduser().absolute())


def _model(name: str) -> str:
    """A name that is a path here is a path; anything else (`seedling`, a Hub id) is not ours to touch."""
    local = Path(name).expanduser()
    return str(local.absolute()) if "://" not in name and local.exists() else name


def local_paths(spec: JobSpec) -> dict[str, str]:
    """Dotted name -> absolute path of everything in the spec that lies on a local disk.

    Relative paths count from the folder that `submit` is called in, as they do for `run`; on the cluster the job starts
    in another one.
    """
    given = {
        "source.uri": spec.source.uri,
        "source.coco": spec.source.coco,
        "source.handles": spec.source.handles,
        "output": spec.output,
    }
    models = {f"models.{name}": getattr(spec.models, name) for name in ("base", "sam", "clip", "identity")}
    given |= {
        name: value for name, value in models.items() if value != "seedling" and Path(value).expanduser().exists()
    }
    return {
        name: str(Path(value.removeprefix("file://")).expanduser().absolute())
        for name, value in given.items()
        if value is not None and ("://" not in value or value.startswith("file://"))
    }
