"""What it costs to open an OUTPUT again: resume and status of many shards, in seconds and in requests.

    python -m benchmarks.ledger                        # 600 and 5,000 shards
    python -m benchmarks.ledger --shards 50000         # 850,000 files on the disk: some minutes to make

The OUTPUT is made up, of two scenes a shard and one failure in a hundred shards; what opens it is the real code, on
this machine's disk. Requests are what the same calls would be on an object store.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.made_output import made_output
from benchmarks.measure import table
from benchmarks.requests import KINDS, counted
from pipeline.commands.closing import closing_lines
from pipeline.commands.opening import open_job
from pipeline.commands.run import run_opened
from pipeline.commands.status import status_lines
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from schemas.job import JobSpec


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the outputs, open them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", default="600,5000", help="how many, and how many else")
    parser.add_argument("--folder", type=Path, help="where to make them; a temporary folder if not given")
    args = parser.parse_args(arguments)
    rows = []
    for shards in map(int, args.shards.split(",")):
        for state, settled in (("half done", shards // 2), ("finished", shards)):
            folder = Path(tempfile.mkdtemp(dir=args.folder))
            try:
                rows += measured(made_output(folder, shards, settled), shards, state)
            finally:
                shutil.rmtree(folder)
    print(table(["shards", "output", "command", "s", *KINDS], rows))


def measured(spec: JobSpec, shards: int, state: str) -> list[list[str | int | float]]:
    """Rows of the table: a run that finds the OUTPUT as it is for the first time, one after it, and status."""
    commands: dict[str, Callable[[], object]] = {
        "resume, the first time": lambda: resume(spec),
        "resume": lambda: resume(spec),
        "status": lambda: status_lines(Storage(spec.output)),
    }
    rows = []
    for name, command in commands.items():
        seconds, asked = timed(command)
        rows.append([f"{shards:,}", state, name, seconds, *(asked[kind] for kind in KINDS)])
    return rows


def resume(spec: JobSpec) -> None:
    """What a run does before its first unit; of a finished job all that it does."""
    with ExitStack() as lease:
        state = open_job(spec, kinds_of(spec), lease)
        if not state.open_shards:
            result = run_opened(state, Console(file=io.StringIO()))
            closing_lines(state.storage, result)


def timed(call: Callable[[], object]) -> tuple[float, Counter[str]]:
    """Seconds that it takes, and its requests."""
    with counted() as asked, contextlib.redirect_stderr(io.StringIO()):
        started = time.perf_counter()
        call()
        return time.perf_counter() - started, asked


if __name__ == "__main__":
    main()
