"""Commands that run a job, or several, and say how it ended."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from pipeline.commands.addressed import output_at, with_credentials
from pipeline.commands.notified import Ending, notified
from pipeline.commands.options import LimitOption, OutputArg, SetOption, SpecArg, UntilOption, limited
from pipeline.ledger.run_record import recorded_spec
from pipeline.storage.folder import Storage
from pipeline.typed.saying import again, again_told, console, end_with, say, typed
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.spec_file import load_spec


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
    loaded = limited(load_spec(spec, set_), limit)
    if "protocol" in loaded.model_fields_set:
        raise SpecError(
            f"{spec}: protocol: this spec compares methods; run it with `unscene evaluate {shlex.quote(str(spec))}`, "
            "or take the section out to run one job"
        )
    words, most = f"unscene run {shlex.quote(str(spec))}", f" --limit {limit}" if limit else ""
    kept = f"{words}{again_told('--set', set_)}{most}"
    _run(loaded, f"{words}{again('--set', set_)}{most}", refresh=refresh, until=until, kept=kept)


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
    command = typed(f"unscene evaluate {shlex.quote(str(spec))}{again('--only', only)}{again('--set', set_)}")
    with notified(loaded, say) as ending:
        kept = f"unscene evaluate {shlex.quote(str(spec))}{again('--only', only)}{again_told('--set', set_)}"
        found = run_protocol(loaded, console, only, typed(kept))
        ending.complete, ending.scenes, ending.report = found.complete, found.counts, found.report
        for line in found.lines:
            say(line)
        if not found.complete:
            say(f"stopped; what was whole is written. Go on with: {command}")
            raise typer.Exit(130)
        ending.wrong = "; ".join(found.nothing) or None
        end_with(found.nothing)


def retry(output: OutputArg, until: UntilOption = None) -> None:
    """Try the failed scenes of a job again, and make those anew whose picture or masks changed since."""
    storage = output_at(output)
    spec = with_credentials(recorded_spec(storage), output).model_copy(update={"output": storage.url})
    _run(spec, f"unscene retry {shlex.quote(output)}", retry=True, refresh=True, until=until)


def submit(
    spec: SpecArg,
    address: Annotated[str, typer.Option("--address", help="Ray dashboard of the cluster, http://127.0.0.1:8265.")],
    set_: SetOption = [],  # noqa: B006
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job's log until it ends.")] = False,
) -> None:
    """Run the same job on a cluster, through Ray's Jobs API."""
    from pipeline.commands.submit import submit_job

    raise typer.Exit(submit_job(spec, set_, address, wait, say))


def _run(
    spec: JobSpec,
    command: str,
    retry: bool = False,
    refresh: bool = False,
    until: str | None = None,
    kept: str | None = None,
) -> None:
    """command: what goes on with the job, for whoever has typed it; kept: for whoever reads of it later."""
    with notified(spec, say) as ending:
        _run_told(spec, ending, command, retry, refresh, until, kept or command)


def _run_told(
    spec: JobSpec, ending: Ending, command: str, retry: bool, refresh: bool, until: str | None, kept: str
) -> None:
    from pipeline.commands.closing import closing_lines, nothing_made, nothing_to_do
    from pipeline.commands.run import run_job
    from pipeline.report.card import is_card_old, write_card
    from pipeline.report.page import NAME, write_report

    result = run_job(spec, console, retry=retry, refresh=refresh, until=until, command=typed(kept))
    command = typed(command + (f" --until {until}" if until else ""))
    ending.complete, ending.scenes = result.complete, result.counts
    if not result.worked:
        say(nothing_to_do(result, retry))
        storage = Storage(spec.output)
        # The run that was through all was killed before it, or the source has other files to account for.
        if not storage.exists(NAME) or is_card_old(storage):
            ending.report = write_report(storage)
    elif not result.complete:
        write_card(Storage(spec.output))  # of tables that have more rows than it tells of
        say(f"stopped; what was whole is written. Go on with: {command}")
        raise typer.Exit(130)
    else:
        ending.report = write_report(Storage(spec.output))
    lines = closing_lines(Storage(spec.output), result)
    if result.stale:
        anew = f"{command} --refresh"
        lines.append(f"stale: {len(result.stale)}, results of files that changed since; make them anew: {anew}")
    for line in lines:
        say(line)
    if result.log is not None:
        result.log.event("\n".join(lines))
        result.log.write()
    ending.wrong = nothing_made(Storage(spec.output), result)
    end_with([ending.wrong] if ending.wrong else [])
