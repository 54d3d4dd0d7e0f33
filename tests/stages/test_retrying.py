"""A store that does not answer is asked again, for a time that has an end."""

from __future__ import annotations

import threading
import time

import pytest

import stages.retrying as retrying
from schemas.errors import JobError, StoreAway
from stages.retrying import interrupt, persistently
from stages.telling import listened


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is a tenth of a second."""
    for name, seconds in {"AWAY_S": 1.5, "FIRST_S": 0.3, "UNIT_S": 0.4, "FILE_S": 0.1, "SAY_S": 0.0}.items():
        monkeypatch.setattr(retrying, name, seconds)
    monkeypatch.setattr(retrying, "LONGEST_PAUSE_S", 0.02)


class Store:
    """Fails `fails` times, then answers."""

    def __init__(self, fails: int, error: Exception | None = None) -> None:
        self.fails, self.asked, self.error = fails, 0, error or ConnectionResetError("reset")

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.fails:
            raise self.error
        return "here"


ALWAYS = 10**9


def test_what_passes_is_tried_until_it_has_passed() -> None:
    store = Store(5)
    assert persistently(store, "s3://bucket") == "here"
    assert store.asked == 6


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), PermissionError("no"), ValueError("?"), MemoryError()])
def test_what_is_final_is_raised_at_once(error: Exception) -> None:
    store = Store(1, error)
    with pytest.raises(type(error)):
        persistently(store, "s3://bucket")
    assert store.asked == 1


def test_a_store_that_never_answered_is_given_up_soon_and_one_that_did_later() -> None:
    began = time.monotonic()
    with pytest.raises(StoreAway, match=r"^s3://b does not answer \(ConnectionResetError: reset\), .* address"):
        persistently(Store(ALWAYS), "s3://b")
    first = time.monotonic() - began
    persistently(Store(0), "s3://b")
    began = time.monotonic()
    with pytest.raises(StoreAway, match=r"asked for 2 s; what is written is safe, and the same command goes on"):
        persistently(Store(ALWAYS), "s3://b")
    assert first < 1.0 < time.monotonic() - began
    assert issubclass(StoreAway, JobError), "which the command line prints as one sentence, exit code 2"


def test_within_a_unit_the_wait_ends_before_its_deadline() -> None:
    retrying.within_units()
    began = time.monotonic()
    with pytest.raises(StoreAway):
        persistently(Store(ALWAYS), "s3://b")
    assert 0.35 < time.monotonic() - began < 1.2


def test_a_thing_that_fails_while_its_store_answers_is_the_things_own_fault() -> None:
    with pytest.raises(ConnectionResetError):
        persistently(Store(ALWAYS), "s3://b", answers=lambda: True)
    with pytest.raises(StoreAway):
        persistently(Store(ALWAYS), "s3://b", answers=lambda: False)


def test_who_listens_is_told_and_where_nobody_does_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    with listened(said.append):
        persistently(Store(3), "s3://bucket")
    assert len(said) == 3
    assert said[0].startswith("s3://bucket does not answer (ConnectionResetError: reset); asking again for up to")
    assert not caplog.records
    persistently(Store(3), "s3://bucket")
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        "s3://bucket does not answer",
        "s3://bucket answers again",
    ]


def test_the_pauses_grow_and_are_drawn_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "LONGEST_PAUSE_S", 15.0)
    monkeypatch.setattr(retrying, "FIRST_S", 900.0)
    monkeypatch.setattr(retrying, "AWAY_S", 900.0)
    paused: list[float] = []

    def pause(self: object, seconds: float, since: int) -> bool:
        paused.append(seconds)
        return False

    monkeypatch.setattr(retrying._Stores, "pause", pause)
    persistently(Store(12), "s3://bucket")
    assert all(0.1 * 2**n <= seconds <= 0.2 * 2**n for n, seconds in enumerate(paused[:6]))
    assert all(7.5 <= seconds <= 15 for seconds in paused[7:])
    assert len({round(seconds, 3) for seconds in paused[7:]}) > 2


def test_ctrl_c_ends_all_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "LONGEST_PAUSE_S", 30.0)
    monkeypatch.setattr(retrying, "FIRST_S", 60.0)
    monkeypatch.setattr(retrying, "AWAY_S", 60.0)
    ended: list[StoreAway] = []

    def wait() -> None:
        with pytest.raises(StoreAway) as caught:
            persistently(Store(ALWAYS), "s3://bucket")
        ended.append(caught.value)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    interrupt()
    for thread in waiting:
        thread.join(5)
    assert len(ended) == 3


def test_who_clears_up_after_a_failure_hears_what_is_final_at_once() -> None:
    """Python hangs the failure that is being handled behind every error of what is asked then."""
    store = Store(1, FileNotFoundError("gone"))
    try:
        raise OSError(121, "the network")
    except OSError:
        with pytest.raises(FileNotFoundError):
            persistently(store, "s3://bucket")
    assert store.asked == 1


def test_who_clears_up_after_a_failure_waits_for_a_network_of_its_own() -> None:
    store = Store(3, OSError(121, "the network"))
    try:
        raise OSError(121, "the network, before")
    except OSError:
        assert persistently(store, "s3://bucket") == "here"
    assert store.asked == 4


def test_a_failure_that_hangs_by_its_context_alone_is_seen_by_who_clears_up() -> None:
    """As fsspec raises what its own thread has found: Python puts what is being handled in the place of that."""
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        if len(asked) > 2:
            return "here"
        found = OSError(5, "a word for what S3 has none for")
        found.__context__ = ConnectionResetError("reset")
        raise found

    try:
        raise ValueError("anything")
    except ValueError:
        assert persistently(ask, "s3://bucket") == "here"


def test_what_is_raised_to_who_clears_up_keeps_what_stood_behind_it() -> None:
    found = FileNotFoundError("gone")
    found.__context__ = cause = LookupError("404")

    def ask() -> str:
        found.__context__ = cause
        raise found

    try:
        raise ConnectionResetError("before")
    except ConnectionResetError:
        with pytest.raises(FileNotFoundError) as caught:
            persistently(ask, "s3://bucket")
    assert caught.value.__context__ is cause
