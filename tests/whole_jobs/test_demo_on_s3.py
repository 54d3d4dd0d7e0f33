"""The demo to `s3://`, on servers of two makes, with every tenth answer broken: what comes out is what a disk has."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pipeline.shards.tables import read_rows
from pipeline.storage.folder import Storage
from tests.support.fault_proxy import FaultProxy
from tests.support.finished_job import QUICK, unscene
from tests.support.s3_servers import BUCKET, MAKES, asked_through, need_s3, s3_server

pytestmark = pytest.mark.prove
TABLES = ("scenes", "concepts", "handles", "variations", "failures", "account")
ERRORS = 0.1


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disk") / "out"
    done = unscene("run", "jobs/demo.yaml", output=out, **QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def made(storage: Storage) -> dict[str, Any]:
    """Tars by the hash of their bytes; tables by their rows, but for how long things took."""
    found: dict[str, Any] = {}
    for table in TABLES:
        for name in storage.names(table):
            path = f"{table}/{name}"
            if name.endswith(".tar"):
                found[path] = hashlib.sha256(storage.read(path)).hexdigest()
            elif name[-14:-8].isdigit():
                rows = read_rows(storage, table, int(name[-14:-8]))
                found[path] = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    return found


@pytest.mark.parametrize("make", MAKES)
def test_the_demo_is_the_same_with_a_tenth_of_all_answers_broken(make: str, on_disk: Path, tmp_path: Path) -> None:
    need_s3(make)
    with s3_server(make, tmp_path) as url, FaultProxy(url, seed=17, rate=ERRORS) as proxy, asked_through(proxy):
        out = f"s3://{BUCKET}/demo"
        done = unscene("run", "jobs/demo.yaml", output=out, **QUICK)
        assert done.returncode == 0, done.stdout + done.stderr
        asked, broken = sum(proxy.requests.values()), sum(proxy.done.values())
        proxy.rate = 0.0
        assert made(Storage(out)) == made(Storage(str(on_disk)))
    assert broken > 0.05 * asked > 10
    print(f"{make}: {broken} of {asked} answers broken: {dict(proxy.done)}")
