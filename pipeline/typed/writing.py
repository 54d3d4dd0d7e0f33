"""Commands that write something small: a job for a folder, a withdrawal, handles for other tools, the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.addressed import output_at
from pipeline.commands.options import (
    BaseOption,
    ExampleOption,
    FolderArg,
    GpuOption,
    MasksOption,
    OutOption,
    OutputArg,
    SourceOption,
    ToOption,
)
from pipeline.typed.saying import ask, say
from schemas.errors import CommandError


def init(
    folder: FolderArg = None,
    source: SourceOption = None,
    masks: MasksOption = None,
    out: OutOption = None,
    base: BaseOption = None,
    gpu: GpuOption = None,
    to: ToOption = None,
    example: ExampleOption = None,
) -> None:
    """Write a job for a folder of your own, by what lies in it. Asks in a terminal; nothing is ever written over."""
    from pipeline.commands.init import Wanted, init_example, init_job

    if example is not None:
        if strange := [name for name in (folder, source, masks, out, base) if name is not None]:
            raise CommandError(f"--example {example}: it is written as it ships; leave {strange[0]} out, and edit it")
        for line in init_example(example, to):
            say(line)
        return
    if folder is not None and source is not None:
        raise CommandError(f"--source {source}: FOLDER says {folder} already; give one of the two")
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    wanted = Wanted(folder or source, masks, out, base, gpu, to)
    for line in init_job(wanted, ask if asks else None):
        say(line)


def withdraw(
    output: OutputArg,
    scene: Annotated[
        str, typer.Option("--scene", help="Scene id or enough of its beginning, or the name of its file or folder.")
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Want it again.")] = False,
) -> None:
    """Take one scene out of a job, also while it runs; the others go on."""
    from pipeline.ledger.withdrawals import withdraw as mark
    from pipeline.report.card import write_card
    from pipeline.shards.withdrawn_account import account_withdrawn

    storage = output_at(output)
    say(mark(storage, scene, undo))
    account_withdrawn(storage)
    write_card(storage)  # by which datasets knows that the account is another


def export(
    output: OutputArg,
    to: Annotated[Path, typer.Option("--to", help="Folder to write to.")],
    scene: Annotated[
        str | None,
        typer.Option(
            "--scene",
            help="Scene id or enough of its beginning, or the name of its file or folder.",
            show_default=False,
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every scene with handles, a folder each; the same command goes on.")
    ] = False,
) -> None:
    """Write the handles of one scene, or of all, as files that diffusers, ComfyUI, A1111 and other tools load."""
    from pipeline.export.every_scene import export_all
    from pipeline.export.handles import export_from

    if (scene is None) is not all_:
        raise CommandError("export: name one scene by `--scene birds.jpg` (or its id), or all of them by `--all`")
    storage = output_at(output)
    for line in export_all(storage, to) if scene is None else export_from(storage, scene, to):
        say(line)


def report(output: OutputArg) -> None:
    """Write the HTML report of a job (it is also written at the end of every run)."""
    from pipeline.report.card import foreign_card, foreign_text
    from pipeline.report.page import write_report

    storage = output_at(output)
    say(f"report: {write_report(storage)}")
    if foreign_card(storage):
        say(foreign_text(storage))
