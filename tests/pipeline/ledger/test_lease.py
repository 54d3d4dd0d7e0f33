"""The lease: of all who want an OUTPUT exactly one has it, whatever the clocks say and whoever was asleep."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.ledger import lease
from pipeline.ledger.holder import Holder, ourselves
from pipeline.ledger.lease import at_work, check_epoch, held
from pipeline.storage.folder import Storage
from schemas.errors import LeaseLost, OutputError
from stages.telling import listened
from tests.support import ROOT

FIRST, SECOND = "_lease/000001.json", "_lease/000002.json"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    monkeypatch.setattr(lease, "EXPIRES_S", 1.0)
    return Storage(str(tmp_path / "out"))


def elsewhere(storage: Storage, name: str = FIRST, **fields: object) -> Holder:
    """The lease of a driver on another machine."""
    holder = replace(ourselves(), host="node-7", machine="another", **fields)
    storage.write(name, holder.to_json())
    return holder


def soon(call: Callable[[], object], seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


START = """
import sys, time
from pipeline.ledger.lease import held
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
storage = Storage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with held(storage):
        print("held", flush=True)
        sys.stdin.readline()
except OutputError as error:
    print(error, flush=True)
"""


def start(output: Path) -> subprocess.Popen[str]:
    found = subprocess.Popen(
        [sys.executable, "-c", START, str(output)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout is not None
    assert found.stdout.readline() == "ready\n"
    return found


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_many_starts_at_once_exactly_one_holds_it_each_time(storage: Storage) -> None:
    for _ in range(20):
        gate, holders, refused = threading.Barrier(4), [], []

        def begin(gate: threading.Barrier = gate, holders: list[int] = holders, refused: list[str] = refused) -> None:
            gate.wait()
            try:
                with held(storage) as ours:
                    holders.append(ours.epoch)
                    gate.wait()  # until the others have been refused
            except OutputError as error:
                refused.append(str(error))
                gate.wait()

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert (len(holders), len(refused)) == (1, 3)
        assert "another run is at work here (process" in refused[0]
    assert len(storage.names("_lease")) == 1, "older epochs are cleared away"


def test_two_processes_at_once_and_one_that_was_killed_and_one_that_was_stopped(storage: Storage) -> None:
    out = Path(storage.root)
    drivers = [start(out), start(out)]
    for driver in drivers:
        say(driver)
    words = {driver.pid: heard(driver) for driver in drivers}
    assert list(words.values()).count("held") == 1
    holder, other = sorted(drivers, key=lambda driver: words[driver.pid] != "held")
    assert f"another run is at work here (process {holder.pid} on " in words[other.pid]
    with pytest.raises(OutputError, match="last heard of 0 s ago.; `unscene status` shows it; wait, or stop it first"):
        held(storage).__enter__()
    holder.send_signal(signal.SIGSTOP)  # alive, and does nothing: after a while it is taken over
    while Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    with held(storage) as ours:
        assert ours.epoch == 2
        holder.send_signal(signal.SIGCONT)
        say(holder)  # it ends, and touches nothing of its successor's
        holder.wait()
        ours.check(now=True)
        assert set(storage.names("_lease")) == {SECOND.rpartition("/")[2]}
    third = start(out)
    say(third)
    assert heard(third) == "held"
    third.kill()
    third.wait()
    assert at_work(storage) is None
    began = time.monotonic()
    with held(storage):
        assert time.monotonic() - began < 0.5, "that its process is gone is known at once"
    other.wait()


def test_a_driver_elsewhere_is_refused_to_be_overtaken_while_it_is_heard_of(storage: Storage) -> None:
    holder = elsewhere(storage, at=0.0)  # whatever its clock says
    timer = soon(lambda: storage.write(FIRST, holder.renewed().to_json()), 0.4)
    with pytest.raises(OutputError, match=r"process \d+ on node-7, last heard of 0 s ago"):
        held(storage).__enter__()
    timer.join()
    assert set(storage.names("_lease")) == {"000001.json"}


@pytest.mark.parametrize("clock", [-7200.0, 0.0, 7200.0])
def test_one_that_is_heard_of_no_more_is_overtaken_whatever_the_clocks_say(storage: Storage, clock: float) -> None:
    elsewhere(storage, at=time.time() + clock)
    began = time.monotonic()
    with held(storage) as ours:
        assert 1.0 <= time.monotonic() - began < 3.0
        assert ours.epoch == 2
        storage.write(FIRST, elsewhere(storage).renewed().to_json())  # it was only asleep, and renews
        ours.check(now=True)
    with pytest.raises(LeaseLost, match="another run has taken over here .process .* so this one stops; nothing is"):
        check_epoch(storage, 1)


def test_one_that_ended_while_it_was_watched_is_followed_at_once(storage: Storage) -> None:
    holder = elsewhere(storage)
    timer = soon(lambda: storage.write(FIRST, holder.renewed(released=True).to_json()), 0.2)
    began = time.monotonic()
    with held(storage):
        assert time.monotonic() - began < 0.9
    timer.join()
    began = time.monotonic()
    with held(storage) as ours:
        assert ours.epoch == 3
    assert time.monotonic() - began < 0.3


def test_the_driver_that_was_overtaken_says_so_and_leaves_its_successors_alone(storage: Storage) -> None:
    with held(storage) as ours:
        elsewhere(storage, SECOND)
        time.sleep(0.4)  # the keeper looks
        with pytest.raises(LeaseLost, match="process .* on node-7"):
            ours.check()
        before = storage.read(SECOND), storage.read(FIRST)
    assert (storage.read(SECOND), storage.read(FIRST)) == before


def test_a_process_that_was_stopped_looks_before_it_does_anything(storage: Storage) -> None:
    with held(storage) as ours:
        ours._done.set()  # the keeper sleeps longer than the loop
        time.sleep(0.3)
        elsewhere(storage, SECOND)
        with pytest.raises(LeaseLost):
            ours.check()


def test_renewal_survives_a_store_that_does_not_answer(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain, away = Storage.write, threading.Event()

    def write(self: Storage, name: str, data: bytes) -> None:
        if away.is_set():
            raise OSError("no route to host")
        plain(self, name, data)

    monkeypatch.setattr(Storage, "write", write)
    with caplog.at_level(logging.WARNING), held(storage):
        away.set()
        time.sleep(0.4)
        away.clear()
        before = storage.read(FIRST)
        time.sleep(0.4)
        assert json.loads(storage.read(FIRST))["beats"] > json.loads(before)["beats"]
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[2].partition(" (")[0] for text in said] == [
        "the lease could not be renewed",
        "the lease is renewed again",
    ]


def test_an_answer_that_was_lost_is_no_other_holder(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Storage.create
    monkeypatch.setattr(Storage, "create", lambda self, name, data: plain(self, name, data) and False)
    with held(storage) as ours:
        assert ours.epoch == 1


def test_a_number_that_was_cleared_away_is_no_lease(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that had looked, and slept while others came and went, finds the next number free."""
    holder = elsewhere(storage, "_lease/000007.json")
    plain, asked = lease._epochs, iter([True])

    def epochs(storage: Storage) -> list[int]:
        return [] if next(asked, False) else plain(storage)

    monkeypatch.setattr(lease, "_epochs", epochs)
    timer = soon(lambda: storage.write("_lease/000007.json", holder.renewed().to_json()), 0.3)
    with pytest.raises(OutputError, match="another run is at work"):
        held(storage).__enter__()
    timer.join()
    assert set(storage.names("_lease")) == {"000007.json"}


def test_a_later_process_with_the_same_number_is_not_the_holder(storage: Storage) -> None:
    storage.write(FIRST, replace(ourselves(), born="long ago").to_json())
    assert at_work(storage) is None
    with held(storage) as ours:
        assert ours.epoch == 2


def test_the_file_of_an_older_unscene_is_removed_when_nobody_renews_it(storage: Storage) -> None:
    storage.write("_driver.json", b'{"host": "node-7", "pid": 12, "at": 1.0}')
    told: list[str] = []
    with listened(told.append), held(storage):
        assert not storage.exists("_driver.json")
    assert told[0].startswith("process 12 on node-7 was at work here, by an older Unscene; taking over unless")


def test_a_run_of_an_older_unscene_is_respected(storage: Storage) -> None:
    storage.write("_driver.json", b'{"host": "node-7", "pid": 12, "at": 1.0}')
    renewal = soon(lambda: storage.write("_driver.json", b'{"host": "node-7", "pid": 12, "at": 21.0}'), 0.3)
    said = r"a run of an older Unscene is at work here \(process 12 on node-7\); wait"
    with pytest.raises(OutputError, match=said), held(storage):
        pass
    renewal.join()
    assert storage.exists("_driver.json")
    assert not storage.names("_lease")
