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
    said = " ".join(str(error.format_message()).split()).rstrip(".").replace(": Value error, ", ": ")
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
        if option == "--set" and any(found.name == "output" for found in context.command.params):
            remedy = "name the OUTPUT itself, in the place of the spec and what is set there"
        return f"`{command}` has no option {option}; {remedy}"
    parameter: Any = getattr(error, "param", None)
    if said.startswith("Missing") and parameter is not None:
        meaning = str(parameter.help or "").rstrip(".")
        return f"`{command}` needs {_name(parameter)} ({meaning}); type {_usage(command, context, as_typed=True)}"
    if said.startswith("Got unexpected extra argument"):
        extra = _within(r"\(([^()]*)\)$", said)
        return (
            f"`{command}` has no place for `{extra}`; type {_usage(command, context)}, with quotes around a name that "
            "holds spaces"
        )
    asked = parameter if parameter is not None and parameter.param_type_name == "option" else None
    return f"`{command}`: {said[:1].lower()}{said[1:]}; type {_usage(command, context, asked)}"


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


def _usage(command: str, context: Any, asked: Any = None, as_typed: bool = False) -> str:
    """The command with all that it has to be given, and `asked`. as_typed: with what was typed in its place, which is
    read before anything is found to be missing."""
    words = [command]
    for found in context.command.params:
        typed = _typed(found, context) if as_typed else []
        if typed or not (found.required or found is asked):
            words += typed
        elif found.param_type_name == "argument":
            words.append(_name(found))
        else:
            words += [found.opts[0], str(found.name).rstrip("_").upper()]
    return f"`{' '.join(words)}`"


def _typed(parameter: Any, context: Any) -> list[str]:
    """An argument or option as it was typed, in words of the shell; empty where it was not."""
    source = context.get_parameter_source(parameter.name)
    if source is None or source.name != "COMMANDLINE" or parameter.name not in context.params:
        return []
    value = context.params[parameter.name]
    if parameter.param_type_name == "argument":
        return [shlex.quote(str(value))]
    if isinstance(value, bool):
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    values = value if isinstance(value, (list, tuple)) else [value]
    return [word for one in values for word in (parameter.opts[0], shlex.quote(str(one)))]
