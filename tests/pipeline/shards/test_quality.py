"""What is said of a job's pictures: how many were kept only where something was asked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.closing import closing_lines
from pipeline.commands.run import JobResult
from pipeline.commands.seedling import seedling_lines
from pipeline.commands.status import status_lines
from pipeline.ledger.run_record import recorded_spec
from pipeline.shards import photographs
from pipeline.shards.quality import kept_text, learned_by, little_training, quality_lines, thresholds
from pipeline.shards.scores import ScoreNumbers
from pipeline.storage.folder import Storage
from schemas.evaluate import Evaluate
from schemas.job import JobSpec
from tests.support.sample_output import SampleOutput, with_given_handles


def numbers(keep: int, complete: int, count: int, reason: str = "incomplete: not every concept") -> ScoreNumbers:
    found = ScoreNumbers()
    for i in range(count):
        kept = i < keep
        row = {"keep": kept, "complete": i < complete, "reason": None if kept else reason}
        found.add(row | {"prompt_similarity": 0.25, "identity_similarity": 0.75})
    return found


def test_without_thresholds_nothing_is_called_kept() -> None:
    """Of the demo's 204 pictures 145 lacked a concept, and `kept 204 of 204` stood over them."""
    anything = Evaluate(concepts="any")
    text = kept_text(numbers(204, 59, 204), anything)
    assert text == "no thresholds set: 59 of 204 show every concept asked for once (29 %)"
    copies = kept_text(numbers(199, 59, 204, "copy of a-0000: correlation"), anything)
    assert copies == f"{text}; not kept: 5 near-duplicates"


def test_thresholds_stand_beside_what_they_kept() -> None:
    settings = Evaluate(min_identity=0.6, concepts="complete")
    assert kept_text(numbers(48, 60, 204), settings) == (
        "kept 48 of 204 (min_identity 0.6, concepts complete); 60 of the 204 show every concept asked for once (29 %); "
        "not kept: 156 incomplete"
    )
    alone = kept_text(numbers(60, 60, 204), Evaluate(concepts="complete"))
    assert alone == "kept 60 of 204 (concepts complete); not kept: 144 incomplete", "they are the same"
    both = numbers(48, 60, 204)
    both.dropped["under min_identity"] = 7
    assert kept_text(both, settings).endswith(
        "not kept: 156 incomplete, 7 under min_identity (each by its first reason)"
    )
    least = Evaluate(min_prompt=0.0, concepts="any")
    assert thresholds(least) == "min_prompt 0", "a threshold of nothing is one, and is told"
    assert thresholds(Evaluate(max_copy=0.5, min_contrast=0.1, concepts="any")) == ""


def test_by_default_what_lacks_a_concept_is_not_kept_and_what_doubles_one_is_told() -> None:
    assert kept_text(numbers(175, 59, 204, "missing: <asset1> (mug) not found"), Evaluate()) == (
        "kept 175 of 204 (concepts found); 59 of the 204 show every concept asked for once (29 %); "
        "not kept: 29 missing a concept"
    )


@pytest.mark.parametrize(
    ("extract", "base", "said"),
    [
        (
            {"phase1": {"steps": 2}, "phase2": {"steps": 2}},
            "seedling",
            "4 steps a scene, where the default for seedling",
        ),
        ({"phase1": {"steps": 1}, "phase2": {"steps": 1}}, "own/base", "is 800"),
        ({"method": "ti_m", "phase1": {"steps": 10}}, "own/base", "is 400"),
        ({"method": "ti_m"}, "own/base", None),
        ({"phase1": {"steps": 100}}, "seedling", None),
        ({}, "own/base", None),
    ],
)
def test_a_job_that_hardly_trains_is_told_so(extract: dict[str, Any], base: str, said: str | None) -> None:
    tree = {"source": {"uri": "x"}, "output": "y", "models": {"base": base}, "extract": extract}
    text = little_training(JobSpec.model_validate(tree))
    assert (text is None) == (said is None)
    assert said is None or said in str(text)
    given = JobSpec.model_validate(tree | {"source": {"handles": "z"}})
    assert little_training(given) is None, "the handles are another job's"
    assert learned_by(given) == given, "which is gone"


def test_of_given_handles_it_is_told_how_little_their_job_trained(tmp_path: Path) -> None:
    few = SampleOutput(tmp_path / "few", settings={"extract.phase1.steps": 2, "extract.phase2.steps": 0})
    more = recorded_spec(with_given_handles(tmp_path / "more", few))
    lines = quality_lines(Storage(more.output), ScoreNumbers(), more, trained=True)
    assert [line.partition(",")[0] for line in lines] == ["trained for 2 steps a scene"]


def test_end_of_a_run_and_status_use_the_same_words(tmp_path: Path) -> None:
    few = {"extract.phase1.steps": 2, "extract.phase2.steps": 0, "evaluate.concepts": "any"}
    sample = SampleOutput(tmp_path / "out", scenes=6, settings=few)
    counts = {"ingest": (6, 1), "extract": (5, 1), "generate": (5, 0), "evaluate": (5, 0)}
    result = JobResult(complete=True, worked=True, counts=counts, seconds=1.0)
    for lines in (closing_lines(sample.storage, result), status_lines(sample.storage)):
        assert (
            "no thresholds set: 20 of 20 show every concept asked for once (100 %); not kept: 5 near-duplicates"
            in lines
        )
        assert any(line.startswith("trained for 2 steps a scene") for line in lines)
    said = (
        "kept 15 of 20 (min_identity 0.5, concepts found); 20 of the 20 show every concept asked for once (100 %); "
        "not kept: 5 near-duplicates"
    )
    strict = SampleOutput(tmp_path / "strict", scenes=6, settings={"evaluate.min_identity": 0.5})
    for lines in (closing_lines(strict.storage, result), status_lines(strict.storage)):
        assert said in lines
        assert not any("trained for" in line for line in lines)


def test_scores_of_photographs_by_the_seedling_are_said_to_be_worth_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job on given handles has no source to look at, and said `kept 6 of 64` and no more."""
    storage = SampleOutput(tmp_path / "out").storage  # files of 1,000 bytes
    own = recorded_spec(storage)
    tree = {"source": {"handles": storage.url}, "output": str(tmp_path / "later"), "evaluate": {"enabled": True}}
    given, scored = JobSpec.model_validate(tree), ScoreNumbers(count=1)
    later = Storage(given.output)
    assert len(quality_lines(storage, scored, own, trained=False)) == 1
    assert len(quality_lines(later, scored, given, trained=False)) == 1
    monkeypatch.setattr(photographs, "PHOTOGRAPH_BYTES", 1000)
    for lines in (quality_lines(storage, scored, own, False), quality_lines(later, scored, given, False)):
        assert lines[1].startswith(
            "scored by the seedling (models.sam, models.clip, models.identity), which knows small"
        )
    assert quality_lines(storage, ScoreNumbers(), own, trained=False) == [], "nothing was scored"
    tree["models"] = {"clip": "openai/clip", "identity": "facebook/dino", "sam": "sam_vit_h.pth"}
    assert len(quality_lines(later, scored, JobSpec.model_validate(tree), trained=False)) == 1
    (line,) = seedling_lines(given, None)
    assert "and these look like photographs (1.0 kB a file)" in line
