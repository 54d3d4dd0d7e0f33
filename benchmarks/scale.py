"""What a job of a million pictures costs: `python -m benchmarks.scale --scenes 1000000 --workers 1000`.

The driver, the scheduler, the ledger, and the commits that it makes are the pipeline's own. What stands in: the cluster
(`scale_ray.py`), the workers and the source (`scale_work.py`), the store (`scale_store.py`, 30 ms an answer), and the
clock (`scale_clock.py`), which counts the driver's own work and jumps over what nobody works at.

The job is planned, run to the half and stopped, opened again as a resumed run opens it, asked for its status, and run
to its end. A second one, small, has the pipeline's whole workers and packers and pictures of the size that pictures
have: it tells requests a scene and bytes moved.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.scale_job import Phase, Run
from benchmarks.scale_ray import Actor
from benchmarks.scale_work import Work

WHOLE_SCENES, WHOLE_WORKERS, WHOLE_PICTURES = 192, 8, 64
Line = tuple[str, str, str]
"""What, figure, goal."""


@dataclass(frozen=True)
class Busy:
    """How the cluster's GPUs were used while units were worked at. Shares are of all GPUs in that time.

    seconds: from the first unit to the last. start, tail: shares of all GPU time that went by unused before 95 % of the
    GPUs worked for the first time, and after they did for the last time; between: unused of what lies in between.
    ready: share of the workers' own time in which they were ready and had no unit. tail_s: how long the tail is.
    """

    seconds: float
    start: float
    between: float
    tail: float
    tail_s: float
    ready: float


def busy_of(actors: Sequence[Actor], gpus: float) -> Busy:
    """Of the actors with GPUs."""
    working = [actor for actor in actors if actor.gpus and actor.spans]
    times = np.concatenate([np.frombuffer(actor.spans) for actor in working])
    change = np.concatenate([np.tile([actor.gpus, -actor.gpus], len(actor.spans) // 2) for actor in working])
    order = np.argsort(times, kind="stable")
    times, used = times[order], np.cumsum(change[order])
    lasts, free = np.diff(times), gpus - used[:-1]
    full = np.flatnonzero(used[:-1] >= 0.95 * gpus)
    first, last = (full[0], full[-1] + 1) if len(full) else (0, len(lasts))
    whole = gpus * (times[-1] - times[0])
    unused = lasts * free
    lived = sum(actor.gpus * (actor.ended_at - actor.placed_at) for actor in working)
    worked = sum(actor.gpus * (sum(actor.spans[1::2]) - sum(actor.spans[::2])) for actor in working)
    started = sum(actor.gpus * actor.setup_s for actor in working)
    return Busy(
        float(times[-1] - times[0]),
        float(unused[:first].sum() / whole),
        float(unused[first:last].sum() / max(1e-9, gpus * (times[last] - times[first]))),
        float(unused[last:].sum() / whole),
        float(times[-1] - times[last]),
        float((lived - worked - started) / lived),
    )


def requests_a_scene(run: Run) -> Counter[str]:
    """By kind, and by whose they are."""
    total: Counter[str] = Counter()
    for (who, kind), number in run.store.requests.items():
        whose = who if who in ("driver", "packer") else "workers"
        total.update(dict.fromkeys((kind, whose, "all"), number))
    return Counter({kind: number / run.scenes for kind, number in total.items()})


def kept_bytes(run: Run) -> int:
    """Of the tables and tars of an OUTPUT."""
    kept = (files for folder, files in run.store.files.items() if "/_" not in folder)
    return sum(size for files in kept for _, size in files.values())


def phase_line(phase: Phase, goal: str = "") -> Line:
    of = f"{sum(phase.requests.values()):,} requests, {phase.driver_s:,.0f} s of it the driver's processor"
    return phase.name, f"{phase.simulated_s:,.0f} s ({of})", goal


def large_lines(run: Run) -> Iterator[Line]:
    """What the job of many scenes tells."""
    goals = {"plan": "", "status at half": "10 s", "resume at half": "60 s", "status at the end": "10 s"}
    yield from (phase_line(phase, goals.get(phase.name, "")) for phase in run.phases)
    yield (
        "memory of the driver",
        f"{max(phase.peak_mb for phase in run.phases):,.0f} MB, the stand-ins' included",
        "1.5 GB",
    )
    used = busy_of(run.ray.actors, run.ray.gpus)
    yield "workers ready without a unit", f"{used.ready:.1%} of their time", "2 %"
    yield "GPUs without work, between start and tail", f"{used.between:.1%}, set-ups included", ""
    yield "GPUs without work in the tail", f"{used.tail:.1%} of all, in {used.tail_s:,.0f} s", ""
    folder, files = max(run.store.files.items(), key=lambda item: len(item[1]))
    yield "files of the fullest folder", f"{len(files):,} ({folder.partition('/')[2]})", ""


def small_lines(run: Run) -> Iterator[Line]:
    """What the job with whole workers tells."""
    asked = requests_a_scene(run)
    whose = ", ".join(f"{who} {asked[who]:.1f}" for who in ("workers", "packer", "driver"))
    kinds = ", ".join(f"{kind} {asked[kind]:.1f}" for kind in ("GET", "PUT", "HEAD", "LIST", "COPY", "DELETE"))
    yield "requests a scene", f"{asked['all']:.1f}: {whose}", ""
    yield "  by kind", kinds, ""
    kept, moved = kept_bytes(run), run.store.moved
    up = sum(size for (_, way), size in moved.items() if way == "up")
    down = {who: moved[who, "down"] / kept for who in dict.fromkeys(who for who, _ in moved)}
    inputs = sum(size for who, size in down.items() if who not in ("driver", "packer"))
    yield "bytes written a byte kept", f"{up / kept:.2f}, and {down['packer']:.2f} read by packers", "1.2 together"
    yield "bytes read by workers a byte kept", f"{inputs:.2f} (what earlier stages have made)", ""
    shards = {folder: files for folder, files in run.store.files.items() if "/_" not in folder}
    largest = max(size for files in shards.values() for _, size in files.values())
    yield "largest file of a shard", f"{largest / 1e6:,.1f} MB", "100 MB to 1 GB"


def large_run(scenes: int, workers: int) -> Run:
    run = Run(scenes, workers, Work())
    with run.simulated():
        run.open_and_run("plan", "work to the half", scenes // 2)
        run.status("status at half")
        run.open_and_run("resume at half", "work to the end")
        run.status("status at the end")
    return run


def whole_run(scenes: int, pictures: int) -> Run:
    run = Run(scenes, WHOLE_WORKERS, Work(pictures), whole=True)
    with run.simulated():
        run.open_and_run("plan", "work")
    return run


def table(lines: Sequence[Line]) -> str:
    """A Markdown table."""
    rows = [("", "figure", "goal"), ("---", "---", "---"), *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100, help="GPUs of the cluster")
    parser.add_argument("--pictures", type=int, default=WHOLE_PICTURES, help="a scene's, in the job with whole workers")
    asked = parser.parse_args()
    print(f"the job of {asked.scenes:,} scenes ...", file=sys.stderr)
    large = list(large_lines(large_run(asked.scenes, asked.workers)))  # first: no bytes of the small one are its memory
    print("the job with whole workers ...", file=sys.stderr)
    print(table([*large, *small_lines(whole_run(WHOLE_SCENES, asked.pictures))]))


if __name__ == "__main__":
    main()
