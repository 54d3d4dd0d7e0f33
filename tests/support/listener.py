"""A web server on this machine, for tests of what is sent to one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener(ThreadingHTTPServer):
    """Keeps what it is sent, as (path, headers, JSON). Its path says how it answers: `/500`, `/302`, `/silent` (never),
    `/slowly` (a byte now and then, for ever); all else with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str], Any]] = []
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are part of the test."""


class _Answers(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), json.loads(body)))
        self._answer()

    def do_GET(self) -> None:
        self.server.heard.append((self.path, dict(self.headers), None))
        self._answer()

    def _answer(self) -> None:
        how = self.path.rpartition("/")[2]
        if how == "silent":
            time.sleep(60)
        elif how == "slowly":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while True:
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.send_response(int(how) if how.isdigit() else 200)
            if how == "302":
                self.send_header("Location", f"{self.server.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def listening() -> Iterator[Listener]:
    """A server for as long as this is open."""
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
