"""Arguments and options that several commands share, and those of `unscene init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import CommandError
from schemas.job import JobSpec

SpecArg = Annotated[
    Path,
    typer.Argument(help="Job spec: a YAML file, or the name of one that ships (`unscene jobs`).", show_default=False),
]
OutputArg = Annotated[
    str, typer.Argument(help="OUTPUT of a job: a folder, as any fsspec URL; or the job's spec.", show_default=False)
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="The first so many pictures only; without it a later run makes the rest in the same OUTPUT.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for programs, under names that stay.")]
SetOption = Annotated[list[str], typer.Option("--set", help="Override a field: section.field=value. Repeatable.")]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        help="Stop after this stage, such as segment, to see the masks before anything trains; a run without it goes "
        "on from there.",
        show_default=False,
    ),
]

FolderArg = Annotated[
    str | None, typer.Argument(help="Folder of your pictures, or a bucket's address.", show_default=False)
]
SourceOption = Annotated[str | None, typer.Option("--source", help="The same as FOLDER.", show_default=False)]
MasksOption = Annotated[
    str | None,
    typer.Option(
        "--masks", help="none, beside, or a COCO file. Left out: what lies in the folder.", show_default=False
    ),
]
OutOption = Annotated[str | None, typer.Option("--out", help="OUTPUT of the job.", show_default=False)]
BaseOption = Annotated[
    str | None, typer.Option("--base", help="Base model: seedling, a folder, or a Hugging Face id.", show_default=False)
]
GpuOption = Annotated[
    bool | None,
    typer.Option("--gpu/--no-gpu", help="Whether the job will have a GPU. Left out: what is here.", show_default=False),
]
ToOption = Annotated[Path | None, typer.Option("--to", help="File to write.", show_default=False)]
ExampleOption = Annotated[
    str | None, typer.Option("--example", help="A job that ships instead (`unscene jobs`).", show_default=False)
]


def limited(spec: JobSpec, limit: int | None) -> JobSpec:
    """The spec with `--limit` in place of its own."""
    if limit is None:
        return spec
    if spec.source.handles is not None:
        raise CommandError(
            f"--limit {limit}: this job draws all scenes of source.handles; leave it out, or name an OUTPUT of fewer"
        )
    return spec.model_copy(update={"source": spec.source.model_copy(update={"limit": limit})})
