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
    if path is None or "://" in path or "::" in path:
        return path
    return str(Path(path).expanduser().absolute())


def _model(name: str) -> str:
    """A name that is a path here is a path; anything else (`seedling`, a Hub id) is not ours to touch."""
    local = Path(name).expanduser()
    return str(local.absolute()) if "://" not in name and local.exists() else name
