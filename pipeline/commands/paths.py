"""Relative paths of a spec mean the folder the command was typed in; workers run elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

from schemas.errors import Mistakes, SpecError
from schemas.job import JobSpec


def anchored(spec: JobSpec) -> JobSpec:
    """The spec with its local paths made absolute; URLs, Hub ids and bundled names stay as they are.

    Raises SpecError for a path below the home folder of nobody, and for one with a variable of the shell in it.
    """
    mistakes = Mistakes()
    source: dict[str, str | None] = {}
    models: dict[str, str] = {}
    output: str | None = None
    place, accelerate, judge = spec.generate.place, spec.generate.accelerate, spec.evaluate.sam
    for name in ("uri", "handles", "coco"):
        with mistakes.told_later():
            source[name] = _absolute(getattr(spec.source, name), f"source.{name}")
    for name in ("base", "sam", "clip", "identity"):
        with mistakes.told_later():
            models[name] = _model(getattr(spec.models, name), f"models.{name}")
    with mistakes.told_later():
        place = place.model_copy(update={"given": _absolute(place.given, "generate.place.given")})
    with mistakes.told_later():
        accelerate = None if accelerate is None else _model(accelerate, "generate.accelerate")
    with mistakes.told_later():
        judge = None if judge is None else _model(judge, "evaluate.sam")
    with mistakes.told_later():
        output = _absolute(spec.output, "output")
    mistakes.tell()
    return spec.model_copy(
        update={
            "source": spec.source.model_copy(update=source),
            "models": spec.models.model_copy(update=models),
            "generate": spec.generate.model_copy(update={"place": place, "accelerate": accelerate}),
            "evaluate": spec.evaluate.model_copy(update={"sam": judge}),
            "output": output,
        }
    )


def _absolute(path: str | None, field: str) -> str | None:
    if path is not None:
        _check_variables(path, field)
    if path is not None and path.startswith(("zip://", "tar://")):
        inner, chain, archive = path.partition("::")
        return f"{inner}{chain}{_absolute(archive, field) if archive else ''}"
    if path is None or "://" in path or ("::" in path and not _local(path, field).exists()):
        return path
    return str(_local(path, field).absolute())


_VARIABLE = re.compile(r"\$(?:\{\w+\}|[A-Za-z_]\w*)")


def _check_variables(path: str, field: str) -> None:
    """Raises SpecError for a path that holds a variable of the shell: as it stands it would be a folder called `$HOME`.

    A name with such a sign that is there means itself, and so does one in a bucket that is set nowhere.
    """
    found = _VARIABLE.search(path)
    if found is None or ("://" not in path and _local(path, field).exists()):
        return
    name = found[0].strip("${}")
    if "://" in path and name not in os.environ and "{" not in found[0]:
        return
    instead = "~" if name == "HOME" else "its value"
    raise SpecError(
        f"{field}: {path}: variables such as {found[0]} are not read in a spec; write {instead} in its place, or have "
        f'the shell do it: --set "{field}={path}"'
    )


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
    if name == "seedling":  # whatever lies in the folder that the command was typed in
        return name
    _check_variables(name, field)
    local = _local(name, field)
    return str(local.absolute()) if "://" not in name and local.exists() else name


def local_paths(spec: JobSpec) -> dict[str, str]:
    """Dotted name -> absolute path of everything in the spec that lies on a local disk.

    Relative paths count from the folder that `submit` is called in, as they do for `run`; on the cluster the job starts
    in another one. Raises SpecError for a path below the home folder of nobody, or with a variable of the shell in it.
    """
    given = {
        "source.uri": spec.source.uri,
        "source.coco": spec.source.coco,
        "source.handles": spec.source.handles,
        "generate.place.given": spec.generate.place.given,
        "output": spec.output,
    }
    models = {f"models.{name}": getattr(spec.models, name) for name in ("base", "sam", "clip", "identity")}
    if spec.generate.accelerate is not None:
        models["generate.accelerate"] = spec.generate.accelerate
    if spec.evaluate.sam is not None:
        models["evaluate.sam"] = spec.evaluate.sam
    for name, value in (given | models).items():
        if value is not None:
            _check_variables(value, name)
    given |= {name: value for name, value in models.items() if value != "seedling" and _local(value, name).exists()}
    return {
        name: str(_local(value.removeprefix("file://"), name).absolute())
        for name, value in given.items()
        if value is not None and ("://" not in value or value.startswith("file://"))
    }
