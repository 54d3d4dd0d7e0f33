"""Many calls by threads: in order, within a window, nothing ahead of time and no error lost."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from pipeline.storage.many import THREADS, WINDOW, in_order


def test_results_come_in_the_order_asked_and_calls_overlap() -> None:
    gate = threading.Barrier(THREADS, timeout=30)  # passes only if so many calls are under way at once

    def late(number: int) -> int:
        if number < THREADS:
            gate.wait()
            time.sleep((THREADS - number) / 1000)  # the first asked is the last done
        return number * number

    assert list(in_order(late, range(200))) == [number * number for number in range(200)]
    assert list(in_order(late, [])) == []


def test_no_more_than_a_window_is_taken_ahead() -> None:
    taken = itertools.count()
    numbers = in_order(lambda number: number, (next(taken) for _ in itertools.repeat(None)))  # endless
    assert next(taken) == 0, "nothing is begun before the first result is asked for"
    assert [next(numbers) for _ in range(300)] == list(range(1, 301))
    assert next(taken) <= 301 + WINDOW
    numbers.close()


def test_an_error_comes_in_its_turn_and_ends_the_work() -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise OSError("no such file")
        return number

    numbers = in_order(read, range(10_000))
    assert list(itertools.islice(numbers, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="no such file"):
        next(numbers)
    assert len(begun) <= 6 + WINDOW


def test_who_stops_early_waits_only_for_what_is_under_way() -> None:
    begun: list[int] = []
    released = threading.Event()

    def held(number: int) -> int:
        begun.append(number)
        assert number < 3 or released.wait(timeout=60)
        return number

    numbers = in_order(held, range(10_000))
    assert list(itertools.islice(numbers, 3)) == [0, 1, 2]
    threading.Timer(1.0, released.set).start()
    numbers.close()  # leaves out what has not begun, then waits for what has
    assert released.is_set()
    assert 3 < len(begun) <= 3 + THREADS, "what had not begun is not begun"
