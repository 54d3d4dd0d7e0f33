"""What several runs of the protocol say together: the paper's claims over the mean of the runs, scene by scene. No Ray.

    python -m benchmarks.protocol_runs jobs/protocol.yaml out/protocol out/protocol-other

A run's intervals come from its scenes alone: they hold that base and that seed fixed. Runs of the same scenes with
another base or seed show what of a verdict was theirs. Every run counts alike, and the bootstrap is over scenes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.protocol.jobs import method_spec
from pipeline.protocol.outcome import scores_of
from pipeline.protocol.page.table import difference_cell, head, line
from pipeline.protocol.statistics.bootstrap import Interval, interval, resample_counts
from pipeline.protocol.statistics.claims import CLAIMS, REFERENCE, Claim, verdict
from pipeline.protocol.statistics.measures import MEASURES, scene_means
from pipeline.protocol.statistics.summary import Judged, MethodScores
from schemas.errors import SpecError
from schemas.spec_file import load_spec

Run = Mapping[str, MethodScores]
"""Method -> its scores."""
BY_NAME = {measure.name: measure for measure in MEASURES}


def differences(run: Run, claim: Claim) -> dict[str, float]:
    """Scene -> the claim's measure of its method less that of break_a_scene, where both have it."""
    one, reference = (scene_means(run[name].rows, BY_NAME[claim.measure]) for name in (claim.method, REFERENCE))
    return {scene: one[scene].value - reference[scene].value for scene in one if scene in reference}


def judge(runs: Sequence[Run], resamples: int, seed: int) -> Iterator[tuple[Judged, list[Interval | None]]]:
    """Each claim of a method that was run, by the mean over the runs of its differences, and beside it the difference
    in each run alone; on the same resamples of the scenes that all runs have."""
    for claim in CLAIMS:
        if any({claim.method, REFERENCE} - run.keys() for run in runs):
            continue
        found = [differences(run, claim) for run in runs]
        scenes = sorted(set.intersection(*map(set, found)))
        values = np.array([[of[scene] for scene in scenes] for of in found])  # [runs, scenes]
        counts = resample_counts(len(scenes), resamples, seed)
        joint = interval(values.mean(0), counts)
        yield Judged(claim, joint, verdict(claim, joint)), [interval(alone, counts) for alone in values]


def lines(runs: Sequence[Run], resamples: int, seed: int) -> Iterator[str]:
    """A Markdown table: the difference in each run, then over all, and the verdict of that."""
    yield from head(["claim", "measure", *(f"run {n}" for n in range(1, len(runs) + 1)), "all runs", "verdict"])
    for found, alone in judge(runs, resamples, seed):
        measure = BY_NAME[found.claim.measure]
        cells = [difference_cell(at, measure) for at in (*alone, found.difference)]
        yield line([found.claim.words, measure.title, *cells, found.verdict])


def main() -> None:
    """Read the runs' scores and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path, help="the protocol's job spec")
    parser.add_argument("outputs", nargs="+", help="the runs: folders or URIs that took the place of its `output`")
    args = parser.parse_args()
    try:
        spec = load_spec(args.spec)
    except SpecError as error:
        parser.error(str(error))
    runs: list[Run] = []
    for output in args.outputs:
        job = spec.model_copy(update={"output": output})
        runs.append({name: scores_of(method_spec(job, name)) for name in spec.protocol.methods})
        if missing := [name for name, scores in runs[-1].items() if not scores.rows]:
            parser.error(f"{output} has no scores of {', '.join(missing)}: finish it with `unscene evaluate`")
    print("\n".join(lines(runs, spec.protocol.resamples, spec.protocol.resample_seed)))


if __name__ == "__main__":
    main()
