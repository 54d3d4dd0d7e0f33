"""What several runs of the protocol say together: the paper's claims over the mean of the runs, scene by scene. No Ray.

    python -m benchmarks.protocol_runs jobs/protocol.yaml out/protocol out/protocol-other

A run's intervals come from its scenes alone: they hold that base and that seed fixed. Runs of the same scenes with
another base or seed show what of a verdict was theirs. Every run counts alike, and the bootstrap is over scenes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.protocol.bootstrap import interval, resample_counts
from pipeline.protocol.claims import CLAIMS, REFERENCE, Claim, verdict
from pipeline.protocol.jobs import method_spec
from pipeline.protocol.measures import MEASURES, scene_means
from pipeline.protocol.outcome import scores_of
from pipeline.protocol.summary import Judged, MethodScores
from pipeline.protocol.table import TITLES
from schemas.spec_file import load_spec

Run = Mapping[str, MethodScores]
"""Method -> its scores."""


def differences(run: Run, claim: Claim) -> dict[str, float]:
    """Scene -> the claim's measure of its method less that of break_a_scene, where both have it."""
    measure = next(measure for measure in MEASURES if measure.name == claim.measure)
    one, reference = (scene_means(run[name].rows, measure) for name in (claim.method, REFERENCE))
    return {scene: one[scene].value - reference[scene].value for scene in one if scene in reference}


def judge(runs: Sequence[Run], resamples: int, seed: int) -> list[Judged]:
    """Each claim of a method that was run, by the mean over the runs of its differences; a scene that some run lacks
    is left out."""
    judged = []
    for claim in CLAIMS:
        if any({claim.method, REFERENCE} - run.keys() for run in runs):
            continue
        found = [differences(run, claim) for run in runs]
        scenes = sorted(set.intersection(*(set(values) for values in found)))
        means = np.array([np.mean([values[scene] for values in found]) for scene in scenes])
        at = interval(means, resample_counts(len(scenes), resamples, seed))
        judged.append(Judged(claim, at, verdict(claim, at)))
    return judged


def lines(runs: Sequence[Run], resamples: int, seed: int) -> list[str]:
    """A Markdown table: the difference in each run, then over all."""
    heads = ["claim", "method, measure", *(f"run {n}" for n in range(1, len(runs) + 1)), "all runs", "verdict"]
    text = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for found in judge(runs, resamples, seed):
        claim, at = found.claim, found.difference
        alone = [np.mean(list(differences(run, claim).values())) for run in runs]
        joint = "–" if at is None or at.low is None else f"{at.mean:+.3f} [{at.low:+.3f}, {at.high:+.3f}]"
        cells = [claim.words, f"{TITLES[claim.method]}, {claim.measure}", *(f"{mean:+.3f}" for mean in alone)]
        text.append(f"| {' | '.join([*cells, joint, found.verdict])} |")
    return text


def main() -> None:
    """Read the runs' scores and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path, help="the protocol's job spec")
    parser.add_argument("outputs", nargs="+", help="the runs: folders or URIs that took the place of its `output`")
    args = parser.parse_args()
    spec, runs = load_spec(args.spec), []
    for output in args.outputs:
        job = spec.model_copy(update={"output": output})
        runs.append({name: scores_of(method_spec(job, name)) for name in spec.protocol.methods})
        if missing := [name for name, scores in runs[-1].items() if not scores.rows]:
            parser.error(f"{output} has no scores of {', '.join(missing)}: finish it with `unscene evaluate`")
    print("\n".join(lines(runs, spec.protocol.resamples, spec.protocol.resample_seed)))


if __name__ == "__main__":
    main()
