"""The command that has people compare methods, and reads what they say."""

from __future__ import annotations

import posixpath
import shlex
from typing import Annotated

import typer

from pipeline.commands.addressed import output_at
from pipeline.storage.folder import Storage
from pipeline.typed.saying import say
from schemas.errors import CommandError


def study(
    outputs: Annotated[
        list[str],
        typer.Argument(
            metavar="OUTPUT",
            help="OUTPUT of `unscene evaluate`, or several outputs; with --analyse, raters' CSV files too.",
            show_default=False,
        ),
    ],
    questions: Annotated[
        int, typer.Option("--questions", min=2, max=200, help="Asked of each rater: half object, half prompt.")
    ] = 40,
    only: Annotated[
        list[str], typer.Option("--only", help="Compare these methods alone. Repeatable.", show_default=False)
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", help="Of the lot: scenes, prompts, orders.")] = 0,
    into: Annotated[
        str | None,
        typer.Option("--into", help="Folder to write to. Left out: study/ under OUTPUT.", show_default=False),
    ] = None,
    analyse: Annotated[bool, typer.Option("--analyse", help="Read the CSV files that raters sent.")] = False,
) -> None:
    """Have people compare methods blind: a page on which they rate pictures, and what their answers say."""
    answers = [name for name in outputs if name.lower().endswith(".csv")]
    named = [name for name in outputs if name not in answers]
    if analyse:
        _analyse(named, answers, into)
        return
    if answers:
        raise CommandError(f"{answers[0]}: answers are read with --analyse; add it")
    from pipeline.study.making import FOLDER, make_study

    storages = [output_at(name) for name in named]
    if into is None and len(named) > 1:
        raise CommandError("--into: several outputs have no folder in common; name one to write the study to")
    folder = Storage(storages[0].url_of(FOLDER) if into is None else into)
    for line in make_study(storages, folder, questions, seed, only):
        say(line)
    told = shlex.quote(named[0] if into is None else into)
    say(f"then: unscene study {told} --analyse answers/*.csv")


def _analyse(named: list[str], answers: list[str], into: str | None) -> None:
    from pipeline.study.analysis.analysing import analyse_answers, study_at

    if not answers:
        raise CommandError(
            "--analyse: no answers are named; name the CSV files that raters sent: "
            "`unscene study OUTPUT --analyse answers/*.csv`"
        )
    if len(named) > 1:
        raise CommandError(f"--analyse: {named[1]} is a second OUTPUT; name the one of the study, and CSV files")
    home = study_at(output_at(named[0])) if named else None
    beside = Storage(posixpath.dirname(answers[0]) or ".")
    folder = Storage(into) if into is not None else home or beside
    for line in analyse_answers(answers, home, folder):
        say(line)
