"""W processes of one thread each, as the product uses a CPU: one single-threaded actor a core.

A barrier before every timed stretch lets all of them work while any of them is measured.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from models.training.pools import end_with_parent

LONGEST_WAIT_S = 1800.0


class Crew:
    """make(meet) builds one worker's bench in its own process; `meet()` waits until all workers have come there."""

    def __init__(self, workers: int, make: Callable[[Callable[[], Any]], Any]) -> None:
        # Forked from a server that has imported everything once and computed nothing: fast, and safe with threads.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.training"])
        self.barrier = context.Barrier(workers)  # kept: a child may open it long after it was started
        self.pipes, self.processes = [], []
        for _ in range(workers):
            mine, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, self.barrier, make), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(mine)
            self.processes.append(process)

    def together(self, method: str, *arguments: Any) -> list[Any]:
        """Calls the method in every worker at once and returns the answers."""
        return self._call(self.pipes, method, True, arguments)

    def alone(self, method: str, *arguments: Any) -> Any:
        """Calls the method in the first worker while the others sleep."""
        return self._call(self.pipes[:1], method, False, arguments)[0]

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(10)
            if process.is_alive():
                process.kill()

    def _call(self, pipes: list[Connection], method: str, meeting: bool, arguments: tuple[Any, ...]) -> list[Any]:
        for pipe in pipes:
            pipe.send((method, meeting, arguments))
        answers = []
        for pipe in pipes:
            good, answer = pipe.recv()
            if not good:
                raise RuntimeError(f"a worker failed in {method}:\n{answer}")
            answers.append(answer)
        return answers


def serve(pipe: Connection, barrier: Any, make: Callable[[Callable[[], Any]], Any]) -> None:
    """A worker's life: build the bench, then do as told until the pipe closes or whoever gives the work is gone."""
    end_with_parent()
    meeting = False

    def meet() -> None:
        if meeting:
            barrier.wait(LONGEST_WAIT_S)

    bench = None
    while True:
        try:
            method, meeting, arguments = pipe.recv()
        except EOFError:
            return
        try:
            bench = bench or make(meet)
            pipe.send((True, getattr(bench, method)(*arguments)))
        except Exception:
            barrier.abort()  # or the others wait for this one for ever
            pipe.send((False, traceback.format_exc()))
