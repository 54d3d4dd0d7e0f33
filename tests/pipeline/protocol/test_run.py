"""`unscene evaluate` end to end on tiny random models: two scenes, two methods, stopped in between and gone on with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from pipeline.commands.status import status_lines
from pipeline.protocol.run import evaluate
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from tests.support.tiny_judges import build_tiny_clip
from tests.support.tiny_models import build_tiny_model, tiny_picture

METHODS = ["break_a_scene", "no_masked_loss"]


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        picture, masks = tiny_picture(number, 2)
        Image.fromarray(picture).save(pictures / f"{number}.png")
        for slot, mask in enumerate(masks):
            Image.fromarray(mask.astype(np.uint8) * 255).save(pictures / f"{number}.mask{slot}.png")
    base, clip = str(build_tiny_model(tmp_path / "base")), str(build_tiny_clip(tmp_path / "clip"))
    return JobSpec.model_validate(
        {
            "source": {"uri": str(pictures), "masks": "beside"},
            "output": str(tmp_path / "out"),
            "models": {"base": base, "clip": clip, "identity": clip},
            "segment": {"points_per_side": 2},
            "extract": {"phase1": {"steps": 1}, "phase2": {"steps": 2}, "prior": {"images": 2, "steps": 1}},
            "generate": {"prompts": ["a photo of {handles} at the beach"], "subsets": ["all"], "steps": 1,
                         "images_per_prompt": 1},
            "cluster": {stage: {"workers": 1} for stage in ("ingest", "segment", "extract", "generate", "evaluate")},
            "protocol": {"methods": METHODS, "resamples": 100, "sample_scenes": 1},
        }
    )  # fmt: skip


def committed(output: Path) -> dict[str, int]:
    """Every commit and what is shared, by when it was written."""
    return {
        str(path.relative_to(output)): path.stat().st_mtime_ns
        for pattern in ("*/_commits/*/*.json", "*/_shared/*.safetensors")
        for path in output.glob(pattern)
    }


def test_methods_share_their_scenes_and_a_second_command_goes_on(spec: JobSpec, local_ray: None) -> None:
    output = Path(spec.output)
    quiet = Console(file=io.StringIO())
    first = evaluate(spec, quiet, METHODS[1:])
    assert first.complete
    before = committed(output)
    assert not (output / METHODS[0]).exists()
    assert any("not finished: break_a_scene" in line for line in first.lines)

    second = evaluate(spec, quiet)
    assert second.complete
    after = committed(output)
    assert {name: after[name] for name in before} == before, "what was finished was made again"
    commits = {
        name: [path.name for path in (output / name / "_commits").iterdir() if path.is_dir()]
        for name in ["scenes", *METHODS]
    }
    assert set(commits["scenes"]) == {"ingest", "segment", "failures"}
    for name in METHODS:
        assert set(commits[name]) == {"ingest", "segment", "extract", "generate", "evaluate", "failures"}
        for stage in ("ingest", "segment"):
            file = f"_commits/{stage}/000000.json"
            assert (output / name / file).read_bytes() == (output / "scenes" / file).read_bytes()
        assert (output / name / "report" / "index.html").exists()
    priors = {path.name: path.read_bytes() for path in output.glob("*/_shared/prior-*")}
    assert len(priors) == 1
    assert len({path.read_bytes() for path in output.glob("*/_shared/prior-*")}) == 1
    assert [path.name for path in output.glob("_shared/prior-*")] == list(priors)

    rows = pq.read_table(output / "protocol" / "results.parquet").to_pylist()
    levels = {(row["method"], row["measure"]): row for row in rows if row["versus"] is None}
    assert levels["break_a_scene", "prompt"]["pictures"] == 2 * 3
    assert levels["no_masked_loss", "complete"]["pictures"] == 2
    assert {row["scenes"] for row in rows} == {2}
    recorded = json.loads((output / "no_masked_loss" / "run.json").read_text())["fields"]
    assert recorded["extract.masked_loss"] == "none"

    for name in ("scenes", *METHODS):  # the scenes stop after the first stages, and are finished then
        assert "finished" in status_lines(Storage(str(output / name)))

    third = evaluate(spec, quiet)
    assert committed(output) == after
    assert third.complete
    assert third.lines == second.lines
