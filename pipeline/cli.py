"""The `unscene` command. Every mistake of the caller is one sentence on stderr and exit code 2; a job that has made
nothing is one sentence and exit code 1."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from pipeline.commands.examples import examples
from pipeline.commands.screen import guard_the_screen
from pipeline.commands.usage import usage_sentence
from pipeline.typed.datasets import dataset
from pipeline.typed.looking import check, fields, jobs, plan, scenes, status
from pipeline.typed.saying import complain, say
from pipeline.typed.studies import study
from pipeline.typed.working import evaluate, retry, run, submit
from pipeline.typed.writing import export, init, report, withdraw
from schemas.errors import JobError
from schemas.shipped import version

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Take every scene of a bucket apart into text handles, and make new pictures of them.",
)
for _command in (
    *(init, check, plan, run, status, scenes, report),  # as one comes to need them
    *(retry, withdraw, export, dataset, evaluate, study, submit, jobs, fields),
):
    app.command(epilog=examples(_command.__name__))(_command)


def _version(asked: bool) -> None:
    if asked:
        say(f"unscene {version()}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point of `unscene`."""
    guard_the_screen()
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # read when ray is imported
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        sys.exit(app(prog_name="unscene", standalone_mode=False))  # by which completion finds it
    except JobError as error:
        complain(str(error))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        from stages.transient import is_locked_out

        if (sentence := usage_sentence(error)) is not None:
            if sentence:
                complain(sentence)
            sys.exit(2)
        if is_locked_out(error):
            complain(
                f"the store of the output does not let this command in ({type(error).__name__}: {error}); check "
                "`output` and its credentials, and give the command again: what is committed is safe"
            )
            sys.exit(2)
        traceback.print_exc()
        complain(
            f"stopped by {type(error).__name__}: {error}. What is committed is safe; the same command goes "
            "on from there.",
        )
        sys.exit(1)
