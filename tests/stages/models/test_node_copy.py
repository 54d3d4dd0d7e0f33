"""A model under a URL comes once to a machine; who waits for it says so, and waits for nobody who has stalled."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from schemas.errors import SpecError, StoreAway
from stages import retrying
from stages.models import node_copy as module
from stages.models.node_copy import copy_of, node_copy
from stages.telling import listened

WEIGHTS = b"weights" * 1000


class Server:
    """fails: answers of 503 before the first whole one. asked: GETs of the file."""

    def __init__(self) -> None:
        self.fails, self.asked, self.status, self.url = 0, 0, 200, ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_LOOK_S", 0.05)
    found = Server()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked += 1
            if found.fails:
                found.fails -= 1
                self.send_error(503)
                return
            self.do_HEAD()
            self.wfile.write(WEIGHTS)

        def do_HEAD(self) -> None:
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{http.server_port}/sam_vit_b.pth"
        yield found
        http.shutdown()


def test_it_is_told_while_it_comes_and_asked_for_again(server: Server) -> None:
    server.fails = 2
    told: list[str] = []
    with listened(told.append):
        path = node_copy(server.url, "models.sam")
    assert path.read_bytes() == WEIGHTS
    assert told[-1] == "downloading sam_vit_b.pth, 0 MB of 0 MB"
    asked = server.asked
    assert node_copy(server.url, "models.sam") == path
    assert server.asked == asked, "once a machine"
    assert [file.suffix for file in sorted(path.parent.iterdir())] == [".pth", ".lock"]


def test_who_waits_says_for_whom_and_is_served_by_them(server: Server) -> None:
    target = copy_of(server.url)
    target.parent.mkdir()
    told: list[str] = []
    with FileLock(f"{target}.lock"):  # of another process
        (target.parent / f"{target.name}.abc.part").write_bytes(b"x" * 1_500_000)

        def whole() -> None:
            target.write_bytes(WEIGHTS)

        threading.Timer(0.3, whole).start()
        release = threading.Timer(0.4, lambda: os.unlink(f"{target}.lock"))
        release.start()
        with listened(told.append):
            path = node_copy(server.url, "models.sam")
    assert (path.read_bytes(), server.asked) == (WEIGHTS, 0)
    assert told[0] == "waiting for another worker on this machine to download sam_vit_b.pth, 2 MB so far"


def test_nobody_waits_for_one_that_has_stalled(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped holds its lock for as long as it likes."""
    monkeypatch.setattr(module, "STALL_S", 0.3)
    target = copy_of(server.url)
    target.parent.mkdir()
    began = time.monotonic()
    with FileLock(f"{target}.lock"):
        assert node_copy(server.url, "models.sam").read_bytes() == WEIGHTS
    assert time.monotonic() - began < 20


def test_what_killed_ones_left_goes_and_what_is_written_stays(server: Server) -> None:
    target = copy_of(server.url)
    target.parent.mkdir()
    old, new = (target.parent / f"{target.name}.{name}.part" for name in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    node_copy(server.url, "models.sam")
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(("status", "said"), [(404, "check the URL"), (403, "its server answers 403 Forbidden")])
def test_a_url_that_is_wrong_is_told_at_once(server: Server, status: int, said: str) -> None:
    server.status = status
    with pytest.raises(SpecError, match=f"^models.sam: {server.url}: download failed .*{said}"):
        node_copy(server.url, "models.sam")


def test_a_store_that_is_away_is_no_wrong_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_S", 0.3)
    server.fails = 1000
    with pytest.raises(StoreAway, match="does not answer"):
        node_copy(server.url, "models.sam")
    assert [file.suffix for file in copy_of(server.url).parent.iterdir()] == [".lock"]


def test_a_home_that_takes_no_file_is_told_with_the_way_out(server: Server, tmp_path: Path) -> None:
    (tmp_path / "unscene").write_text("a file where the folder was to be")
    with pytest.raises(SpecError, match=r"cannot be kept in \S+/unscene of this machine .* set XDG_CACHE_HOME"):
        node_copy(server.url, "models.sam")
