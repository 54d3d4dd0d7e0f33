"""The generate stage on a tiny model: rows and files, and that company in the batch does not change a
picture.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from schemas.errors import SceneError
from schemas.job import Generate
from schemas.outcomes import SceneOutput, SceneTask
from schemas.records import VARIATIONS
from stages.extract.stage import ExtractStage
from stages.generate import stage as stage_module
from stages.generate.drawing import DrawnScene, draw
from stages.generate.prompts import Variation
from stages.generate.stage import GenerateStage
from stages.handles.scene_model import SceneModel
from stages.handles.weights import SceneWeights, pack_scene, unpack_scene
from stages.stage import StageContext
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task


def after_extract(output: SceneOutput) -> SceneTask:
    assert output.failure is None
    return SceneTask(
        output.scene_id, {"handles": output.rows}, {"safetensors": output.files[f"{output.scene_id}.safetensors"]}
    )


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tasks(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SceneTask]:
    spec = tiny_spec(model_dir, extract={"phase2": {"steps": 3, "lr": 1e-2}, "prior": {"weight": 0}})
    stage = ExtractStage(spec, StageContext(str(tmp_path_factory.mktemp("shared"))))
    stage.prepare()
    stage.setup()
    return [after_extract(o) for o in stage.process([tiny_task(i, i + 1, word="cat") for i in range(3)])]


def generate(model_dir: Path, tasks: list[SceneTask], **settings: object) -> dict[str, SceneOutput]:
    stage = GenerateStage(tiny_spec(model_dir, generate=settings), StageContext("memory://none"))
    stage.prepare()
    stage.setup()
    outputs = list(stage.process(tasks))
    assert len(outputs) == len(tasks)
    return {o.scene_id: o for o in outputs}


def pixels(output: SceneOutput) -> dict[str, np.ndarray]:
    return {
        row["key"]: np.asarray(Image.open(io.BytesIO(output.files[row["file"]]))).astype(int) for row in output.rows
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance": 7.5},
        {"guidance": 1.0},
        {"guidance": 7.5, "guidance_interval": [0.28, 5.42]},
        {"guidance": 1.0, "sampler": "lcm"},
        {"guidance": 3.0, "sampler": "tcd"},
    ],
)
def test_a_picture_is_the_same_alone_and_in_a_mixed_batch(
    model_dir: Path, tasks: list[SceneTask], settings: dict[str, object]
) -> None:
    mixed = generate(model_dir, tasks, batch=7, **settings)
    alone = generate(model_dir, tasks[1:2], batch=1, **settings)["scene1"]
    one, other = pixels(alone), pixels(mixed["scene1"])
    assert set(one) == set(other)
    assert len(one) == 6
    assert max(abs(one[key] - other[key]).max() for key in one) <= 1
    assert len({one[key].tobytes() for key in one}) == 6


def test_rows_and_files(model_dir: Path, tasks: list[SceneTask]) -> None:
    output = generate(model_dir, tasks[:1], batch=4, format="jpg")["scene0"]
    assert [set(row) for row in output.rows] == [set(VARIATIONS.names)] * 2
    row = output.rows[0]
    assert row["prompt"] == "a photo of <asset0> at the beach"
    assert row["text"] == "a photo of cat at the beach"
    assert list(output.files) == [f"scene0-000{n}.{suffix}" for n in (0, 1) for suffix in ("jpg", "json")]
    assert json.loads(output.files["scene0-0000.json"]) == row
    image = Image.open(io.BytesIO(output.files["scene0-0000.jpg"]))
    assert (image.format, image.size) == ("JPEG", (64, 64))


def test_broken_scenes_fail_alone(model_dir: Path, tasks: list[SceneTask]) -> None:
    weights = unpack_scene(tasks[1].files["safetensors"])
    weights.lora = {name: torch.full_like(t, float("nan")) for name, t in weights.lora.items()}
    sick = SceneTask("scene1", tasks[1].rows, {"safetensors": pack_scene(weights)})
    torn = SceneTask("torn", tasks[0].rows, {"safetensors": tasks[0].files["safetensors"][:500]})
    pickled = SceneTask("pickled", tasks[0].rows, {"safetensors": b"\x80\x04cos\nsystem\n."})
    outputs = generate(model_dir, [tasks[0], sick, torn, pickled, tasks[2]], batch=5)
    assert {k for k, o in outputs.items() if o.failure} == {"scene1", "torn", "pickled"}
    assert "not finite" in outputs["scene1"].failure.message
    healthy = generate(model_dir, [tasks[0], tasks[1], tasks[2]], batch=5)
    for name in ("scene0", "scene2"):
        one, other = pixels(outputs[name]), pixels(healthy[name])
        assert max(abs(one[key] - other[key]).max() for key in one) <= 1


def test_scenes_of_different_ranks_and_without_factors_go_together(model_dir: Path, tasks: list[SceneTask]) -> None:
    weights = unpack_scene(tasks[0].files["safetensors"])
    bare = SceneTask(
        "scene0", tasks[0].rows, {"safetensors": pack_scene(SceneWeights(weights.tokens, weights.handles))}
    )
    outputs = generate(model_dir, [tasks[1], bare, tasks[2]], batch=4)
    assert all(o.failure is None for o in outputs.values())
    trained = generate(model_dir, tasks[:1], batch=4)
    one, other = pixels(trained["scene0"]), pixels(outputs["scene0"])
    assert any(not np.array_equal(one[key], other[key]) for key in one), "the factors must show"


def test_what_is_left_of_a_scene_that_failed_is_not_drawn(
    model_dir: Path, tasks: list[SceneTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []

    def brittle(
        model: SceneModel, settings: Generate, seed: int, jobs: Sequence[tuple[DrawnScene, Variation]]
    ) -> list[np.ndarray | SceneError]:
        drawn.append([picture.key for _, picture in jobs])
        if any(picture.scene_id == "scene0" for _, picture in jobs):
            raise torch.OutOfMemoryError("out of memory")
        return draw(model, settings, seed, jobs)

    monkeypatch.setattr(stage_module, "draw", brittle)
    outputs = generate(model_dir, tasks[:2], batch=4)
    assert outputs["scene0"].failure is not None
    assert outputs["scene0"].failure.transient
    assert len(pixels(outputs["scene1"])) == 6
    assert [key for keys in drawn if len(keys) == 1 for key in keys if key.startswith("scene0")] == ["scene0-0000"]


def broken_vae(model_dir: Path, folder: Path, **changes: float) -> Path:
    """A copy of the model whose VAE's last layer has other numbers, by name."""
    shutil.copytree(model_dir, folder)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    for name, value in changes.items():
        state[f"decoder.conv_out.{name}"].fill_(value)
    save_file(state, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": float("nan")}, r"picture scene0-0000 is not finite: the VAE of models\.base .*in float32 too; name"),
        ({"bias": float("-inf")}, r"picture scene0-0000 is not finite: the VAE"),
        ({"weight": 0.0, "bias": -3.0}, r"picture scene0-0000 is one colour all over.*models\.dtype"),
        ({"weight": 0.0, "bias": 0.25}, r"picture scene0-0000 is one colour all over"),
    ],
)
def test_black_pictures_are_failures(
    model_dir: Path, tasks: list[SceneTask], tmp_path: Path, changes: dict[str, float], message: str
) -> None:
    outputs = generate(broken_vae(model_dir, tmp_path / "base", **changes), tasks[:2], batch=3)
    assert all(output.failure and not output.rows and not output.files for output in outputs.values())
    assert re.search(message, outputs["scene0"].failure.message)


def test_a_scene_whose_handles_the_base_does_not_read_fails(model_dir: Path, tasks: list[SceneTask]) -> None:
    """Scenes of one, two and three handles: the third lies behind the last of 32 tokens, and no other is cut off."""
    outputs = generate(model_dir, tasks, prompts=["a photo " * 13 + "of {handles}"], subsets=["union"])
    assert [name for name, output in outputs.items() if output.failure] == ["scene2"]
    assert re.match(
        r"generate\.prompts: <asset2> does not fit into the 32 tokens .*generate\.subsets$",
        outputs["scene2"].failure.message,
    )


def test_a_prompt_that_names_a_handle_of_other_scenes_fails_those_that_lack_it(
    model_dir: Path, tasks: list[SceneTask]
) -> None:
    """Its row would be zeros, and the picture of nothing."""
    outputs = generate(model_dir, tasks, prompts=["{handles} and <asset1>"], subsets=[[0]])
    assert [name for name, output in outputs.items() if output.failure] == ["scene0"]
    assert "names <asset1>, and the scene has 1 of these" in outputs["scene0"].failure.message
    outputs = generate(model_dir, tasks, negative_prompt="<asset2>")
    assert [name for name, output in outputs.items() if output.failure] == ["scene0", "scene1"]
    assert outputs["scene1"].failure.message.startswith("generate.negative_prompt: '<asset2>' names <asset2>")


def test_a_subset_that_a_scene_lacks_makes_no_picture_of_the_rest(model_dir: Path, tasks: list[SceneTask]) -> None:
    outputs = generate(model_dir, tasks, subsets=[[1, 0], [2]], prompts=["{handles}"])
    assert {name: [row["concepts"] for row in output.rows] for name, output in outputs.items()} == {
        "scene0": [],
        "scene1": [[1, 0]],
        "scene2": [[1, 0], [2]],
    }
    assert not any(output.failure for output in outputs.values())


def test_progress_counts_the_pictures_of_the_unit(model_dir: Path, tasks: list[SceneTask]) -> None:
    """Scenes with 1, 2 and 3 handles have 2, 4 and 6 pictures; one that cannot be opened has been counted too."""
    told: list[dict] = []
    settings = {"prompts": ["{handles}"], "subsets": ["singles"], "images_per_prompt": 2, "batch": 4, "steps": 2}
    stage = GenerateStage(tiny_spec(model_dir, generate=settings), StageContext("memory://none", told.append))
    stage.setup()
    assert len(list(stage.process(tasks))) == 3
    assert [(word["picture"], word["pictures"]) for word in told] == [(4, 12), (8, 12), (12, 12)]
    assert told[-1]["share"] == 1.0
    told.clear()
    list(stage.process([tasks[0], SceneTask("lost", {"handles": tasks[1].rows["handles"]})]))
    assert [(word["picture"], word["pictures"]) for word in told] == [(2, 6)]


def test_a_scene_gets_the_pictures_of_which_it_has_the_concepts(model_dir: Path, tasks: list[SceneTask]) -> None:
    """Scenes of one, two and three handles. What a prompt names is drawn as the same subset of `{handles}` would be."""
    outputs = generate(model_dir, tasks, prompts=["{1} beside {0}", "{2} at the beach"], batch=4)
    assert {name: [(row["concepts"], row["handles"]) for row in output.rows] for name, output in outputs.items()} == {
        "scene0": [],
        "scene1": [([1, 0], ["<asset1>", "<asset0>"])],
        "scene2": [([1, 0], ["<asset1>", "<asset0>"]), ([2], ["<asset2>"])],
    }
    assert [row["prompt"] for row in outputs["scene2"].rows] == ["<asset1> beside <asset0>", "<asset2> at the beach"]
    assert outputs["scene2"].rows[0]["template"] == "{1} beside {0}"
    assert not any(output.failure for output in outputs.values())
