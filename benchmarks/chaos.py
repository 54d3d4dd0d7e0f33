"""A night of faults, counted: `make chaos`.

300 small scenes go through a job on an S3 server behind a proxy that breaks answers, on a Ray cluster of several
machines, while a monkey kills and stops workers, packers, machines and drivers, and crash points end whoever makes a
step of plan, lease, commit or publishing. Whatever ends, the same command goes on. In the end the OUTPUT is held
against that of a calm run. Prints the faults by kind and what became of the scenes; exits with 1 unless nothing is
lost, doubled, other or left over.

    python -m benchmarks.chaos [--scenes 300] [--faults 250] [--seed 0] [--server seaweedfs]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from benchmarks.chaos_check import Verdict, verdict
from benchmarks.chaos_cluster import Machines
from benchmarks.chaos_job import MACHINE, STAGES, UNIT, picture, write_spec
from benchmarks.chaos_monkey import LATE_S, Driver, Monkey, ended_well
from benchmarks.chaos_proxy import EndingProxy
from pipeline.storage.folder import Storage
from tests.support import ROOT
from tests.support.s3_servers import BUCKET, MAKES, asked_through, s3_server

ERRORS = 0.02
"""Share of all requests that the proxy breaks."""
MOST_S = 7200.0
_TELL_S = 60.0
SOURCE, CALM, NIGHT = (f"s3://{BUCKET}/{name}" for name in ("in", "calm", "night"))


class Chaos:
    """One night, with what stands around it."""

    def __init__(self, folder: Path, proxy: EndingProxy, machines: Machines, seed: int) -> None:
        self.folder, self.proxy, self.machines = folder, proxy, machines
        self.drivers: list[Driver] = []
        self.starts = 0
        self.ends: Counter[str] = Counter()
        self.unforeseen: list[str] = []
        self.night = Storage(NIGHT)
        self.monkey = Monkey(machines, proxy, self.drivers, self.start, self.holder, seed)

    def start(self) -> Driver:
        """The one command."""
        self.starts += 1
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if self.monkey.lot.random() < 0.5:  # another machine than the last driver's, as far as it knows
            environment[MACHINE] = f"machine-{self.starts}"
        log = self.folder / f"driver-{self.starts:03d}.log"
        command = [sys.executable, "-m", "benchmarks.chaos_job", "run", str(self.folder / "night.json")]
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
        self.drivers.append(Driver(process, log))
        return self.drivers[-1]

    def holder(self) -> tuple[int, int]:
        """Process of whoever holds the lease, 0 where nobody does, and the last epoch."""
        names = sorted(self.night.names("_lease"))
        try:
            found = json.loads(self.night.read(f"_lease/{names[-1]}")) if names else {"released": True}
        except FileNotFoundError:  # another has just taken over
            return 0, 0
        return (0 if found["released"] else int(found["pid"])), int(names[-1][:6]) if names else 0

    def __enter__(self) -> Chaos:
        return self

    def __exit__(self, *_: object) -> None:
        for driver in self.drivers:
            driver.process.kill()
            driver.process.wait()

    def reap(self) -> bool:
        """Takes in the drivers that have ended; whether one of them has come to the end of the job."""
        whole = False
        for driver in [driver for driver in self.drivers if driver.process.poll() is not None]:
            self.drivers.remove(driver)
            how = ended_well(driver)
            whole |= how == "to its end"
            self.ends[how or "otherwise"] += 1
            if how is None:
                said = "\n    ".join(driver.said().splitlines()[-12:])
                self.unforeseen.append(f"{driver.log.name}: exit code {driver.process.returncode}\n    {said}")
        return whole

    @property
    def faults(self) -> int:
        """To processes, machines and the store as a whole, up to now."""
        return sum(self.monkey.done.values()) + sum(self.proxy.ended.values())

    def run(self, batches: list[range], faults: int) -> None:
        """Until every batch of pictures is planned and a driver has come to the end of the job."""
        self.monkey.plan(faults)
        scenes, arrived, began = sum(map(len, batches)), 0, time.monotonic()
        told = began
        while time.monotonic() - began < MOST_S:
            whole = self.reap()
            planned = len(self.night.names("_plan")) >= arrived
            share = len(self.proxy.made) / (scenes / UNIT * len(STAGES))
            at_work = [driver for driver in self.drivers if not driver.stopped]
            if arrived < len(batches) and planned and share >= 0.8 * arrived / len(batches):
                for driver in at_work:  # no listing is to find half a batch
                    driver.killed = True
                    driver.process.kill()
                    driver.process.wait()
                    self.monkey.done["driver killed"] += 1
                bring(batches[arrived])
                arrived += 1
                self.proxy.armed += [("before", "plan"), ("after", "plan")]
            elif whole and arrived == len(batches) and planned and not self.drivers and not self.monkey.busy:
                return
            elif not at_work:
                self.start()
            self.monkey.turn(share / 0.9)
            if time.monotonic() > told + _TELL_S:
                told = time.monotonic()
                print(f"{told - began:5.0f} s  {share:4.0%} of the units' parts, {self.faults} faults", flush=True)
            time.sleep(0.2)
        self.unforeseen.append(f"not at its end after {MOST_S:.0f} s")


def bring(numbers: range) -> None:
    """Pictures join the source."""
    source = Storage(SOURCE)
    for number in numbers:
        source.write(f"{number:06d}.jpg", picture(number))


def run_calm(folder: Path, batches: list[range]) -> None:
    """The same pictures, joining in the same order, and nothing breaks."""
    for batch in batches:
        bring(batch)
        command = [sys.executable, "-m", "benchmarks.chaos_job", "run", str(folder / "calm.json")]
        there = {**os.environ, "PYTHONPATH": str(ROOT)}
        calm = subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True)
        if calm.returncode:
            raise RuntimeError(f"the calm run ended with exit code {calm.returncode}:\n{calm.stdout}{calm.stderr}")
    for batch in batches[1:]:
        for number in batch:
            Storage(SOURCE).delete(f"{number:06d}.jpg")


def once_more(chaos: Chaos) -> str:
    """The same command with nothing left to break: what it says first, but for how long it has been at it."""
    driver = chaos.start()
    driver.process.wait(MOST_S)
    chaos.reap()
    said = [line for line in driver.said().splitlines() if not line.endswith(" so far)")]
    return (said or [""])[0]


def table(chaos: Chaos, found: Verdict, seconds: float) -> tuple[list[str], int]:
    """What is printed, and how many faults there were."""
    proxy, monkey = chaos.proxy, chaos.monkey
    lines = [(kind, count) for kind, count in sorted(monkey.done.items(), key=lambda item: -item[1])]
    lines += [(f"ended {moment} a step of {step}", count) for (moment, step), count in sorted(proxy.ended.items())]
    processes = sum(count for _, count in lines)
    lines += [(f"answer of the store: {kind}", count) for kind, count in sorted(proxy.done.items())]
    text = [f"{count:6,}  {what}" for what, count in lines]
    total = sum(count for _, count in lines)
    text.append(f"{total:6,}  faults in all, {processes:,} of them to processes, machines and the whole store")
    text.append(f"{chaos.starts:6,}  times the one command was typed; ends: "
                + ", ".join(f"{count} {how}" for how, count in chaos.ends.most_common()))  # fmt: skip
    text.append(f"{found.scenes:6,}  scenes: lost {found.lost}, duplicated {found.twice}")
    text.append(f"{found.files:6,}  files by checksum, and against the calm run byte by byte: {len(found.wrong)} wrong")
    text.append(f"{len(found.left):6,}  things left behind")
    text.append(f"{sum(proxy.requests.values()):6,}  requests, {seconds / 60:.0f} min")
    return text, processes


def main(words: list[str] | None = None) -> int:
    """The exit code: 0 where nothing was lost and there were faults enough."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--faults", type=int, default=250, help="to processes, machines and the store as a whole")
    parser.add_argument("--least", type=int, default=200, help="faults of that kind that must have come about")
    parser.add_argument("--batches", type=int, default=6, help="in which the pictures join")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server", choices=MAKES, default="seaweedfs")
    asked = parser.parse_args(words)
    size = -(-asked.scenes // asked.batches)
    batches = [range(start, min(start + size, asked.scenes)) for start in range(0, asked.scenes, size)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        (folder / "store").mkdir()
        server = stack.enter_context(s3_server(asked.server, folder / "store"))
        proxy = stack.enter_context(EndingProxy(server, asked.seed, LATE_S))
        stack.enter_context(asked_through(proxy))
        machines = stack.enter_context(Machines())
        for name, output in (("calm", CALM), ("night", NIGHT)):
            write_spec(folder / f"{name}.json", SOURCE, output)
        began = time.monotonic()
        run_calm(folder, batches)
        print(f"the calm run took {time.monotonic() - began:.0f} s and {sum(proxy.requests.values()):,} requests")
        proxy.made.clear()
        proxy.requests.clear()
        began = time.monotonic()
        chaos = stack.enter_context(Chaos(folder, proxy, machines, asked.seed))
        proxy.rate = ERRORS
        chaos.run(batches, asked.faults)
        proxy.rate, proxy.armed = 0.0, []
        seconds = time.monotonic() - began
        said = once_more(chaos)
        if not said.startswith("nothing to do"):
            chaos.unforeseen.append(f"the same command, once more, says: {said}")
        found = verdict(chaos.night, Storage(CALM))
    text, faults = table(chaos, found, seconds)
    for line in (*text, *found.wrong[:20], *found.rows[:20], *found.left[:20], *chaos.unforeseen):
        print(line)
    if faults < asked.least:
        print(f"only {faults} faults came about, of {asked.least} that a night wants: nothing is shown")
    return 0 if found.good and not chaos.unforeseen and faults >= asked.least else 1


if __name__ == "__main__":
    sys.exit(main())
