"""Trainers of others on a data set, by the very lines of docs/datasets.md."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.ops import masks_to_boxes

from pipeline.dataset.choices import Choices, Format
from pipeline.dataset.making import make_dataset
from tests.support import ROOT
from tests.support.labelled_output import LabelledOutput
from tests.support.readme_lines import run_lines

_PAGE = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```python\n(# unscene dataset out/demo (.*?)\n.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=10)


def test_the_page_has_three() -> None:
    assert [asked for _, asked in _BLOCKS] == [
        "--to coco --into sets/coco",
        "--to parquet --into sets/parquet",
        "--to webdataset --singles --into sets/singles",
    ]


@pytest.mark.parametrize(("code", "asked"), _BLOCKS, ids=[asked.split()[1] for _, asked in _BLOCKS])
def test_three_steps(
    output: LabelledOutput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, asked: str
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    words = asked.split()
    choices = Choices(Format(words[1]), singles="--singles" in words)
    list(make_dataset(output.storage, choices, str(tmp_path / words[-1])))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        run_lines(code, tmp_path, names)
    losses = [line for line in said.getvalue().splitlines() if re.search(r"\d\.\d", line) and "Done" not in line]
    assert len(losses) == 3
    assert "nan" not in said.getvalue()
    trained = {"coco": instances, "parquet": classes_of_pixels, "webdataset": classes_of_pictures}
    trained[words[1]](names)


def instances(names: dict[str, Any]) -> None:
    """A box of each mask, and the two classes as its model counts them."""
    assert {int(label) for *_, target in names["pictures"] for label in target["labels"]} == {1, 2}
    for target in names["targets"]:
        assert torch.equal(masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1]), target["boxes"])
    assert names["model"].roi_heads.mask_predictor.mask_fcn_logits.out_channels == 3


def classes_of_pixels(names: dict[str, Any]) -> None:
    """Nothing, and the two classes after it."""
    assert names["names"] == ["nothing", "cat", "dog"]
    assert set(torch.cat([row["labels"].flatten() for row in names["pictures"]]).tolist()) == {0, 1, 2}
    assert names["model"].config.num_labels == 3


def classes_of_pictures(names: dict[str, Any]) -> None:
    assert names["model"].fc.out_features == len(names["names"])
    assert {label for _, label in names["pictures"]} == {0}
