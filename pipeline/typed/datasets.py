"""The command that makes a data set of an OUTPUT."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.addressed import output_at
from pipeline.commands.options import OutputArg
from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.typed.saying import say


def dataset(
    output: OutputArg,
    to: Annotated[Format, typer.Option("--to", help="Format.")],
    into: Annotated[
        str, typer.Option("--into", help="Folder to write to, as any fsspec URL; the same command goes on.")
    ],
    scenes: Annotated[
        Scenes, typer.Option("--scenes", help="The source's own pictures: among the new ones, nothing else, or none.")
    ] = Scenes.INCLUDE,
    unkept: Annotated[bool, typer.Option("--unkept", help="Also pictures that their scores do not keep.")] = False,
    singles: Annotated[
        bool, typer.Option("--singles", help="Only pictures of one concept, each with its class: for classifiers.")
    ] = False,
    validation: Annotated[
        float, typer.Option("--validation", help="Share of the scenes that are held out, with all their pictures.")
    ] = 0.1,
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="New pictures to each real one, at most.", show_default=False)
    ] = None,
    cap: Annotated[
        int | None, typer.Option("--cap", min=1, help="Pictures of each class, at most, by lot.", show_default=False)
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            help="YAML file of lines such as `dog: animal`; `tree: null` leaves a word out, `'*'` is every other.",
            show_default=False,
        ),
    ] = None,
    crowds: Annotated[
        bool,
        typer.Option(
            "--crowds", help="Also what is marked iscrowd, each as one object, as CVAT marks its brush's masks."
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the lots: sides of scenes, --ratio, --cap.")] = 0,
) -> None:
    """Write pictures, masks, boxes and classes as a data set that trainers take as it is."""
    from pipeline.dataset.classes import ClassMap, read_class_map
    from pipeline.dataset.making import make_dataset

    choices = Choices(
        format=to,
        scenes=scenes,
        unkept=unkept,
        singles=singles,
        validation=validation,
        ratio=ratio,
        cap=cap,
        seed=seed,
        classes=read_class_map(classes) if classes is not None else ClassMap(),
        crowds=crowds,
    )
    for line in make_dataset(output_at(output), choices, into):
        say(line)
