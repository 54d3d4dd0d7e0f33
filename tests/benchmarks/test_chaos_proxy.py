"""Crash points that are requests: whoever asks is ended before the store hears of it, after, or in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from benchmarks.chaos_proxy import EndingProxy, step_of
from tests.support.fault_proxy import Asked

ASK = """
import http.client, sys
store = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
store.request("PUT", sys.argv[2])
store.getresponse()
"""


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def proxy(heard: list[str]) -> Iterator[EndingProxy]:
    class Store(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    store = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    Thread(target=store.serve_forever, args=(0.05,), daemon=True).start()
    with EndingProxy(f"http://127.0.0.1:{store.server_port}", 0, late_s=1.0) as between:
        yield between
    store.shutdown()
    store.server_close()


def asked(proxy: EndingProxy, path: str) -> int:
    port = proxy.url.rpartition(":")[2]
    return subprocess.run([sys.executable, "-S", "-c", ASK, port, path], capture_output=True, check=False).returncode


@pytest.mark.parametrize(("moment", "at_once", "later"), [("before", 0, 0), ("after", 1, 1), ("in", 0, 1)])
def test_who_asks_is_ended_at_its_step_and_at_no_other(
    moment: str, at_once: int, later: int, proxy: EndingProxy, heard: list[str]
) -> None:
    proxy.armed.append((moment, "commit"))
    assert asked(proxy, "/bucket/out/_lease/000001.json") == 0
    assert asked(proxy, "/bucket/out/_commits/ingest/000000.json") == -signal.SIGKILL
    assert len(heard) == 1 + at_once
    time.sleep(1.5)
    assert len(heard) == 1 + later
    assert proxy.ended == {(moment, "commit"): 1}
    assert asked(proxy, "/bucket/out/_commits/ingest/000000.json") == 0, "each once"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "step"),
    [
        ("PUT", "/b/out/_plan/000000.parquet", {}, b"", "plan"),
        ("PUT", "/b/out/_lease/000001.json", {}, b"", "lease"),
        ("PUT", "/b/out/_work/ingest/000000.r0/a.tar", {}, b"", "part"),
        ("PUT", "/b/out/_attempts/ingest/000000-a/x.tar", {}, b"", "attempt"),
        ("PUT", "/b/out/scenes/scenes-000000.tar", {"x-amz-copy-source": "b/out/_attempts/x"}, b"", "publish"),
        ("POST", "/b?delete", {}, b"<Key>out/_work/ingest/000000.r0/a.tar</Key>", "sweep"),
        ("POST", "/b?delete", {}, b"<Key>out/else</Key>", None),
        ("DELETE", "/b/out/_attempts/x", {}, b"", "sweep"),
        ("DELETE", "/b/out/_lease/000001.json", {}, b"", None),
        ("GET", "/b/out/_commits/ingest/000000.json", {}, b"", None),
        ("PUT", "/b/out/_progress.json", {}, b"", None),
    ],
)
def test_what_a_request_changes(method: str, path: str, headers: dict[str, str], body: bytes, step: str | None) -> None:
    assert step_of(Asked(method, path, headers, body, 0)) == step
