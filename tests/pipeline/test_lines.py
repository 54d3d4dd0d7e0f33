"""Messages of any length in a terminal of 80 columns: broken between words, and what is copied stays whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.lines import put, wrapped

LONG = (
    "account of 14 files so far (scenes that are not read yet, and their masks, have no line): 10 scenes, 4 of them "
    "failed"
)


def shown(line: str, terminal: bool) -> str:
    printed = io.StringIO()
    put(Console(file=printed, width=80, force_terminal=terminal, color_system=None), line)
    return printed.getvalue()


def test_a_terminal_gets_whole_words_set_in_and_a_pipe_one_line() -> None:
    assert shown(LONG, terminal=False) == f"{LONG}\n"
    lines = shown(LONG, terminal=True).splitlines()
    assert [line.startswith("  ") for line in lines] == [False, True]
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(line.strip() for line in lines) == LONG


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        (f"ok     source: {LONG}", " " * 7),  # under what stands in the second column
        (f"  {LONG}", " " * 4),
        (f"08:30:12  {LONG}", " " * 10),
        (f"unscene: {LONG}", " " * 2),
    ],
)
def test_what_follows_stands_under_what_it_belongs_to(line: str, begins: str) -> None:
    first, *rest = wrapped(line, 80).splitlines()
    assert line.startswith(first)
    assert rest
    for later in rest:
        assert later.startswith(begins)
        assert later[len(begins)] != " "


@pytest.mark.parametrize(
    "command",
    ["unscene run 'my photos of the summer.yaml' --set extract.phase1.steps=100 --limit 2 --until segment"],
)
def test_a_command_is_not_broken(command: str) -> None:
    """Pasted from two lines it would be two commands."""
    for line in (
        f"stopped; what was whole is written. Go on with: {command}",
        f"  {command}",
        f"the job is half made, and `{command}`, typed once more, goes on from there",
    ):
        assert any(command in part for part in wrapped(line, 80).splitlines()), line


def test_a_long_name_stays_whole_and_wide_letters_count_twice() -> None:
    address = f"s3://bucket/{'very-long-' * 10}name.jpg"
    assert address in wrapped(f"would fail: 1 picture, such as {address}: it is empty", 80).splitlines()[1]
    wide = wrapped("写真 " * 30, 80).splitlines()
    assert max(len(line) for line in wide) <= 49  # 16 words of 4 columns, and the spaces between them


def test_what_fits_or_has_no_room_is_left_alone() -> None:
    table = "extract   340 GFLOP   5     1.7 TFLOP"
    assert wrapped(table, 80) == table
    assert wrapped(LONG, 20) == LONG
    assert wrapped(f"one\n{LONG}", 80).splitlines()[0] == "one"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_name_gives_the_terminal_no_orders(terminal: bool) -> None:
    assert shown("photos/a\x1b[31mred\r\u202ejpg.exe: gone", terminal) == (
        "photos/a\\x1b[31mred\\x0d\\u202ejpg.exe: gone\n"
    )
    assert shown("two\nlines", terminal) == "two\nlines\n"


def test_names_are_printed_as_they_are() -> None:
    name = "photos/[bold]:cat: 100 %.jpg"
    assert shown(name, terminal=True) == f"{name}\n"
