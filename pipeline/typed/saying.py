"""How a command speaks: its lines, the command that goes on from where it stopped, and its exit code."""

from __future__ import annotations

import os
import shlex

import typer
from rich.console import Console

from pipeline.lines import put, wrapped
from schemas.secrets import masked_setting

console = Console(highlight=False)
_stderr = Console(stderr=True, highlight=False)


def say(line: str) -> None:
    put(console, line)


def complain(sentence: str) -> None:
    """What is wrong, on stderr."""
    put(_stderr, f"unscene: {sentence}")


def ask(question: str, default: str) -> str:
    """What a person answers; `default` stands behind the question and is taken for an empty answer."""
    room = console.width - len(default) - len(" []: ")
    return str(typer.prompt(wrapped(question, room), default=default or None))


def typed(command: str) -> str:
    """The command that goes on as a person types it: of a job that was submitted, the one that submitted it."""
    from pipeline.commands.submit import AGAIN

    return os.environ.get(AGAIN, command)


def again(option: str, values: list[str]) -> str:
    """A repeated option as it has to be typed: `--set "output=out/run #7"` keeps its quotes."""
    return "".join(f" {option} {shlex.quote(value)}" for value in values)


def again_told(option: str, values: list[str]) -> str:
    """The same as it may be kept where others read: masked before quotes come around it, which would hide its end."""
    return again(option, [masked_setting(value) for value in values])


def end_with(reasons: list[str]) -> None:
    """Exit code 1 where a job came to its end and has made nothing."""
    for reason in reasons:
        complain(reason)
    if reasons:
        raise typer.Exit(1)
