"""Commands that look, and change nothing: at a job before it runs, and at what an OUTPUT holds."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer
from rich.console import Console

from pipeline.commands.addressed import output_at
from pipeline.commands.options import JsonOption, LimitOption, OutputArg, SetOption, SpecArg, limited
from pipeline.typed.saying import again, console, say
from schemas.errors import CommandError, SpecError
from schemas.shipped import job_names, job_text, job_title
from schemas.spec_file import load_spec


def check(spec: SpecArg, set_: SetOption = []) -> None:  # noqa: B006
    """Look at everything that can be known before work: spec, models, source and masks, prompts, output."""
    from pipeline.commands.check import check_job
    from pipeline.commands.paths import anchored
    from pipeline.protocol.jobs import method_spec

    loaded = anchored(load_spec(spec, set_))
    names = loaded.protocol.methods if "protocol" in loaded.model_fields_set else []
    say(f"ok     spec: {spec}")
    wrong: list[str] = []
    for checked in check_job(loaded, {name: method_spec(loaded, name) for name in names}):
        wrong += [checked.name] if checked.wrong else []
        for line in checked.lines():
            say(line)
    if wrong:
        raise SpecError(_told_above(wrong))
    verb = "evaluate" if names else "run"
    say(f"nothing keeps it from running: unscene {verb} {shlex.quote(str(spec))}{again('--set', set_)}")


def _told_above(wrong: list[str]) -> str:
    """What `check` ends with: where to look, and not what stands there once more."""
    if len(wrong) == 1:
        return f"{wrong[0]} is wrong; its line above says what to do"
    return f"{len(wrong)} things are wrong, {', '.join(wrong)}; their lines above say what to do"


def plan(
    spec: SpecArg,
    set_: SetOption = [],  # noqa: B006
    limit: LimitOption = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure how long it takes here: half a minute of the models at work.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Dry run: scenes found, and what each stage costs in FLOPs, time, memory and storage. Nothing is written."""
    from pipeline.commands.estimate import estimate
    from pipeline.commands.facts import plan_facts
    from pipeline.commands.probe import probe as measure
    from pipeline.protocol.estimate import estimate_protocol
    from pipeline.watching.preparing import LOOKING, preparing

    loaded = limited(load_spec(spec, set_), limit)
    compares = "protocol" in loaded.model_fields_set
    if json_ and compares:
        raise CommandError(f"--json: {spec} compares methods; plan it without --json, or a job without the section")
    if probe and compares:
        raise CommandError(f"--probe: {spec} compares methods; plan it without --probe, or a job without the section")
    how = measure if probe else None
    with preparing(Console(stderr=True), LOOKING):
        if json_:
            lines = [json.dumps(plan_facts(loaded, how), indent=1)]
        else:
            lines = estimate_protocol(loaded) if compares else estimate(loaded, how)
    for line in lines:
        say(line)


def status(
    output: OutputArg,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until the run ends.")] = False,
    json_: JsonOption = False,
) -> None:
    """Progress, failures and ETA of a job, from storage alone, from any machine."""
    from pipeline.commands.facts import status_facts
    from pipeline.commands.status import status_lines

    if watch and json_:
        raise CommandError("--watch is for eyes and --json for programs; give one of the two")
    if watch:
        from pipeline.commands.watch import watch as follow

        follow(output_at(output), console)
        return
    if json_:
        typer.echo(json.dumps(status_facts(output_at(output)), indent=1))
        return
    for line in status_lines(output_at(output)):
        say(line)


def scenes(
    output: OutputArg,
    find: Annotated[
        str | None,
        typer.Option("--find", help="Those whose file, id or word this is part of.", show_default=False),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Every scene in a line: its path, the stage it has reached, concepts, pictures, failure."""
    from pipeline.commands.scenes import as_json, list_scenes, scene_lines

    storage = output_at(output)
    found = list_scenes(storage, find)
    if json_:
        for piece in as_json(found, storage):
            typer.echo(piece, nl=False)
        return
    for line in scene_lines(found, storage, find):
        say(line)


def jobs(
    name: Annotated[str | None, typer.Argument(help="Print this one, to copy and edit.", show_default=False)] = None,
) -> None:
    """The jobs that ship with Unscene; each runs by its name, in any folder: `unscene run demo`."""
    if name is None:
        for each in job_names():
            say(f"{each}: {job_title(each)}")
        say("one of your own: unscene jobs NAME > my-job.yaml")
    elif name in job_names():
        typer.echo(job_text(name), nl=False)
    else:
        raise CommandError(f"{name}: no job of that name ships with Unscene; there are {', '.join(job_names())}")


def fields(
    name: Annotated[
        str | None, typer.Argument(help="A section or a field by its dotted name.", show_default=False)
    ] = None,
) -> None:
    """What the fields of a job are: type, default, meaning, and whether they change results."""
    from pipeline.commands.fields import field_lines

    for line in field_lines(name):
        say(line)
