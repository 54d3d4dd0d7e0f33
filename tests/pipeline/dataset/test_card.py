"""What a data set says of itself: card, classes, table of pictures, Croissant."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.making import make_dataset
from pipeline.dataset.provenance import UNKNOWN, drawn_with, licence_of
from schemas.job import Generate
from tests.support.labelled_output import LabelledOutput


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    models = {"models.base": "org/stable-diffusion-2-1-base", "models.sam": "/models/sam_vit_h_4b8939.pth"}
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=8, settings=models)


@pytest.fixture(scope="module", params=Format)
def made(request: pytest.FixtureRequest, output: LabelledOutput, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("set") / str(request.param)
    list(make_dataset(output.storage, Choices(request.param, validation=0.4), str(into), part_bytes=300))
    return into


def front(into: Path) -> dict[str, Any]:
    _, found, _ = (into / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(found)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize("crowds", ["use", "skip"])
def test_the_card_says_where_crowds_may_count_as_one_object(crowds: str, tmp_path: Path) -> None:
    source = {"source.masks": "coco", "source.coco": "/photos/instances.json", "source.crowds": crowds}
    output = LabelledOutput(tmp_path / "out", scenes=3, given=2, settings=source)
    list(make_dataset(output.storage, Choices(Format.COCO, validation=0.0), str(tmp_path / "set")))
    told = "annotations marked iscrowd, if it has any, count as one object each, also where they are a region of many"
    assert (told in (tmp_path / "set" / "README.md").read_text()) == (crowds == "use")


def test_the_card_says_what_is_in_it_and_where_it_comes_from(made: Path) -> None:
    told, text = front(made), (made / "README.md").read_text()
    assert told["size_categories"] == ["n<1K"]
    assert "synthetic" in told["tags"]
    for config in told["configs"]:
        for files in config["data_files"]:
            assert list(made.glob(files["path"])), files
    assert f"unscene dataset --to {made.name}" in text
    assert "- left out: 7 not kept: near-duplicates" in text
    assert "- source: photos; its rights are its owners'" in text
    assert "- models.base: org/stable-diffusion-2-1-base (OpenRAIL++-M; sha256:abc)" in text
    assert "- models.sam: sam_vit_h_4b8939.pth (Apache-2.0)" in text
    assert "[Break-A-Scene](https://arxiv.org/abs/2305.16311)" in text
    assert json.loads((made / "classes.json").read_text()) == {
        "classes": ["cat", "dog"],
        "id2label": {"1": "cat", "2": "dog"},
    }


def test_the_lines_that_load_it_run_as_they_stand(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if made.name == "yolo":
        pytest.importorskip("supervision")
    (code,) = re.findall(r"```python\n(.*?)```", (made / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(made)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    if made.name == "webdataset":
        assert len(list(found["pairs"])) == len(found["pictures"])


def test_every_picture_stands_in_a_table(made: Path) -> None:
    if made.name in ("imagefolder", "parquet"):
        pytest.skip("the data themselves are a table")
    for split in ("train", "validation"):
        rows = pq.read_table(made / "metadata" / f"{split}.parquet").to_pylist()
        assert rows
        for row in rows:
            assert (made / row["file"]).is_file()
            assert {thing["name"] for thing in row["objects"]} <= {"cat", "dog"}


def test_croissant_is_read_and_has_its_provenance(made: Path) -> None:
    told = json.loads((made / "croissant.json").read_text())
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    for files in told["distribution"]:
        assert any(list(made.glob(pattern)) for pattern in files["includes"])
    label = told["prov:wasGeneratedBy"]["prov:label"]
    assert label.startswith("Break-A-Scene (https://arxiv.org/abs/2305.16311), seed 0, ")
    assert "a photo of {handles} at the beach" in label
    used = {entity["prov:label"]: entity["license"] for entity in told["prov:wasGeneratedBy"]["prov:used"]}
    assert used["models.base: org/stable-diffusion-2-1-base"] == "OpenRAIL++-M"
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(jsonld=str(made / "croissant.json"))
    assert not found.metadata.issues.errors
    records = list(found.records("pictures"))
    assert {record["pictures/split"] for record in records} == {b"train", b"validation"}
    assert len(records) == 8 + 7 * 3


def test_the_judges_own_segmenter_is_named_for_what_it_found(tmp_path: Path) -> None:
    """Of new pictures the masks are its own; of real ones they are the job's, where those were not brought along."""
    settings = {"models.sam": "/models/sam_vit_h_4b8939.pth", "evaluate.sam": "/models/sam_vit_b_01ec64.pth"}
    output = LabelledOutput(tmp_path / "out", scenes=4, settings=settings)
    list(make_dataset(output.storage, Choices(Format.COCO), str(tmp_path / "set")))
    text = (tmp_path / "set" / "README.md").read_text()
    assert "- evaluate.sam: sam_vit_b_01ec64.pth (Apache-2.0" in text
    assert "- models.sam: sam_vit_h_4b8939.pth (Apache-2.0" in text
    list(make_dataset(output.storage, Choices(Format.COCO, scenes=Scenes.ONLY), str(tmp_path / "real")))
    assert "evaluate.sam" not in (tmp_path / "real" / "README.md").read_text()


def test_real_pictures_alone_name_no_base_and_no_prompt(output: LabelledOutput, tmp_path: Path) -> None:
    choices = Choices(Format.COCO, scenes=Scenes.ONLY)
    list(make_dataset(output.storage, choices, str(tmp_path / "set")))
    text = (tmp_path / "set" / "README.md").read_text()
    assert "models.base" not in text
    assert "Break-A-Scene" not in text
    assert "models.sam" in text
    assert "synthetic" not in front(tmp_path / "set")["tags"]


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("seedling", "Apache-2.0"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "OpenRAIL++-M"),
        ("facebook/dinov2-base", "Apache-2.0"),
        ("somebody/finetune", UNKNOWN),
    ],
)
def test_licences_are_told_where_they_are_known(name: str, licence: str) -> None:
    assert licence_of(name) == licence


def test_how_pictures_were_drawn_names_all_that_drew_them() -> None:
    plain = Generate(steps=8, guidance=3, guidance_interval=(0.28, 5.42))
    assert (
        drawn_with(plain, "") == "dpmsolver++, 8 steps, guidance 3 where the noise level is above 0.28 and at most 5.42"
    )
    faster = Generate(accelerate="/secret/place/lcm.safetensors")
    assert drawn_with(faster, "sha256:ab") == (
        f"lcm, 4 steps, guidance 0, with the step-distilled lcm.safetensors ({UNKNOWN}; sha256:ab)"
    )
