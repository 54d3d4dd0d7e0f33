"""Which failures are tried again: those of memory and network, by what they are and where they come from."""

from __future__ import annotations

import errno
import http.client
import itertools
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import aiohttp
import httpx2
import numpy as np
import pytest
import requests
import torch
from fsspec.exceptions import FSTimeoutError
from huggingface_hub.errors import HfHubHTTPError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import stages.retrying as retrying
from schemas.errors import SceneError, StoreAway
from schemas.job import JobSpec, Source
from schemas.outcomes import SceneTask
from schemas.records import FAILURES
from stages.ingest.faults import FileUnreadable, MasksEmpty
from stages.ingest.source.files import read_file
from stages.ingest.source.hashing import hash_file
from stages.ingest.stage import IngestStage
from stages.stage import StageContext, failed
from stages.transient import behind, comes_of_network_failure

REFUSED = ConnectionRefusedError(111, "refused")
KEY = SimpleNamespace(ssl=True, host="bucket", port=443, is_ssl=True)


def answered(status: int) -> aiohttp.ClientResponseError:
    """What fsspec's HTTP filesystem raises of a status."""
    request = aiohttp.RequestInfo(URL("http://bucket/a"), "GET", CIMultiDictProxy(CIMultiDict()))
    return aiohttp.ClientResponseError(request, (), status=status)


def from_the_hub(status: int) -> HfHubHTTPError:
    """What the Hub's library raises of a status."""
    request = httpx2.Request("GET", "https://huggingface.co/owner/model")
    return HfHubHTTPError("no", response=httpx2.Response(status, request=request))


def uncertified() -> OSError:
    """A certificate that is not believed, as a filesystem passes it on."""
    error = OSError("connect")
    error.__cause__ = ConnectionError()
    error.__cause__.__cause__ = ssl.SSLCertVerificationError("self-signed")
    return error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("an accelerator's words for it"),
        MemoryError(),
        ConnectionError(),
        ConnectionResetError(),
        TimeoutError("storage is slow today"),
        ConnectionAbortedError(),
        aiohttp.ClientConnectorError(KEY, REFUSED),
        aiohttp.ServerTimeoutError(),
        BrokenPipeError(),
        # Of the same families, and never tried again while a list of names said which are.
        REFUSED,
        requests.exceptions.ProxyError("502, as gcsfs says it"),
        requests.exceptions.ReadTimeout(),
        FSTimeoutError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("cut short"),
        np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype(np.uint8)),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        OSError(errno.EREMOTEIO, "500, as s3fs says it"),
        OSError(errno.ESTALE, "a folder on the network"),
        OSError(errno.EMFILE, "too many open files"),
        requests.exceptions.ChunkedEncodingError("cut"),
        http.client.IncompleteRead(b"half"),
        *(answered(status) for status in (408, 429, 500, 502, 503, 504)),
        httpx2.ConnectError("refused, as the Hub's library says it"),
        *(from_the_hub(status) for status in (429, 503)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_place_are_tried_again(error: Exception) -> None:
    output = failed("scene", error)
    assert output.failure is not None
    assert output.failure.transient
    assert set(output.failure.row("extract")) == set(FAILURES.names)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("gone"),
        PermissionError("forbidden"),
        OSError("no space left"),
        ValueError("TimeoutError"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError(SceneError("no text")),
        SceneError("diverged"),
        MasksEmpty("nothing is left"),
        FileUnreadable("the file is no longer there"),
        type("TimeoutError", (Exception,), {})("of the same name, and nothing else"),
        OSError(errno.EIO, "a broken disk"),
        OSError(errno.EINVAL, "412, as s3fs says it"),
        *(answered(status) for status in (400, 401, 403, 404, 412, 501)),
        *(from_the_hub(status) for status in (401, 404)),
        uncertified(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_scene_are_final(error: Exception) -> None:
    output = failed("scene", error)
    assert output.failure is not None
    assert not output.failure.transient


STATUS = {"/missing.png": 404, "/gone.png": 410, "/mine.png": 403, "/whose.png": 401}


@pytest.fixture
def server() -> Iterator[str]:
    """An address whose files are missing, but for `/cut.png`, whose connection breaks off."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in STATUS:
                self.send_error(STATUS[self.path])
            else:
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"short")
                self.connection.close()

        def do_HEAD(self) -> None:
            self.send_error(STATUS[self.path]) if self.path in STATUS else self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWAY_S", "FIRST_S", "FILE_S"):
        monkeypatch.setattr(retrying, name, 0.5)


def test_one_file_that_breaks_off_is_transient_a_missing_one_is_not(server: str, quick: None) -> None:
    """`cut.png` breaks off each time, while its server answers everything else."""

    def fault(url: str) -> FileUnreadable:
        with pytest.raises(FileUnreadable) as caught:
            read_file(url, Source(uri=url), 1 << 20)
        return caught.value

    assert not fault(f"{server}/missing.png").transient
    assert fault(f"{server}/cut.png").transient
    assert not fault("/no/such/file.png").transient


def test_a_server_that_is_not_there_is_no_files_fault(quick: None) -> None:
    """fsspec says FileNotFoundError where it could not ask."""
    url = "http://127.0.0.1:9/a.png"
    with pytest.raises(StoreAway, match=r"^source.uri: http://127.0.0.1:9/a.png does not answer \(ClientConnector.*;"):
        read_file(url, Source(uri=url), 1 << 20)
    spec = JobSpec.model_validate({"source": {"uri": url}, "output": "out"})
    stage = IngestStage(spec, StageContext("memory://none"))
    plan = {"uri": url, "sha256": "0" * 64, "bytes": None, "error": None}
    with pytest.raises(StoreAway):
        list(stage.process([SceneTask("0" * 16, {"plan": [plan]})]))


def test_the_question_loads_no_torch() -> None:
    """Nor does the stage that asks it most: ingest runs in many small workers."""
    code = (
        "import sys; import stages.ingest.stage; from stages.stage import failed;"
        "out = failed('s', RuntimeError('out of memory. ')); assert not out.failure.transient;"
        "assert failed('s', MemoryError()).failure.transient;"
        "sys.exit(', '.join({'torch', 'accelerate', 'aiohttp'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_what_stands_behind_an_error_ends_also_where_an_error_is_its_own_cause() -> None:
    """`raise error from error` makes one, and so do two that name each other."""
    one, other = OSError("one"), TimeoutError("other")
    one.__cause__ = one
    assert list(itertools.islice(behind(one), 9)) == [one]
    assert not comes_of_network_failure(one)
    one.__cause__, other.__cause__ = other, one
    assert list(itertools.islice(behind(one), 9)) == [one, other]
    assert comes_of_network_failure(one)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/missing.png", r"the file is no longer there: \S+/missing.png; put it back"),
        ("/gone.png", r"the file is no longer there: \S+/gone.png; put it back"),
        ("/mine.png", r"cannot read \S+/mine.png: its server answers 403 Forbidden; check access, then retry"),
        ("/whose.png", r"cannot read \S+/whose.png: its server answers 401 Unauthorized; check access, then retry"),
    ],
)
def test_a_file_that_is_forbidden_is_there(server: str, path: str, said: str) -> None:
    """fsspec says FileNotFoundError of every answer but a 200."""
    source = Source(uri=f"{server}{path}")
    with pytest.raises(FileUnreadable, match=said) as told:
        read_file(f"{server}{path}", source, 100)
    assert not told.value.transient
    if path == "/mine.png":
        assert hash_file(f"{server}{path}", source, 100).error == "its server answers 403 Forbidden"
