"""What is sent to a web address or a program: it arrives whole, and nobody is waited for beyond the limit."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.watching.notice import post, run
from tests.support.listener import Listener, listening

BODY = json.dumps({"state": "finished", "output": "/daten/übung"}).encode()
SECRET = "T0SECRET"


@pytest.fixture(scope="module")
def server() -> Iterator[Listener]:
    with listening() as found:
        yield found


def test_it_arrives_by_post_as_json(server: Listener) -> None:
    assert post(f"{server.url}/hook?key=1", BODY, 5) is None
    path, headers, told = server.heard[-1]
    assert path == "/hook?key=1"
    assert told == {"state": "finished", "output": "/daten/übung"}
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("how", ["silent", "slowly"])
def test_a_server_that_does_not_answer_costs_the_limit_and_no_more(server: Listener, how: str) -> None:
    """A limit for each read alone is none for an answer that comes byte by byte."""
    began = time.monotonic()
    problem = post(f"{server.url}/{SECRET}/{how}", BODY, 0.5)
    assert time.monotonic() - began < 3
    assert problem == "has not answered within 0.5 s"


@pytest.mark.parametrize(
    ("how", "problem"), [("500", "answered 500"), ("404", "answered 404"), ("302", "answered 302, and is not followed")]
)
def test_an_answer_that_is_no_yes_is_told(server: Listener, how: str, problem: str) -> None:
    before = len(server.heard)
    found = post(f"{server.url}/{SECRET}/{how}", BODY, 5)
    assert found is not None
    assert found.startswith(problem)
    assert SECRET not in found
    assert [path for path, _, _ in server.heard[before:]] == [f"/{SECRET}/{how}"], "once, and nowhere else"


def test_nobody_at_the_door_is_told_without_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/{SECRET}", f"http://nobody.invalid/{SECRET}", f"https://127.0.0.1:{port}/x"):
        found = post(url, BODY, 5)
        assert found is not None
        assert "cannot be reached" in found
        assert SECRET not in found


def script(folder: Path, text: str) -> str:
    file = folder / "program.py"
    file.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_a_program_has_the_json_on_its_input_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "told $HOME; *"
    program = script(tmp_path, "open(sys.argv[1], 'w').write(json.dumps([sys.argv[2:], json.load(sys.stdin)]))")
    assert run([program, str(out), "$HOME", "a b", "; exit 3"], BODY, 20) is None
    assert json.loads(out.read_text()) == [["$HOME", "a b", "; exit 3"], json.loads(BODY)]


def test_a_program_that_reads_nothing_is_well_too(tmp_path: Path) -> None:
    assert run([script(tmp_path, "os.close(0)")], BODY * 100_000, 20) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sys.exit(3)", "ended with exit code 3"),
        ("os.kill(os.getpid(), 15)", "was ended by signal 15"),
    ],
)
def test_a_program_that_fails_is_told(tmp_path: Path, text: str, problem: str) -> None:
    assert run([script(tmp_path, text)], BODY, 20) == problem


def test_a_program_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    assert run([str(tmp_path / "text")], BODY, 5) == "cannot be started (Permission denied)"
    assert run([str(tmp_path / "nowhere")], BODY, 5) == "cannot be started (No such file or directory)"


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"child = os.fork()\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(60)"
    began = time.monotonic()
    assert run([script(tmp_path, text)], BODY, 2) == "has not ended within 2 s, and was killed"
    assert time.monotonic() - began < 10
    time.sleep(0.2)
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 2
    for pid in found:
        assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    except NotADirectoryError:  # no /proc on this system
        os.kill(pid, 0)
        return True
