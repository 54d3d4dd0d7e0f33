"""One driver per OUTPUT: whoever made the last epoch holds it, and renews the epoch's file while it is at work.

An epoch is a file `_lease/000001.json`, made by create-if-absent, so of two that want the next number exactly one gets
it. No clocks are compared: whoever finds an epoch that was not released watches its file, by a clock of its own, and
makes the next one when it has not changed for `EXPIRES_S`. A process of this same machine that is gone is known at
once. The one that was taken over sees the later epoch when it next looks, which it does at each renewal and before each
commit, and stops; it writes to the file of its own epoch alone, so it cannot harm its successor's.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.ledger.holder import Holder, machine, ourselves
from pipeline.ledger.older_lease import clear_older
from pipeline.storage.folder import Storage
from schemas.errors import LeaseLost, OutputError
from stages.telling import tell

log = logging.getLogger(__name__)

FOLDER = "_lease"
RENEW_S = 10.0
EXPIRES_S = 90.0
LONG_GONE_S = 900.0
"""`unscene status` takes a driver that was last heard of so long ago as gone without watching: no store answers a clock
that is further off."""
_LOOK_S = 1.0
_NAME = re.compile(r"^(\d{6,})\.json$")


class Lease:
    """One epoch of an OUTPUT, held by this process; see `held`."""

    def __init__(self, storage: Storage, epoch: int, holder: Holder) -> None:
        self.storage, self.epoch = storage, epoch
        self._holder = holder
        self._checked = time.monotonic()
        self._over: LeaseLost | None = None
        self._done = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True, name="lease")

    def check(self, now: bool = False) -> None:
        """Raises LeaseLost when another run has taken over, as far as the keeper has seen. It looks at the store itself
        when it was not called for so long that this process must have been stopped in between; and `now`, when it also
        raises what the store raises."""
        stopped = time.monotonic() - self._checked > 2 * RENEW_S
        if self._over is None and now:
            self._look()
        elif self._over is None and stopped:
            with suppress(Exception):  # a store that does not answer: the keeper tells, and no commit goes unchecked
                self._look()
        self._checked = time.monotonic()
        if self._over is not None:
            raise self._over

    def start(self) -> None:
        self._keeper.start()

    def release(self) -> None:
        """Says in its own file that the next run need not wait. Where the lease is lost it does nothing."""
        self._done.set()
        self._keeper.join(timeout=RENEW_S)
        try:
            self._look()
            if self._over is None:
                self._write(released=True)
        except Exception as error:  # every backend has its own classes; what was made is not to be lost over it
            log.warning("%s: the lease could not be released (%s: %s); another machine's next run waits %.0f s",
                        self.storage.url, type(error).__name__, error, EXPIRES_S)  # fmt: skip

    def _keep(self) -> None:
        """Renews the lease until it is released or lost. A store that does not answer is asked again."""
        failing = False
        while not self._done.wait(RENEW_S):
            try:
                self._look()
                if self._over is not None:
                    return
                self._write()
            except Exception as error:  # every backend has its own classes
                if not failing:
                    log.warning("%s: the lease could not be renewed (%s: %s); trying again every %.0f s",
                                self.storage.url, type(error).__name__, error, RENEW_S)  # fmt: skip
                failing = True
                continue
            if failing:
                log.warning("%s: the lease is renewed again", self.storage.url)
            failing = False

    def _look(self) -> None:
        try:
            check_epoch(self.storage, self.epoch)
        except LeaseLost as error:
            self._over = error

    def _write(self, released: bool = False) -> None:
        self._holder = self._holder.renewed(released)
        self.storage.write(_file(self.epoch), self._holder.to_json())


@contextmanager
def held(storage: Storage) -> Iterator[Lease]:
    """Holds the lease of an OUTPUT. Raises OutputError while another driver holds it; where that cannot be told at
    once it watches for up to `EXPIRES_S`."""
    clear_older(storage, EXPIRES_S)
    lease = _take(storage)
    try:
        lease.start()
        yield lease
    finally:
        lease.release()


def check_epoch(storage: Storage, epoch: int) -> None:
    """Raises LeaseLost when there is a later epoch than `epoch`. One listing."""
    latest = max(_epochs(storage), default=0)
    if latest > epoch:
        raise LeaseLost(
            f"{storage.url}: another run has taken over here ({_who(_read(storage, latest))}), as this one was not "
            f"heard of for {EXPIRES_S:.0f} s, so this one stops; nothing is lost, and `unscene status` shows that one"
        )


def at_work(storage: Storage) -> dict[str, Any] | None:
    """Who holds the lease (`host`, `pid`, `at`: when last heard of), or None where nobody is at work. Where the
    holder is on another machine and the clocks cannot be right it watches for a renewal."""
    epoch, data = _latest(storage)
    holder = _holder(data)
    if holder is None or holder.released or holder.gone():
        return None
    silent_s = time.time() - holder.at
    if holder.machine != machine() and abs(silent_s) > EXPIRES_S:
        if silent_s > LONG_GONE_S or not _is_heard_of(storage, epoch, data, 1.5 * RENEW_S):
            return None
        holder = _read(storage, epoch) or holder
    return {"host": holder.host, "pid": holder.pid, "at": holder.at}


def _take(storage: Storage) -> Lease:
    ours = ourselves()
    while True:
        epoch, data = _latest(storage)
        holder = _holder(data)
        if data is not None and not (holder and (holder.released or holder.gone())):
            if holder is not None and holder.at_work_here():
                raise _refusal(storage, holder)
            tell(f"{_who(holder)} was at work here; taking over unless it is heard of within {EXPIRES_S:.0f} s")
            if _is_heard_of(storage, epoch, data, EXPIRES_S):
                now = _read(storage, epoch)
                if now is None or now.released:
                    continue  # it has ended meanwhile, or another was quicker
                raise _refusal(storage, now)
        if not _made(storage, epoch + 1, ours):
            continue
        epochs = _epochs(storage)
        if max(epochs, default=0) > epoch + 1:  # the number was free because its file had been cleared away
            storage.delete(_file(epoch + 1))
            continue
        for older in epochs:
            if older <= epoch:
                storage.delete(_file(older))
        return Lease(storage, epoch + 1, ours)


def _made(storage: Storage, epoch: int, ours: Holder) -> bool:
    """Makes an epoch. One that exists is ours where the answer to our own request was lost."""
    if storage.create(_file(epoch), ours.to_json()):
        return True
    found = _read(storage, epoch)
    return found is not None and found.token == ours.token


def _is_heard_of(storage: Storage, epoch: int, data: bytes | None, seconds: float) -> bool:
    """Whether the holder of an epoch renews it within that time, or another takes the next one. Time is ours, and only
    a look that the store answered tells anything. Raises what the store raises when it does not answer at all."""
    end = time.monotonic() + seconds
    while True:
        time.sleep(min(_LOOK_S, RENEW_S / 4))
        last = time.monotonic() >= end
        try:
            if _latest(storage) != (epoch, data):
                return True
        except Exception:  # every backend has its own classes
            if time.monotonic() > end + EXPIRES_S:
                raise
            continue
        if last:
            return False


def _latest(storage: Storage) -> tuple[int, bytes | None]:
    """The last epoch and its file; (0, None) where there is none."""
    while True:
        epoch = max(_epochs(storage), default=0)
        if not epoch:
            return 0, None
        with suppress(FileNotFoundError):  # a later one has come, and this one was cleared away
            return epoch, storage.read(_file(epoch))


def _epochs(storage: Storage) -> list[int]:
    return sorted(int(match[1]) for name in storage.names(FOLDER) if (match := _NAME.match(name)))


def _read(storage: Storage, epoch: int) -> Holder | None:
    with suppress(FileNotFoundError):
        return _holder(storage.read(_file(epoch)))
    return None


def _holder(data: bytes | None) -> Holder | None:
    with suppress(ValueError):
        return None if data is None else Holder.from_json(data)
    return None


def _file(epoch: int) -> str:
    return f"{FOLDER}/{epoch:06d}.json"


def _who(holder: Holder | None) -> str:
    return "a process that does not say" if holder is None else f"process {holder.pid} on {holder.host}"


def _refusal(storage: Storage, holder: Holder | None) -> OutputError:
    silent_s = max(0.0, time.time() - holder.at) if holder and holder.at_work_here() else 0.0
    return OutputError(
        f"{storage.url}: another run is at work here ({_who(holder)}, last heard of {silent_s:.0f} s ago); `unscene "
        "status` shows it; wait, or stop it first"
    )
