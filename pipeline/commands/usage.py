"""What is wrong with a command as it was typed, in one sentence: typer's own words fill a box of several lines."""

from __future__ import annotations

import difflib
import re
import shlex
from typing import Any


def usage_sentence(error: BaseException) -> str | None:
    """The sentence for an error that typer raises before a command begins; None for any other error, and an empty one
    where typer has shown the help in its place.

    Told by what such errors have, as typer took their classes from click once, and has its own by now.
    """
    if not hasattr(error, "format_message") or not hasattr(error, "exit_code"):
        return None
    said = " ".join(str(error.format_message()).split()).rstrip(".")
    option = str(getattr(error, "option_name", ""))
    if option and said.endswith("requires an argument"):
        return f"{option} needs a value after it"
    if option and said.endswith("does not take a value"):
        return f"{option} takes no value"
    context: Any = getattr(error, "ctx", None)
    if context is None or not said:
        return said
    command = f"unscene {context.info_name}" if context.parent is not None else "unscene"
    options = [name for found in context.command.params for name in found.opts if name.startswith("-")]
    if said.startswith("No such command"):
        return _no_command(_within(r"'(.*?)'", said), context)
    if said.startswith("No such option"):
        near = difflib.get_close_matches(option, [*options, "--help"], n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]}?" if near else f"it has {', '.join([*options, '--help'])}"
        return f"`{command}` has no option {option}; {remedy}"
    parameter: Any = getattr(error, "param", None)
    if said.startswith("Missing") and parameter is not None:
        meaning = str(parameter.help or "").rstrip(".")
        return f"`{command}` needs {_name(parameter)} ({meaning}); type {_usage(command, context)}"
    if said.startswith("Got unexpected extra argument"):
        extra = _within(r"\(([^()]*)\)$", said)
        return (
            f"`{command}` has no place for `{extra}`; type {_usage(command, context)}, with quotes around a name that "
            "holds spaces"
        )
    return f"`{command}`: {said[:1].lower()}{said[1:]}; type {_usage(command, context)}"


def _within(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _no_command(typed: str, context: Any) -> str:
    commands = [name for name, found in context.command.commands.items() if not found.hidden]
    near = difflib.get_close_matches(typed, commands, n=1, cutoff=0.5)
    remedy = f"did you mean `unscene {near[0]}`?" if near else f"there are {', '.join(commands)}"
    if typed.lower().endswith((".yaml", ".yml")):
        remedy = f"did you mean `unscene run {shlex.quote(typed)}`?"
    return f"there is no command `{typed}`; {remedy}"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).rstrip("_").upper()
    return str(parameter.opts[0])


def _usage(command: str, context: Any) -> str:
    """The command with all that it has to be given."""
    needed = [found for found in context.command.params if found.required]
    words = [
        _name(found) if found.param_type_name == "argument" else f"{found.opts[0]} {str(found.name).upper()}"
        for found in needed
    ]
    return f"`{' '.join([command, *words])}`"
