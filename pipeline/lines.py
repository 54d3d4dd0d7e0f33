"""Lines for a person: in a terminal wrapped at words, with what follows set in; elsewhere one line a message."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console

_UNBROKEN = re.compile(
    r"(?P<space>\s*)"
    r"(?P<word>(?:(?<=: )|(?<=^  ))unscene [^;]*$"  # a command at the end of its line, to be copied as it stands
    r"|`[^`]*`[^\s`]*"  # so does one within it
    r"|\S+)"
)
_COLUMN = re.compile(r"\s*\S+\s{2,}")
"""What stands before the text of a line of two columns: `ok     source: ...`, `  extract  340 GFLOP`."""
_ORDERS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)
    if code not in (9, 10)
}
"""Characters that move the cursor, colour what follows or turn it round, as they are told instead."""
_LEAST = 40
"""Narrower than this nothing is wrapped: a column of single words helps nobody."""


def put(console: Console, line: str) -> None:
    """Prints one message. What is in it of a file's name gives a terminal no orders."""
    line = line.translate(_ORDERS)
    text = wrapped(line, console.width) if console.is_terminal else line
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def wrapped(line: str, width: int) -> str:
    """The line broken between words so that it fits `width` columns; names, addresses and commands stay whole, whatever
    their length. What follows is set in by two, or to the second column where there is one."""
    if "\n" in line:
        return "\n".join(wrapped(one, width) for one in line.split("\n"))
    if width < _LEAST or cell_len(line) <= width:
        return line
    return "\n".join(_lines(line, width, _hanging(line, width)))


def _lines(line: str, width: int, hanging: str) -> Iterator[str]:
    now = ""
    for found in _UNBROKEN.finditer(line):
        if now.strip() and cell_len(now + found["space"] + found["word"]) > width:
            yield now
            now = hanging + found["word"]
        else:
            now += found["space"] + found["word"]
    yield now


def _hanging(line: str, width: int) -> str:
    column = _COLUMN.match(line)
    if column and len(column[0]) <= width // 3:
        return " " * len(column[0])
    return " " * (len(line) - len(line.lstrip()) + 2)
