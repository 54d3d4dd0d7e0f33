"""Scenes an hour of the engine against the published training loop, in the same run.

    python benchmarks/extract.py                                     the seedling on this CPU, a process a core
    python benchmarks/extract.py --device cuda --model sd21 --scenes 1,2,4,8,16
    python benchmarks/extract.py --device cuda --model sdxl --scenes 1,2,4

Rounds go through all configurations in turn, so that a slow minute of the machine meets all of them; the table has
the medians. Measured steps are scaled to the paper's 400 + 400, and what a scene costs once is added once. `--out` is
written after every measurement: a run that is cut short keeps what it has.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.crew import Crew
from benchmarks.measure import machine, medians, spread, table, write_json
from benchmarks.models import NAMES
from benchmarks.training import STEPS, DivergedError, Options, TrainingBench

COLUMNS = (
    "configuration",
    "phase 1 ms",
    "phase 2 ms",
    "s a scene",
    "CPU s a scene",
    "scenes an hour",
    "TFLOP/s",
    "peak GiB",
    "ratio",
)


def scene_seconds(sample: dict[str, float]) -> float:
    """Seconds of one process for one scene: 400 + 400 steps shared by the batch, and what comes once."""
    return STEPS * (sample["wall1"] + sample["wall2"]) / sample["scenes"] + sample["once"]


def with_totals(samples: Sequence[dict[str, float]], tflop: float) -> dict[str, float]:
    """What W processes that worked side by side did together; step times are their mean."""
    together = {key: sum(s[key] for s in samples) / len(samples) for key in samples[0]}
    rate = sum(1 / scene_seconds(s) for s in samples)
    cpu = STEPS * (together["cpu1"] + together["cpu2"]) / together["scenes"]
    return together | {
        "scene_seconds": 1 / rate,
        "scenes_hour": 3600 * rate,
        "tflops": tflop * rate,
        "scene_cpu_seconds": cpu,
        "peak_gib": sum(s["peak_gib"] for s in samples),
    }


class Configurations:
    """Every row of the table by name, in the order of a round, as a function of the round's number."""

    def __init__(
        self,
        options: Options,
        workers: int,
        scenes: Sequence[int],
        kinds: Sequence[str],
        loop_threads: Sequence[int] = (1,),
    ) -> None:
        self.calls: dict[str, Any] = {}
        self.crew: Crew | None = None
        self.bench: TrainingBench | None = None
        if workers:
            crew = self.crew = Crew(workers, functools.partial(TrainingBench, replace(options, threads=1)))
            self.tflop = crew.alone("facts")
            for kind in kinds:
                for threads in loop_threads:
                    self._add(
                        f"yardstick {kind}, {threads} thread{'s' * (threads > 1)}",
                        kind,
                        lambda r, k=kind, t=threads: [crew.alone("yardstick", k, r, t)],
                    )
                if workers > 1:
                    self._add(
                        f"yardstick {kind}, {workers} processes",
                        kind,
                        lambda r, k=kind: crew.together("yardstick", k, r, 1),
                    )
            for count in scenes:
                self._add(
                    f"engine S={count}, {workers} process{'es' * (workers > 1)}",
                    "engine",
                    lambda r, s=count: crew.together("engine", s),
                )
            return
        bench = self.bench = TrainingBench(options)
        self.tflop = bench.facts()
        for kind in kinds:
            self._add(f"yardstick {kind}", kind, lambda r, k=kind: [bench.yardstick(k, r)])
        for count in scenes:
            self._add(f"engine S={count}", "engine", lambda r, s=count: [bench.engine(s)])

    def _add(self, name: str, kind: str, call: Any) -> None:
        self.calls[name] = lambda r: with_totals(call(r), self.tflop[kind])

    def forget(self) -> None:
        """After an error: frees what this process holds."""
        if self.bench is not None:
            self.bench.forget()

    def close(self) -> None:
        if self.crew is not None:
            self.crew.close()


def run_rounds(
    configurations: Configurations,
    rounds: int,
    keep: Callable[[dict[str, list[dict[str, float]]], dict[str, str]], Any],
) -> None:
    """`keep` gets the samples by configuration, and what went wrong with those that ran out of memory or diverged,
    after every measurement.
    """
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in configurations.calls}
    broken: dict[str, str] = {}
    for number in range(rounds):
        for name, call in configurations.calls.items():
            if name in broken:
                continue
            try:
                samples[name].append(call(number))
            except (torch.OutOfMemoryError, DivergedError) as error:
                broken[name] = str(error).splitlines()[0]
            else:
                print(
                    f"round {number + 1}/{rounds}: {name}: {samples[name][-1]['scenes_hour']:.1f} scenes an hour",
                    file=sys.stderr,
                    flush=True,
                )
            if name in broken:  # only now is the error gone, whose frames hold tensors
                configurations.forget()
            keep({name: found for name, found in samples.items() if found and name not in broken}, broken)


def report(samples: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """One row a configuration. ratio: scenes an hour over the fastest single-process `yardstick full`."""
    rows: list[dict[str, Any]] = [
        {"configuration": name, "rounds": len(found)}
        | medians(found)
        | {"spread": spread(s["scenes_hour"] for s in found)}
        for name, found in samples.items()
    ]
    plain = [
        row["scenes_hour"]
        for row in rows
        if row["configuration"].startswith("yardstick full") and "processes" not in row["configuration"]
    ]
    for row in rows:
        row["ratio"] = row["scenes_hour"] / max(plain) if plain else None
    return rows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Prints the table and returns what `--out` gets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=NAMES, default="seedling")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--scenes", default="1,2,4,8,16", help="batch sizes S of the engine")
    parser.add_argument("--yardstick", default="full,lora", help="full, lora, both or none")
    parser.add_argument("--steps1", type=int, help="timed steps of phase 1 (CUDA: 40, CPU: 12)")
    parser.add_argument("--steps2", type=int, help="timed steps of phase 2 (CUDA: 40, CPU: 12)")
    parser.add_argument("--warm", type=int, default=3, help="steps before them, dropped")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads, where there is one process")
    parser.add_argument(
        "--loop-threads",
        default=",".join(map(str, sorted({1, os.cpu_count() or 1}))),
        help="with --workers: the plain loop's numbers of threads; the best counts (1 and all)",
    )
    parser.add_argument("--workers", type=int, help="processes of one thread each; 0: this process (CPU: one a core)")
    parser.add_argument("--out", help="JSON file")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    on_cpu = device.type == "cpu"
    steps = 12 if on_cpu else 40
    options = Options(
        given.model,
        given.device,
        given.dtype,
        given.rank,
        given.steps1 or steps,
        given.steps2 or steps,
        given.warm,
        given.threads,
    )
    workers = given.workers if given.workers is not None else (os.cpu_count() or 1) * on_cpu
    kinds = [] if given.yardstick == "none" else given.yardstick.replace("both", "full,lora").split(",")
    facts = machine(device)
    configurations = Configurations(
        options,
        workers,
        [int(s) for s in given.scenes.split(",")],
        kinds,
        [int(t) for t in given.loop_threads.split(",")],
    )
    result: dict[str, Any] = {
        "benchmark": "extract",
        "machine": facts,
        "options": asdict(options) | {"workers": workers},
        "tflop": configurations.tflop,
        "rows": [],
        "broken": {},
        "samples": {},
    }

    def keep(samples: dict[str, list[dict[str, float]]], broken: dict[str, str]) -> None:
        result.update(rows=report(samples), broken=dict(broken), samples=samples)
        write_json(given.out, result)

    try:
        run_rounds(configurations, given.rounds, keep)
    finally:
        configurations.close()
    print(
        f"\n{given.model} on {facts['device']}, {options.steps1} + {options.steps2} steps scaled to "
        f"{STEPS} + {STEPS}, medians of {given.rounds} rounds; ms of a step, shared by S scenes\n"
    )
    print(
        table(
            COLUMNS,
            [
                [
                    row["configuration"],
                    1000 * row["wall1"],
                    1000 * row["wall2"],
                    row["scene_seconds"],
                    row["scene_cpu_seconds"],
                    row["scenes_hour"],
                    row["tflops"],
                    row["peak_gib"],
                    row["ratio"] or "-",
                ]
                for row in result["rows"]
            ],
        )
    )
    for name, problem in result["broken"].items():
        print(f"{name}: {problem}")
    if given.out:
        print(f"written: {given.out}")
    return result


if __name__ == "__main__":
    main()
