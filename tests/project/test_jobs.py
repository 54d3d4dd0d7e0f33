"""Every job spec that ships loads, and says what its comments say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.stage_kinds import kinds_of
from schemas.errors import SpecError
from schemas.spec_file import load_spec
from tests.support import ROOT

JOBS = ROOT / "jobs"
FILES = sorted(JOBS.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_loads(file: Path) -> None:
    spec = load_spec(file)
    assert spec.output


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_typo_in_any_of_its_sections_is_found(file: Path) -> None:
    """Strict all the way down: no section of these files is one that nobody reads."""
    for section, value in yaml.safe_load(file.read_text()).items():
        if isinstance(value, dict):
            with pytest.raises(SpecError, match=f"unknown key `{section}.typo`"):
                load_spec(file, [f"{section}.typo=1"])


def test_what_ships() -> None:
    assert [file.stem for file in FILES] == ["augment", "demo", "overnight", "own_masks", "parts", "place", "protocol"]


def test_the_demo_asks_for_nothing_that_is_not_in_the_checkout() -> None:
    spec = load_spec(JOBS / "demo.yaml")
    assert {spec.models.base, spec.models.sam, spec.models.clip, spec.models.identity} == {"seedling"}
    assert spec.cluster.address is None
    assert spec.source.uri == "demo/bucket"


@pytest.mark.parametrize(("job", "settings"), [("demo", (8, 15, 8, "auto")), ("protocol", (16, 10, 8, 0.8))])
def test_the_seedling_s_jobs_come_to_the_settings_that_they_were_measured_with(
    job: str, settings: tuple[int, int, int, str | float]
) -> None:
    """Some of them stand in the file, the rest comes with the model; outputs that exist hang on all of them."""
    spec = load_spec(JOBS / f"{job}.yaml")
    extract, segment = spec.extract, spec.segment
    found_at = spec.evaluate.found_at
    assert (extract.prior.images, spec.generate.steps, segment.points_per_side, found_at) == settings
    assert (extract.phase1.steps, extract.phase1.lr, extract.phase2.steps, extract.phase2.lr) == (100, 5e-3, 240, 2e-3)
    assert (extract.prior.steps, extract.prior.guidance, spec.generate.guidance) == (10, 7.5, 3.0)
    assert (extract.attention_maps, extract.attention_weight) == (8, 0.1)
    assert (extract.lora.rank, extract.lora.targets) == (16, "attention_ff_conv")
    assert not extract.flip
    assert (segment.pred_iou_thresh, segment.stability_score_thresh) == (0.8, 0.8)


@pytest.mark.parametrize("job", ["augment", "place"])
def test_what_goes_on_from_the_demo_has_its_base_model(job: str) -> None:
    demo, augment = load_spec(JOBS / "demo.yaml"), load_spec(JOBS / f"{job}.yaml")
    assert augment.source.handles == demo.output
    assert augment.output != demo.output
    assert augment.models.base == demo.models.base
    assert [kind.name for kind in kinds_of(augment)] == ["generate", "evaluate"]
    for field in ("points_per_side", "pred_iou_thresh", "stability_score_thresh"):
        assert getattr(augment.segment, field) == getattr(demo.segment, field)


def test_overnight_asks_for_workers_by_number() -> None:
    """`auto` counts the GPUs that are there; on a cluster that starts with none it would never ask for a second."""
    cluster = load_spec(JOBS / "overnight.yaml").cluster
    assert cluster.address == "auto"
    for pool in (cluster.segment, cluster.extract, cluster.generate, cluster.evaluate):
        assert pool.workers != "auto"
        assert pool.gpus != "auto"
        assert float(pool.gpus) > 0
