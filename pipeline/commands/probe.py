"""`unscene plan --probe`: how long the job takes on this machine, by half a minute of its own models at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import IO, Any

from pipeline.commands.bill import INGEST, PACK, Bill, Work
from pipeline.commands.packing import probed_seconds
from pipeline.commands.timing import Times
from pipeline.stage_kinds import AUTO_UNIT, StageKind, kinds_of
from pipeline.wording import counted, flop_text, span
from schemas.job import JobSpec
from stages.telling import tell

BUDGET_S = 30.0
"""The models are at work for so long at most; loading them comes on top."""
LOADING_S = 600.0
"""Nothing takes so long to load; something hangs."""


@dataclass
class Found:
    """What the process has said. seconds: by what was measured; at: what it was at last."""

    seconds: dict[str, float] = field(default_factory=dict)
    device: str = "CPU"
    gpus: int = 0
    at: str = "starting"
    ended: str | None = None


def probe(spec: JobSpec, bill: Bill, work: Work) -> Times:
    """Times of this machine. spec: with its paths made absolute."""
    cores = spec.cluster.cpus or os.cpu_count() or 1
    asked = {
        "spec": spec.model_dump(mode="json"),
        "threads": max(1, int(spec.cluster.extract.cpus)),
        "scenes": _scenes(spec, work, cores),
        "concepts": bill.concepts,
        "forward": bill.forward,
        "look": bill.look,
        "seen": bill.seen,
        "picture": bill.draw / max(1, bill.pictures),
        "budget_s": BUDGET_S,
    }
    found = _measure(asked)
    tell("probing: packing")
    found.seconds[PACK] = probed_seconds(bill, spec)
    return as_times(spec, bill, found, cores)


def _scenes(spec: JobSpec, work: Work, cores: int) -> int:
    """The most scenes that one worker of extract would be given at once; with handles given there is none."""
    if spec.source.handles:
        return 1
    return max(1, min(AUTO_UNIT, -(-work.left // _workers("extract", spec, cores, 0))))


def as_times(spec: JobSpec, bill: Bill, found: Found, cores: int) -> Times:
    """What one worker has taken, as what all take that work at once here; what was not measured by its FLOPs."""
    one, by_flops = _one_worker(bill, found)
    gpus = found.gpus if spec.cluster.gpus is None else min(found.gpus, spec.cluster.gpus)
    workers = {stage: 1 if stage == PACK else _workers(stage, spec, cores, gpus) for stage in one}
    scene = {stage: seconds / workers[stage] for stage, seconds in one.items()}
    rate = _rate(bill, found)
    prior = bill.prior / rate if rate else 0.0  # drawn as pictures are, by one worker
    most = max(workers.values(), default=1)
    where = f"{counted(found.gpus, 'GPU')}, {found.device}" if gpus else f"{counted(cores, 'core')}"
    notes = [
        f"here: probed on {where}, as one worker does it; {most} side by side are taken to be as fast each"
        if most > 1
        else f"here: probed on {where}"
    ]
    if spec.cluster.address:
        notes.append("  cluster.address: the job runs on a cluster, and here is this machine alone")
    if PACK in one:
        notes.append(
            "  pack: files of these sizes on this machine's own disk; a bucket takes as long as its requests do"
        )
    if by_flops:
        notes.append(
            f"  {', '.join(by_flops)}: not measured, it would not fit into {span(BUDGET_S)}; by FLOPs, at the "
            f"{flop_text(rate)}/s that the UNet has reached here"
        )
    if "extract" in found.seconds:
        notes.append(f"  extract: {counted(int(found.seconds['scenes']), 'scene')} side by side in a worker")
    if (load := os.getloadavg()[0]) > 1.5 * cores:
        notes.append(
            f"  the machine is busy (load {load:.0f} on {counted(cores, 'core')}): it will be faster when idle"
        )
    if found.ended:
        notes.append(f"  {found.ended}")
    return Times("here", scene, prior, notes)


def _one_worker(bill: Bill, found: Found) -> tuple[dict[str, float], list[str]]:
    """Stage -> seconds a scene by one worker, and the stages that only FLOPs tell of."""
    seconds, one, by_flops = found.seconds, dict[str, float](), list[str]()
    measured: dict[str, float | None] = {
        "segment": seconds.get("segment"),
        "extract": seconds.get("extract"),
        "generate": bill.pictures * seconds["generate"] if "generate" in seconds else None,
        "evaluate": bill.pictures * (seconds["seen"] + seconds["judges"]) if "judges" in seconds else None,
    }
    for stage in (INGEST, PACK):
        if stage in seconds and stage in bill.timed():
            one[stage] = seconds[stage]
    for stage, tflop in bill.by_stage().items():
        value = measured[stage]
        if not tflop:
            continue
        if value is not None:
            one[stage] = value
        elif rate := _rate(bill, found):
            one[stage] = tflop / rate
            by_flops.append(stage)
    return one, by_flops


def _rate(bill: Bill, found: Found) -> float:
    """TFLOP/s that the base has reached: in a batch of pictures where that was measured, else in a pass of one row; 0
    where neither was."""
    if "generate" in found.seconds:
        return bill.draw / bill.pictures / found.seconds["generate"]
    return bill.forward / found.seconds["pass"] if "pass" in found.seconds else 0.0


def _workers(stage: str, spec: JobSpec, cores: int, gpus: int) -> int:
    """How many workers of a stage are taken to be as fast as one by itself: as many as this machine carries, as
    `pipeline/scheduling/pool.py` counts them; those that share a GPU are one."""
    kind: StageKind = next(kind for kind in kinds_of(spec) if kind.name == stage)
    pool = kind.pool(spec)
    share = (kind.auto_gpus if gpus else 0.0) if pool.gpus == "auto" else float(pool.gpus)
    carried = [cores / pool.cpus] if pool.cpus else []
    if share:
        carried.append(gpus / share)
    most = max(1, int(min(carried, default=1.0)))
    most = most if pool.workers == "auto" else min(most, pool.workers)
    return min(most, gpus) if 0 < share < 1 else most


def _measure(asked: dict[str, Any]) -> Found:
    """Runs the process to its end, or ends it when its time is up; keeps what it has said by then."""
    found, words = Found(), Queue[str]()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.commands.probing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, words), daemon=True)
        reader.start()
        try:
            process.stdin.write(json.dumps(asked))
            process.stdin.close()
            found.ended = _listen(words, found)
        finally:
            process.kill()
            process.wait()
            reader.join()
        if found.ended is None and found.at != "done":
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["it was killed, as for want of memory"])[-1]
            found.ended = f"the probe ended at {found.at}: {last[:200]}"
    return found


def _read(stream: IO[str], words: Queue[str]) -> None:
    for line in stream:
        words.put(line)
    words.put("")


def _listen(words: Queue[str], found: Found) -> str | None:
    """Takes in what the process says until its last word. Returns why it was not waited for."""
    left, measuring = BUDGET_S, False
    while True:
        began = time.monotonic()
        try:
            line = words.get(timeout=left if measuring else LOADING_S)
        except Empty:
            return f"{found.at} takes more than the half minute: not measured" if measuring else f"{found.at} hangs"
        left -= time.monotonic() - began if measuring else 0.0
        if not line:
            return None
        word = _word(line)
        measuring = "begin" in word
        if measuring:
            found.at = str(word["begin"])
            tell(f"probing: {found.at}")
        elif "found" in word:
            found.seconds[word["found"]] = float(word["value"])
        elif "device" in word:
            found.device, found.gpus = str(word["device"]), int(word["gpus"])
        elif "doing" in word:
            found.at = str(word["doing"])
            tell(f"probing: {found.at}")
        elif "done" in word:
            found.at = "done"


def _word(line: str) -> dict[str, Any]:
    """A line of the process; a library may print one of its own."""
    try:
        word = json.loads(line)
    except ValueError:
        return {}
    return word if isinstance(word, dict) else {}
