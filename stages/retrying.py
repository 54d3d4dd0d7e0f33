"""A store that does not answer is asked again, for a time that has an end; whoever waits says so.

Everything that is read from a source or an OUTPUT, listed or written there goes through `persistently`. What is final
(no such file, forbidden, a full disk) is raised at once; what may pass by itself (`stages/transient.py` tells) is tried
again after a pause that doubles and is drawn by lot, so that a thousand workers do not come back at the same moment.
"""

from __future__ import annotations

import contextvars
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from schemas.errors import StoreAway, StoreFull
from stages.telling import tell
from stages.transient import behind, comes_of_network_failure, is_full, is_network_failure

AWAY_S = 900.0
"""How long a store that has answered before may be away."""
FIRST_S = 60.0
"""The same of a store that has not answered this process yet: its address may be misspelt."""
UNIT_S = 240.0
"""The same within a unit of work, whose deadline goes on meanwhile; the unit is then begun once more."""
FILE_S = 60.0
"""How long one file may not be readable while its store answers what else it is asked."""
LONGEST_PAUSE_S = 15.0
SAY_S = 5.0
"""After so long somebody is told, and once a minute from then on where it goes into a log."""

Found = TypeVar("Found")

_log = logging.getLogger("unscene")
_lot = random.SystemRandom()  # the pauses are no part of any result, and draw from no stream that is


class _Stores:
    """What this process knows of the stores that it asks; threads share it."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self.answered: set[str] = set()
        self.said: dict[str, float] = {}
        self.interrupts = 0
        self.most: float | None = None

    def patience(self, store: str) -> float:
        if self.most is not None:
            return min(self.most, AWAY_S)
        return AWAY_S if store in self.answered else min(FIRST_S, AWAY_S)

    def pause(self, seconds: float, since: int) -> bool:
        """Sleeps; whether somebody has interrupted the waiting since the count `since`."""
        with self.turn:
            return self.turn.wait_for(lambda: self.interrupts != since, timeout=seconds)


_stores = _Stores()


def within_units() -> None:
    """From now on this process works on units: the driver has spoken to their stores, and waits in its turn."""
    _stores.most = UNIT_S


def interrupt() -> None:
    """Ends all waiting in this process, as after a Ctrl-C: each call that waits raises StoreAway."""
    with _stores.turn:
        _stores.interrupts += 1
        _stores.turn.notify_all()


@contextmanager
def full_told(store: str) -> Iterator[None]:
    """Raises StoreFull where what is done inside finds no room left at `store`."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StoreFull(
            f"{store}: no room is left there ({error.strerror}); what is written is safe: make room, and the same "
            "command goes on"
        ) from error


def persistently(call: Callable[[], Found], store: str, answers: Callable[[], bool] | None = None) -> Found:
    """What `call` returns, once it does. It must be safe to repeat.

    store: what a person calls the store, `s3://bucket/out`. answers: asked after FILE_S whether the store answers
    another question; then what `call` raised is about the thing that it asks for, and is raised.
    Raises StoreAway after AWAY_S (FIRST_S, UNIT_S), and at once what is not transient; StoreFull where no room is left.
    """
    if sys.exception() is None:
        return _asked(call, store, answers)
    # Whoever clears up after an error: Python hangs that behind every other one, in the place of what stood there, and
    # the new one would be taken for the network's, or not. In a thread nothing is being handled.
    found: list[Found] = []
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            found.append(_asked(call, store, answers))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(ask,), daemon=True, name="asks a store")
    thread.start()
    thread.join()
    if not raised:
        return found[0]
    behind_it = raised[0].__context__
    try:
        raise raised[0]
    finally:
        raised[0].__context__ = behind_it  # and not what is being handled here


def _asked(call: Callable[[], Found], store: str, answers: Callable[[], bool] | None) -> Found:
    began, tries, interrupts = time.monotonic(), 0, _stores.interrupts
    while True:
        try:
            with full_told(store):
                found = call()
        except Exception as error:
            if not comes_of_network_failure(error):
                raise
            failure = error
        else:
            _stores.answered.add(store)
            if tries and _stores.said.pop(store, None) is not None:
                _log.warning("%s answers again", store)
            return found
        waited, patience = time.monotonic() - began, _stores.patience(store)
        if answers is not None and waited >= min(FILE_S, patience) and answers():
            raise failure
        what = f"{store} does not answer ({_said(failure)})"
        if waited >= patience:
            raise StoreAway(_given_up(what, waited, store in _stores.answered)) from failure
        if waited >= SAY_S:
            _say(store, f"{what}; asking again for up to {patience - waited:.0f} s more")
        longest = min(LONGEST_PAUSE_S, 0.2 * 2.0 ** min(tries, 10))
        pause = min(_lot.uniform(longest / 2, longest), max(patience - waited, 0.01))
        if _stores.pause(pause, interrupts):
            raise StoreAway(_given_up(what, waited, True)) from failure
        tries += 1


def _said(failure: Exception) -> str:
    """The failure of the network in one line, and not the FileNotFoundError that was made of it."""
    error = next(filter(is_network_failure, behind(failure)), failure)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")


def _given_up(what: str, waited: float, known: bool) -> str:
    remedy = "what is written is safe, and the same command goes on once it answers"
    if not known:
        remedy = f"check the address and the network; {remedy}"
    return f"{what}, asked for {waited:.0f} s; {remedy}"


def _say(store: str, text: str) -> None:
    if tell(text):
        return
    now = time.monotonic()
    if store not in _stores.said or now - _stores.said[store] >= 60.0:
        _stores.said[store] = now
        _log.warning("%s", text)
