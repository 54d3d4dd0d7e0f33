"""The `unscene` command. Every mistake of the caller is one sentence on stderr and exit code 2; a job that has made
nothing is one sentence and exit code 1."""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.commands.addressed import output_at, with_credentials
from pipeline.commands.examples import examples
from pipeline.commands.notified import Ending, notified
from pipeline.commands.options import (
    BaseOption,
    ExampleOption,
    FolderArg,
    GpuOption,
    JsonOption,
    LimitOption,
    MasksOption,
    OutOption,
    OutputArg,
    SetOption,
    SourceOption,
    SpecArg,
    ToOption,
    UntilOption,
)
from pipeline.commands.screen import guard_the_screen
from pipeline.commands.usage import usage_sentence
from pipeline.ledger.run_record import recorded_spec
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, JobError, SpecError
from schemas.job import JobSpec
from schemas.shipped import job_names, job_text, job_title, version
from schemas.spec_file import load_spec

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Take every scene of a bucket apart into text handles, and make new pictures of them.",
)
_console = Console(highlight=False)


def _version(asked: bool) -> None:
    if asked:
        _say(f"unscene {version()}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


@app.command(epilog=examples("run"))
def run(
    spec: SpecArg,
    set_: SetOption = [],  # noqa: B006
    limit: LimitOption = None,
    until: UntilOption = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Make those scenes anew whose picture or masks changed since.")
    ] = False,
) -> None:
    """Run a job, or go on with it: the same command."""
    loaded = _limited(load_spec(spec, set_), limit)
    if "protocol" in loaded.model_fields_set:
        raise SpecError(
            f"{spec}: protocol: this spec compares methods; run it with `unscene evaluate {shlex.quote(str(spec))}`, "
            "or take the section out to run one job"
        )
    command = f"unscene run {shlex.quote(str(spec))}{_again('--set', set_)}"
    command += (f" --limit {limit}" if limit else "") + (f" --until {until}" if until else "")
    _run(loaded, command, refresh=refresh, until=until)


@app.command(epilog=examples("evaluate"))
def evaluate(
    spec: SpecArg,
    only: Annotated[
        list[str], typer.Option("--only", help="Run this method of the protocol only. Repeatable.", show_default=False)
    ] = [],  # noqa: B006
    set_: SetOption = [],  # noqa: B006
) -> None:
    """Run the evaluation protocol: the same scenes through several methods, compared. The same command goes on."""
    from pipeline.protocol.run import evaluate as run_protocol

    loaded = load_spec(spec, set_)
    with notified(loaded, _say) as ending:
        found = run_protocol(loaded, _console, only)
        ending.complete, ending.scenes, ending.report = found.complete, found.counts, found.report
        for line in found.lines:
            _say(line)
        if not found.complete:
            command = f"unscene evaluate {shlex.quote(str(spec))}{_again('--only', only)}{_again('--set', set_)}"
            _say(f"stopped; what was whole is written. Go on with: {_typed(command)}")
            raise typer.Exit(130)
        ending.wrong = "; ".join(found.nothing) or None
        _end_with(found.nothing)


@app.command(epilog=examples("plan"))
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

    loaded = _limited(load_spec(spec, set_), limit)
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
        _say(line)


@app.command(epilog=examples("check"))
def check(spec: SpecArg, set_: SetOption = []) -> None:  # noqa: B006
    """Look at everything that can be known before work: spec, models, source and masks, prompts, output."""
    from pipeline.commands.check import check_job
    from pipeline.commands.paths import anchored
    from pipeline.protocol.jobs import method_spec

    loaded = anchored(load_spec(spec, set_))
    names = loaded.protocol.methods if "protocol" in loaded.model_fields_set else []
    _say(f"ok     spec: {spec}")
    wrong: list[str] = []
    for checked in check_job(loaded, {name: method_spec(loaded, name) for name in names}):
        wrong += [checked.wrong] if checked.wrong else []
        for line in checked.lines():
            _say(line)
    if wrong:
        raise SpecError(f"{wrong[0]}" if len(wrong) == 1 else f"{len(wrong)} things are wrong; the first: {wrong[0]}")
    _say(f"nothing keeps it from running: unscene {'evaluate' if names else 'run'} {shlex.quote(str(spec))}")


@app.command(epilog=examples("init"))
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
            _say(line)
        return
    if folder is not None and source is not None:
        raise CommandError(f"--source {source}: FOLDER says {folder} already; give one of the two")
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    wanted = Wanted(folder or source, masks, out, base, gpu, to)
    for line in init_job(wanted, (lambda text, default: typer.prompt(text, default=default or None)) if asks else None):
        _say(line)


@app.command(epilog=examples("status"))
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

        follow(output_at(output), _console)
        return
    if json_:
        typer.echo(json.dumps(status_facts(output_at(output)), indent=1))
        return
    for line in status_lines(output_at(output)):
        _say(line)


@app.command(epilog=examples("scenes"))
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
        _say(line)


@app.command(epilog=examples("retry"))
def retry(output: OutputArg, until: UntilOption = None) -> None:
    """Try the failed scenes of a job again, and make those anew whose picture or masks changed since."""
    storage = output_at(output)
    spec = with_credentials(recorded_spec(storage), output).model_copy(update={"output": storage.url})
    command = f"unscene retry {shlex.quote(output)}" + (f" --until {until}" if until else "")
    _run(spec, command, retry=True, refresh=True, until=until)


@app.command(epilog=examples("withdraw"))
def withdraw(
    output: OutputArg,
    scene: Annotated[
        str, typer.Option("--scene", help="Scene id or enough of its beginning, or the name of its file or folder.")
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Want it again.")] = False,
) -> None:
    """Take one scene out of a job, also while it runs; the others go on."""
    from pipeline.ledger.withdrawals import withdraw as mark
    from pipeline.shards.withdrawn_account import account_withdrawn

    storage = output_at(output)
    _say(mark(storage, scene, undo))
    account_withdrawn(storage)


@app.command(epilog=examples("export"))
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
    """Write the handles of one scene, or of all, as files that diffusers loads."""
    from pipeline.export.every_scene import export_all
    from pipeline.export.handles import export_from

    if (scene is None) is not all_:
        raise CommandError("export: name one scene by `--scene birds.jpg` (or its id), or all of them by `--all`")
    storage = output_at(output)
    for line in export_all(storage, to) if scene is None else export_from(storage, scene, to):
        _say(line)


@app.command(epilog=examples("report"))
def report(output: OutputArg) -> None:
    """Write the HTML report of a job (it is also written at the end of every run)."""
    from pipeline.report.page import write_report

    _say(f"report: {write_report(output_at(output))}")


@app.command(epilog=examples("jobs"))
def jobs(
    name: Annotated[str | None, typer.Argument(help="Print this one, to copy and edit.", show_default=False)] = None,
) -> None:
    """The jobs that ship with Unscene; each runs by its name, in any folder: `unscene run demo`."""
    if name is None:
        for each in job_names():
            _say(f"{each}: {job_title(each)}")
        _say("one of your own: unscene jobs NAME > my-job.yaml")
    elif name in job_names():
        typer.echo(job_text(name), nl=False)
    else:
        raise CommandError(f"{name}: no job of that name ships with Unscene; there are {', '.join(job_names())}")


@app.command(epilog=examples("fields"))
def fields(
    name: Annotated[
        str | None, typer.Argument(help="A section or a field by its dotted name.", show_default=False)
    ] = None,
) -> None:
    """What the fields of a job are: type, default, meaning, and whether they change results."""
    from pipeline.commands.fields import field_lines

    for line in field_lines(name):
        _say(line)


@app.command(epilog=examples("submit"))
def submit(
    spec: SpecArg,
    address: Annotated[str, typer.Option("--address", help="Ray dashboard of the cluster, http://127.0.0.1:8265.")],
    set_: SetOption = [],  # noqa: B006
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job's log until it ends.")] = False,
) -> None:
    """Run the same job on a cluster, through Ray's Jobs API."""
    from pipeline.commands.submit import submit_job

    raise typer.Exit(submit_job(spec, set_, address, wait, _say))


def _limited(spec: JobSpec, limit: int | None) -> JobSpec:
    """The spec with `--limit` in place of its own."""
    if limit is None:
        return spec
    if spec.source.handles is not None:
        raise CommandError(
            f"--limit {limit}: this job draws all scenes of source.handles; leave it out, or name an OUTPUT of fewer"
        )
    return spec.model_copy(update={"source": spec.source.model_copy(update={"limit": limit})})


def _run(spec: JobSpec, command: str, retry: bool = False, refresh: bool = False, until: str | None = None) -> None:
    with notified(spec, _say) as ending:
        _run_told(spec, ending, command, retry, refresh, until)


def _run_told(
    spec: JobSpec, ending: Ending, command: str, retry: bool = False, refresh: bool = False, until: str | None = None
) -> None:
    from pipeline.commands.closing import closing_lines, nothing_made
    from pipeline.commands.run import run_job
    from pipeline.report.page import write_report

    result = run_job(spec, _console, retry=retry, refresh=refresh, until=until)
    ending.complete, ending.scenes = result.complete, result.counts
    if not result.worked:
        rest = ", but for the changed ones" if result.stale else ""
        done = (
            f"every scene of the plan is through {result.until}"
            if result.until
            else "every scene of the plan is committed"
        )
        _say(f"nothing to do: {'no scene has failed' if retry else done}{rest}")
    elif not result.complete:
        _say(f"stopped; what was whole is written. Go on with: {_typed(command)}")
        raise typer.Exit(130)
    else:
        ending.report = write_report(Storage(spec.output))
    lines = closing_lines(Storage(spec.output), result)
    if result.stale:
        lines.append(
            f"stale: {len(result.stale)}, results of files that changed since; make them anew: {command} --refresh"
        )
    for line in lines:
        _say(line)
    if result.log is not None:
        result.log.event("\n".join(lines))
        result.log.write()
    ending.wrong = nothing_made(Storage(spec.output), result)
    _end_with([ending.wrong] if ending.wrong else [])


def _typed(command: str) -> str:
    """The command that goes on as a person types it: of a job that was submitted, the one that submitted it."""
    from pipeline.commands.submit import AGAIN

    return os.environ.get(AGAIN, command)


def _again(option: str, values: list[str]) -> str:
    """A repeated option as it has to be typed: `--set "output=out/run #7"` keeps its quotes."""
    return "".join(f" {option} {shlex.quote(value)}" for value in values)


def _end_with(reasons: list[str]) -> None:
    """Exit code 1 where a job came to its end and has made nothing."""
    for reason in reasons:
        print(f"unscene: {reason}", file=sys.stderr)
    if reasons:
        raise typer.Exit(1)


def _say(line: str) -> None:
    _console.print(line, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point of `unscene`."""
    guard_the_screen()
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # read when ray is imported
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        sys.exit(app(prog_name="unscene", standalone_mode=False))  # by which completion finds it
    except JobError as error:
        print(f"unscene: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        if (sentence := usage_sentence(error)) is not None:
            if sentence:
                print(f"unscene: {sentence}", file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        print(
            f"unscene: stopped by {type(error).__name__}: {error}. What is committed is safe; the same command goes "
            "on from there.",
            file=sys.stderr,
        )
        sys.exit(1)
