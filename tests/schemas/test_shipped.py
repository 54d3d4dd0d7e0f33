"""Jobs that ship, by their names: found from any folder, their pictures where they lie, all else where one stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schemas import shipped
from schemas.errors import SpecError
from schemas.shipped import is_job, job_names, job_text, job_title
from schemas.spec_file import load_spec
from tests.support import ROOT


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("job", job_names())
def test_a_name_is_its_file_with_the_demos_pictures_found(elsewhere: Path, job: str) -> None:
    named, file = load_spec(job), load_spec(ROOT / "jobs" / f"{job}.yaml")
    here = {
        name: str(ROOT / value)
        for name in ("uri", "coco")
        if (value := getattr(file.source, name)) is not None and value.startswith("demo/")
    }
    assert bool(here) == (job in ("demo", "parts", "protocol"))
    assert named == file.model_copy(update={"source": file.source.model_copy(update=here)})
    assert all(Path(path).exists() for path in here.values())


def test_what_is_typed_counts_from_where_one_stands(elsewhere: Path) -> None:
    spec = load_spec("demo", ["source.uri=demo/bucket"])
    assert (spec.source.uri, spec.output) == ("demo/bucket", "out/demo")


def test_a_file_of_that_name_goes_first_and_a_folder_does_not(elsewhere: Path) -> None:
    (elsewhere / "demo").mkdir()
    assert load_spec("demo").output == "out/demo"
    (elsewhere / "protocol").write_text("source: {uri: photos}\noutput: mine\n")
    assert load_spec("protocol").output == "mine"


@pytest.mark.parametrize("name", ["dmeo", "jobs/demo.yaml", "../jobs/demo", "demo.yaml"])
def test_another_name_is_told_the_ones_there_are(elsewhere: Path, name: str) -> None:
    assert not is_job(name)
    with pytest.raises(SpecError, match="cannot read the job spec .* ship with Unscene: augment, demo, overnight"):
        load_spec(name)


def test_the_place_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / '50% "off" # é 🏖: \\d'
    (home / "jobs").mkdir(parents=True)
    (home / "jobs" / "demo.yaml").write_text((ROOT / "jobs" / "demo.yaml").read_text())
    monkeypatch.setattr(shipped, "SHIPPED", home)
    assert yaml.safe_load(job_text("demo"))["source"]["uri"] == str(home / "demo" / "bucket")
    assert len(job_text("demo").splitlines()) == len((ROOT / "jobs" / "demo.yaml").read_text().splitlines())


def test_each_has_a_title() -> None:
    for name in job_names():
        assert 20 < len(job_title(name)) < 140
        assert "unscene" not in job_title(name)
