"""`unscene fields`: every field of a job in words, wherever Unscene is installed."""

from __future__ import annotations

import pytest

from pipeline.commands.fields import field_lines
from schemas.described import bundled, fields, sections
from schemas.errors import CommandError
from schemas.job import JobSpec


def test_a_field_is_told_with_its_type_its_limits_and_both_defaults() -> None:
    assert list(field_lines("extract.phase1.steps")) == [
        "extract.phase1.steps: integer, ≥ 0; default 400 (100 with models.base: seedling); changes results",
        "    Optimizer steps. 0 leaves the phase out.",
    ]
    assert next(field_lines("output")) == "output: text; required"


def test_a_section_is_told_with_the_sections_in_it_and_no_neighbour() -> None:
    told = list(field_lines("extract"))
    assert told[0] == "From a picture and its masks to one text handle per concept."
    assert "extract.phase1: Handle rows only." in told
    assert {line.partition(".")[0] for line in told if not line.startswith(" ")} == {"extract", told[0][:-1]}
    assert next(field_lines("extract.phase1")) == "extract.phase1: Handle rows only."


def test_no_name_shows_every_section_and_what_stands_beside_them() -> None:
    told = list(field_lines(None))
    assert [line for line in told if line in sections()] == [
        name for name in JobSpec.model_fields if name not in ("output", "seed")
    ]
    assert any(line.startswith("seed: ") for line in told)


def test_what_a_bundled_model_brings_is_what_a_job_gets() -> None:
    spec = JobSpec.model_validate({"source": {"uri": "a"}, "output": "b"})
    assert bundled("segment.points_per_side") == [("models.sam: seedling", str(spec.segment.points_per_side))]
    assert bundled("extract.phase1") == []
    assert bundled("output") == []


def test_a_name_is_whole() -> None:
    assert [field.name for field in fields("seed")] == ["seed"]
    assert fields("see") == []
    with pytest.raises(
        CommandError, match=r"fields learning_rate: .* did you mean extract\.phase1\.lr or extract\.phase2"
    ):
        list(field_lines("learning_rate"))
