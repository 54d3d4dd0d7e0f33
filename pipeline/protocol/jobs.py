"""The jobs of a protocol, each an ordinary spec: one that prepares the scenes for all, and one a method."""

from __future__ import annotations

import posixpath

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.methods import as_method
from schemas.spec_file import spec_from

SCENES = "scenes"
"""Folder under OUTPUT in which the scenes are prepared."""
REPORT = "protocol"
"""Folder under OUTPUT for what the comparison comes to."""


def scenes_spec(spec: JobSpec) -> JobSpec:
    """The job that makes what no method changes. What methods do change keeps its defaults here, so that other training
    settings do not ask for other scenes."""
    tree = spec.model_dump(mode="json")
    shared = ("source", "seed", "models", "ingest", "segment", "pack", "cluster")
    output = posixpath.join(spec.output, SCENES)
    return spec_from({"output": output, **{name: tree[name] for name in shared}}, f"the job of {output}")


def method_spec(spec: JobSpec, name: str) -> JobSpec:
    """The whole job of one method or ablation, under OUTPUT/NAME.

    Raises SpecError when the spec has a method of its own, which would mix with this one's.
    """
    if spec.extract.method != "break_a_scene":
        raise SpecError(
            f"extract.method: {spec.extract.method}: an evaluation sets the method itself; leave the field out, and "
            "name the methods in protocol.methods"
        )
    tree = spec.model_dump(mode="json", exclude={"protocol"})
    output = posixpath.join(spec.output, name)
    tree |= {"output": output, "extract": as_method(tree["extract"], name)}
    tree["evaluate"] = {**tree["evaluate"], "enabled": True}  # scores are what an evaluation is after
    return spec_from(tree, f"the job of {output}")
