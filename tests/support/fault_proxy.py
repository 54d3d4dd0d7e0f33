"""An HTTP proxy before a store that does to its answers what networks and stores do at night."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KINDS = ("500", "503", "reset", "cut", "stall", "lost")
"""500, 503: an answer of that status, and the store never hears of the request. reset: the connection breaks in the
middle of the body, with a RST; cut: it ends there. stall: nothing for `stall_s`, then the connection ends. lost: the
store does what it was asked, and its answer never comes. By name only: 409 (a conflict of two writes), short (a body
that ends early and says that it is whole)."""

_BODY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>{code}</Code><Message>made by the fault proxy</Message><RequestId>0</RequestId></Error>"
)
_CODES = {"500": "InternalError", "503": "SlowDown", "409": "ConditionalRequestConflict"}
_OF_THE_LINE = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass(frozen=True)
class Asked:
    """One request. port: of the socket that it came from, which belongs to the process that asks."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    port: int


class FaultProxy:
    """Stands before `upstream` while it is entered.

    rate: share of the requests that get a fault, of `kinds`, by a schedule that `seed` decides, one draw a request.
    away: while true nobody is there. careless: a write that its condition forbids is said to have been made. done:
    faults by kind; requests: by method.
    """

    def __init__(
        self, upstream: str, seed: int = 0, rate: float = 0.0, kinds: tuple[str, ...] = KINDS, stall_s: float = 0.5
    ) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rate, self.kinds, self.stall_s = rate, kinds, stall_s
        self.away = self.careless = False
        self.done: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._draws, self._turn = random.Random(seed), threading.Lock()
        self._next: deque[tuple[str, str, str]] = deque()

    def then(self, *kinds: str, method: str = "", path: str = "") -> None:
        """The next requests of this method, to a path with this in it, get these faults, one each."""
        self._next.extend((kind, method, path) for kind in kinds)

    def met(self, asked: Asked, done: bool) -> bool:
        """Called before the store hears of a request, and once it has done it (`done`): for what happens to whoever
        asks, as in `benchmarks/chaos_proxy.py`. True: nobody waits for an answer."""
        return False

    def fault(self, method: str, path: str) -> str | None:
        with self._turn:
            self.requests[method] += 1
            for wanted in self._next:
                kind, of_method, within = wanted
                if of_method in ("", method) and within in path:
                    self._next.remove(wanted)
                    break
            else:
                by_lot = self._draws.random() < self.rate
                kind = self._draws.choice(self.kinds) if by_lot else ""
            if self.away:
                return "away"
            if kind:
                self.done[kind] += 1
            return kind or None

    def __enter__(self) -> FaultProxy:
        proxy = self

        class Handler(_Handler):
            def __init__(self, *args: Any) -> None:
                self.proxy = proxy
                super().__init__(*args)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked may have been killed since: nothing to tell."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each body waits 40 ms for the other side to acknowledge its headers
    proxy: FaultProxy

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, self.headers, sent, self.client_address[1])
        if self.proxy.met(asked, False):
            self._break_off()
            return
        kind = self.proxy.fault(self.command, self.path)
        if kind == "away":
            self._break_off()
        elif kind in _CODES:
            self._send(int(kind), {}, b"" if self.command == "HEAD" else _BODY.format(code=_CODES[kind]).encode())
        elif kind == "stall":
            time.sleep(self.proxy.stall_s)
            self._end()
        else:
            status, headers, body = self._forward(sent)
            if self.proxy.met(asked, True) or kind == "lost" or (kind in ("reset", "cut") and len(body) < 2):
                self._break_off()
            elif kind == "short":
                self._send(status, headers, body[: len(body) // 2])
            elif kind in ("reset", "cut"):
                self._send(status, headers, body, len(body) // 2)
                self._break_off() if kind == "reset" else self._end()
            else:
                self._send(status, headers, body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def _forward(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "expect")}
        line = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in kept.items():
                line.putheader(name, value)
            line.endheaders(sent or None)
            answer = line.getresponse()
            body = answer.read()
            if answer.status == 412 and self.proxy.careless:
                return 200, {"ETag": '"0"'}, b""
            return answer.status, dict(answer.getheaders()), body
        finally:
            line.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes, part: int | None = None) -> None:
        """part: bytes of the body that are sent, of all that are promised."""
        length = str(len(body))
        if self.command == "HEAD":
            length = next((value for name, value in headers.items() if name.lower() == "content-length"), "0")
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _OF_THE_LINE:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body[:part])
        self.wfile.flush()

    def _break_off(self) -> None:
        """Not a word more: the other side sees a reset."""
        if self.connection.fileno() >= 0:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end()

    def _end(self) -> None:
        self.close_connection = True
        if self.connection.fileno() >= 0:
            os.close(self.connection.detach())

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None: ...
