"""The seconds before the first unit of work: who speaks for them, and when."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console

from pipeline.watching import preparing as module
from pipeline.watching.preparing import preparing
from stages.telling import listened, tell


def test_what_is_quick_says_nothing_in_a_log() -> None:
    out = io.StringIO()
    with preparing(Console(file=out), "looking"):
        tell("listing the source")
    assert out.getvalue() == ""


def test_what_takes_long_says_what_it_is_at_and_not_again_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 0.1)
    out = io.StringIO()
    with preparing(Console(file=out, width=80), "looking"):
        for number in range(5):
            tell(f"reading the pictures once, {number} of 5")
            time.sleep(0.25)
    (line,) = out.getvalue().splitlines()
    assert "  reading the pictures once, " in line
    assert line.endswith(" s so far)")


def test_a_terminal_has_one_line_that_is_gone_afterwards() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with preparing(console, "looking"):
        tell("hashing [base]/a-file-with-a-very-long-name-that-would-not-fit-into-a-line-of-a-terminal.safetensors")
        time.sleep(1.1)
    drawn = out.getvalue()
    assert "hashing [base]/a-file" in drawn
    seen = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn))
    assert max(map(len, seen)) <= 80
    assert seen[-1] == ""
    assert "\x1b[2K" in drawn


def test_an_error_ends_it() -> None:
    with pytest.raises(ValueError, match="no source"), preparing(Console(file=io.StringIO()), "looking"):
        raise ValueError("no source")
    assert not any(thread.name == "preparing" for thread in threading.enumerate())


def test_whoever_listens_inside_is_told_and_nobody_else() -> None:
    outer: list[str] = []
    inner: list[str] = []
    tell("nobody hears it")
    with listened(outer.append):
        tell("one")
        with listened(inner.append):
            tell("two")
        tell("three")
    assert (outer, inner) == (["one", "three"], ["two"])
