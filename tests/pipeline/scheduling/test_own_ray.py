"""A Ray of the job's own starts wherever the environment points, or one sentence says what to change."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.node import Node

from pipeline.scheduling import cluster
from pipeline.scheduling.own_ray import PATIENCE, STARTS, settle, start
from schemas.errors import ClusterError
from schemas.job import Cluster
from stages.telling import listened
from tests.support import ROOT

NAMES = ("RAY_TMPDIR", "TMPDIR", "HOME", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")
LATE = "The current node timed out during startup. This could happen because some of the raylet failed to startup"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that says nothing, and is put back."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))


def token(home: Path) -> Path:
    (home / ".ray").mkdir()
    file = home / ".ray" / "auth_token"
    file.write_text("a" * 64)
    return file


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_too_long_for_sockets_is_told_before_ray_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / ("b" * 70)))
    with pytest.raises(ClusterError, match=rf"b \({name}\) is too long for Ray: .* 107 .*; set RAY_TMPDIR to a short"):
        settle()
    assert not (tmp_path / ("b" * 70)).exists()


def test_the_limit_is_that_of_ray_s_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.utils import validate_socket_filepath

    path = f"/ray/session_2026-01-31_23-59-59_000000_{os.getpid()}/sockets/plasma_store"
    fits = f"/tmp/{'c' * (107 - len('/tmp/') - len(path))}"
    validate_socket_filepath(fits + path)
    monkeypatch.setenv("RAY_TMPDIR", f"{fits}c")
    with pytest.raises(ClusterError, match="of 108 bytes, of 107"):
        settle()


def test_a_folder_that_takes_no_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/dev/null")
    with pytest.raises(ClusterError, match=r"/dev/null \(TMPDIR\) \(Not a directory\); set RAY_TMPDIR"):
        settle()


def test_ray_gets_the_folder_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    settle()
    assert os.environ["RAY_TMPDIR"] == "/tmp", "an empty TMPDIR is none: Ray itself would take the folder it stands in"
    assert not list(Path(os.environ["RAY_TMPDIR"], "ray").glob("probe-*"))
    monkeypatch.setenv("TMPDIR", "/dev/null")
    settle()
    assert os.environ["RAY_TMPDIR"] == "/tmp", "RAY_TMPDIR goes before TMPDIR, as for Ray"


@pytest.mark.parametrize("home", ["/dev/null", ""])
def test_a_home_that_holds_no_token_gets_none(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    settle()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    first = os.environ["RAY_AUTH_TOKEN"]
    settle()
    assert os.environ["RAY_AUTH_TOKEN"] == first


def test_a_token_that_is_there_stays_the_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = token(tmp_path)
    settle()
    assert not os.environ["RAY_AUTH_TOKEN"]
    file.write_text("")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    settle()
    assert not os.environ["RAY_AUTH_TOKEN"], "a path that the person set is the person's to mend"


class Starts:
    """A Ray that does not come up in time, `late` times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, late: int, error: str = LATE) -> None:
        self.late, self.error, self.tried = late, error, 0
        self.environment: dict[str, str | None] = {}
        for name in PATIENCE:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", self.init)
        monkeypatch.setattr(ray, "shutdown", lambda: None)

    def init(self, **_: Any) -> None:
        self.tried += 1
        self.environment = {name: os.environ.get(name) for name in PATIENCE}
        if self.tried <= self.late:
            raise Exception(self.error)


def test_a_ray_of_ones_own_has_time_to_start_unless_the_person_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of itself it has 30 s, which a machine that is at work needs to import it."""
    starts = Starts(monkeypatch, late=0)
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "7")
    with cluster.connected(Cluster()):
        assert starts.environment == {**PATIENCE, "RAY_raylet_start_wait_time_s": "7"}
    for name in PATIENCE:
        monkeypatch.delenv(name)
    server = socket.create_server(("127.0.0.1", 0))
    with server, cluster.connected(Cluster(address=f"127.0.0.1:{server.getsockname()[1]}")):
        assert set(starts.environment.values()) == {None}, "another's Ray has its own"


def test_ray_has_read_its_limits_when_it_was_imported_and_reads_them_again() -> None:
    code = (
        "import os, ray; from ray._raylet import Config; from pipeline.scheduling import own_ray\n"
        "ray.init = lambda **_: print(Config.worker_register_timeout_seconds())\n"
        "os.environ['RAY_worker_register_timeout_seconds'] = '61'; own_ray.start()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "61", done.stderr


def test_a_ray_that_was_late_is_started_again_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The raylet gives its agents 15 s and ends: nothing but a second start helps."""
    starts, said = Starts(monkeypatch, late=STARTS - 1), list[str]()
    with listened(said.append), cluster.connected(Cluster()):
        assert starts.tried == STARTS
    assert said[0] == "starting Ray once more, as it did not come up in time (2 of 3)"
    starts = Starts(monkeypatch, late=STARTS)
    late = r"did not start .*temporary folder; on a machine that has other work try again, or wait longer with RAY_rayl"
    with pytest.raises(ClusterError, match=late), cluster.connected(Cluster()):
        pass
    assert starts.tried == STARTS
    starts = Starts(monkeypatch, late=1, error="no room")
    other = r"\(no room\); its log is under .* temporary folder$"
    with pytest.raises(ClusterError, match=other), cluster.connected(Cluster()):
        pass
    assert starts.tried == 1


def test_a_start_that_failed_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take the cores that the next one needs."""
    ended: list[bool] = []
    node = object.__new__(Node)
    monkeypatch.setattr(Node, "kill_all_processes", lambda self, check_alive: ended.append(check_alive))
    monkeypatch.setattr(Node, "start_head_processes", lambda self: (_ for _ in ()).throw(Exception("no room")))
    monkeypatch.setattr(ray, "init", lambda: node.start_head_processes())
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(Exception, match="no room"):
        start()
    assert ended == [False]


def test_it_really_starts_with_another_ray_s_address_and_no_home(tmp_path: Path) -> None:
    code = (
        "import ray; from pipeline.scheduling.cluster import connected; from schemas.job import Cluster\n"
        "with connected(Cluster(cpus=1)):\n"
        "    print(ray.get(ray.remote(lambda: 41 + 1).remote(), timeout=120), ray.cluster_resources()['CPU'])"
    )
    env = {**os.environ, "RAY_ADDRESS": "127.0.0.1:9", "HOME": "/dev/null", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "42 1.0", done.stderr
    assert "RAY_ADDRESS (127.0.0.1:9) is not used" in done.stderr


def test_a_port_that_answers_and_refuses_is_not_called_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        wanted = rf"cluster.address: what answers at {address} is no Ray, or wants another token \(Failed to connect\)"
        with pytest.raises(ClusterError, match=wanted), cluster.connected(Cluster(address=address)):
            pass


@pytest.mark.parametrize(
    ("environment", "address", "error", "message"),
    [
        ({}, None, OSError("no room"), r"cluster: Ray did not start on this machine \(no room\)"),
        ({}, None, AssertionError(), r"cluster: Ray did not start on this machine \(AssertionError\)"),
        (
            {"RAY_AUTH_TOKEN_PATH": "/no/token"},
            None,
            ray.exceptions.AuthenticationError("none"),
            r"cluster: Ray cannot start with the token in /no/token \(RAY_AUTH_TOKEN_PATH\)",
        ),
        (
            {"RAY_AUTH_TOKEN": "x"},
            "auto",
            ray.exceptions.AuthenticationError("other"),
            "cluster.address: the Ray at auto does not take the token in RAY_AUTH_TOKEN; give it the cluster's",
        ),
        ({}, "elsewhere", ValueError("bad"), r"cluster.address: cannot reach Ray at elsewhere \(bad\)"),
        ({}, "http://h:8265", None, "cluster.address: http://h:8265 is the URL of a dashboard; .*unscene submit"),
        ({}, "127.0.0.1:99999", None, "cluster.address: cannot reach Ray at 127.0.0.1:99999"),
        ({}, "127.0.0.1:²", None, "cluster.address: cannot reach Ray at 127.0.0.1:²"),
        ({}, "a..b:6379", None, "cluster.address: cannot reach Ray at a..b:6379"),
        ({"RAY_ADDRESS": "127.0.0.1:1"}, "auto", None, "cluster.address: cannot reach Ray at 127.0.0.1:1 "),
    ],
)
def test_what_keeps_ray_away_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    address: str | None,
    error: Exception | None,
    message: str,
) -> None:
    def fail(**options: Any) -> None:
        assert error is not None, "told without asking Ray"
        assert options["address"] == (address or "local")
        raise error

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(ClusterError, match=message) as caught, cluster.connected(Cluster(address=address)):
        pass
    assert "\n" not in str(caught.value)
