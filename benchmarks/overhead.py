"""What the pipeline costs over the bare stages in one process: `python -m benchmarks.overhead`.

Stages that make pictures of a usual size without drawing them run twice: called one after another in this process, and
as a job with Ray, one worker at a time, on the local disk. Two jobs of different length tell what a scene costs apart
from what a job costs once (Ray, five set-ups).
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.scale_work import STAGES, Work, kinds
from pipeline.commands.run import run_job
from schemas.job import JobSpec
from schemas.outcomes import SceneTask
from stages.stage import StageContext

SCENE_S = 10.0
"""What a scene takes on a GPU, which the cost is held against."""


def bare_s(spec: JobSpec, scenes: int) -> float:
    """Seconds of the stages alone."""
    stages = [stage(spec, StageContext("")) for stage in STAGES]
    began = time.perf_counter()
    for number in range(scenes):
        for stage in stages:
            for _ in stage.process([SceneTask(f"{number:016x}")]):
                pass
    return time.perf_counter() - began


def job_s(folder: Path, scenes: int) -> float:
    """Seconds of the same as a job. Raises RuntimeError where it does not come to its end."""
    source = folder / f"source-{scenes}"
    source.mkdir()
    for number in range(scenes):
        (source / f"{number:06d}.jpg").write_bytes(b"%d" % number)
    began = time.perf_counter()
    if not run_job(spec_of(source, folder / f"out-{scenes}"), Console(file=io.StringIO()), kinds()).complete:
        raise RuntimeError("the job was stopped")
    return time.perf_counter() - began


def spec_of(source: Path, output: Path) -> JobSpec:
    tree = {"source": {"uri": str(source)}, "output": str(output), "evaluate": {"enabled": True}}
    return JobSpec.model_validate(tree | {"cluster": {"cpus": 1}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", default="32,160", help="of the two jobs")
    short, long = (int(part) for part in parser.parse_args().scenes.split(","))
    with tempfile.TemporaryDirectory() as folder:
        few, many = job_s(Path(folder), short), job_s(Path(folder), long)
        bare = bare_s(spec_of(Path(folder), Path(folder)), long) / long
    each = (many - few) / (long - short)
    print(f"bare stages: {1000 * bare:.1f} ms a scene, {Work.PICTURES} pictures of {Work.BYTES / 1000:.0f} KB")
    print(f"as a job: {1000 * each:.1f} ms a scene, and {few - short * each:.0f} s once")
    print(f"the pipeline costs {(each - bare) / SCENE_S:.2%} of a scene that takes {SCENE_S:g} s")


if __name__ == "__main__":
    main()
