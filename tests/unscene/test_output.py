"""`import unscene`: an OUTPUT in Python, from what is committed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import unscene
from pipeline.shards.tables import read_rows
from pipeline.stage_kinds import EXTRACT, INGEST, SEGMENT
from schemas.errors import CommandError, OutputError
from tests.support import ROOT
from tests.support.labelled_output import LabelledOutput, copies
from tests.support.sample_output import (
    BROKEN,
    ODD_NAMES,
    PROMPTS,
    SIDE,
    SampleOutput,
    half_masks,
    picture_colour,
    with_given_handles,
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    return SampleOutput(tmp_path_factory.mktemp("sample") / "out")


@pytest.fixture(scope="module")
def out(sample: SampleOutput) -> unscene.Output:
    return unscene.open(sample.storage.url)


def test_it_lists_every_scene_once_in_the_plans_order(sample: SampleOutput, out: unscene.Output) -> None:
    planned = [r for shard in range(sample.plan.shards) for r in sample.plan.rows(shard) if r["duplicate_of"] is None]
    assert [(scene.id, scene.uri) for scene in out.scenes()] == [(row["scene_id"], row["uri"]) for row in planned]
    assert {scene.uri for scene in out.scenes() if scene.failure} == {
        BROKEN,
        sample.uris[sample.number_of(sample.failing)],
    }


def test_a_scene_has_its_picture_masks_words_and_handles(sample: SampleOutput, out: unscene.Output) -> None:
    for scene in out.scenes():
        if scene.uri == BROKEN:
            continue
        assert scene.picture.size == (SIDE, SIDE)
        assert scene.picture.getpixel((0, 0)) == picture_colour(sample.number_of(scene.id))
        assert scene.masks.dtype == bool
        assert (scene.masks == np.stack(half_masks())).all()
        assert scene.words == ["cat", None]
        if scene.id != sample.failing:
            assert scene.tokens == ["<asset0>", "<asset1>"]
            assert scene.embeddings.tolist() == [[0.5, 0.25], [0.5, 0.25]]
            assert scene.curves["step"] == [0.0, 20.0, 40.0, 60.0]


def test_its_variations_come_with_their_scores(sample: SampleOutput, out: unscene.Output) -> None:
    scene = next(scene for scene in out.scenes() if not scene.failure)
    assert [made.prompt for made in scene.variations] == [prompt for prompt in PROMPTS for _ in range(2)]
    assert [made.keep for made in scene.variations] == [True, True, True, False]
    assert scene.variations[-1].scores is not None
    assert scene.variations[-1].scores["reason"].startswith("copy of ")
    assert [made.picture.size for made in scene.variations] == [(SIDE, SIDE)] * 4
    mask = scene.variations[0].mask
    assert mask is not None
    assert mask.shape[:2] == (SIDE, SIDE)


def test_copies_of_a_concept_are_told_apart_unless_an_older_unscene_scored_them(tmp_path: Path) -> None:
    folders = [LabelledOutput(tmp_path / str(n), 2, found=twice, earlier=bool(n)) for n in range(2)]
    outs = [unscene.open(folder.storage.url) for folder in folders]
    new, old = (next(scene for scene in out.scenes() if scene.variations).variations[0] for out in outs)
    found = new.instances
    assert found is not None
    assert [(one.id, one.concept) for one in found] == [(1, 0), (2, 0), (3, 1)]
    assert all((one.mask == mask).all() for one, mask in zip(found, copies([2, 1]), strict=True))
    assert new.mask is not None
    assert ((new.mask == 1) == (found[0].mask | found[1].mask)).all()
    with pytest.raises(
        OutputError, match=r"-0000: an older Unscene scored it, and gave its masks no ids; read `mask`,"
    ):
        _ = old.instances


def twice(scene: int, number: int, asked: Sequence[int]) -> list[int]:
    """The first concept is found twice, the second once."""
    return [2, 1]


def test_what_failed_says_why_and_is_otherwise_empty(sample: SampleOutput, out: unscene.Output) -> None:
    broken = out.scene("broken")
    assert (broken.words, broken.tokens, broken.variations, broken.masks.shape) == ([], [], [], (0, 0, 0))
    assert broken.failure is not None
    assert broken.failure["error"] == "FileBroken"
    with pytest.raises(CommandError, match=r"\(broken.jpg\): there is no \w+.png among its scenes: it failed \(cannot"):
        _ = broken.picture
    diverged = out.scene(sample.failing)
    assert diverged.tokens == []
    with pytest.raises(CommandError, match=r"no \w+.safetensors among its handles: it failed \(diverged at phase 1"):
        diverged.load_into(None)


def test_a_scene_is_found_by_its_files_name_or_its_id(sample: SampleOutput, out: unscene.Output) -> None:
    first = out.scenes()[0]
    assert out.scene(first.id).id == out.scene(first.id[:6]).id == first.id
    assert out.scene("Zoë – пляж 🏖").name == ODD_NAMES[2]
    odd = out.scene("0002")
    assert odd.name == out.scene(f"0002/{ODD_NAMES[2]}").name == ODD_NAMES[2], "by its folder, by its path"
    assert odd.path == f"0002/{ODD_NAMES[2]}"
    assert f" 0002/{ODD_NAMES[2]}" in repr(odd)
    with pytest.raises(CommandError, match=rf"2 scenes of {sample.storage.url} are called so; .*{first.id}"):
        out.scene(first.name)  # 0000/ and 0003/ have one of that name
    for nobody in ("nobody", ""):
        with pytest.raises(CommandError, match="no scene .* is called so"):
            out.scene(nobody)


def test_tables_are_rows(sample: SampleOutput, out: unscene.Output) -> None:
    assert len(out.rows("variations")) == 4 * sum(not scene.failure for scene in out.scenes())
    assert out.rows("scenes")[0]["uri"] == sample.uris[0]
    whole = [row for shard in range(sample.plan.shards) for row in read_rows(sample.storage, "scenes", shard)]
    assert out.rows("scenes") == whole
    assert "duplicate" in [row["status"] for row in whole]
    with pytest.raises(CommandError, match="pictures: no table; there are scenes, concepts, handles, variations, sc"):
        out.rows("pictures")


def test_a_job_at_work_shows_what_there_is(tmp_path: Path) -> None:
    SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT, EXTRACT), shards=1)
    out = unscene.open(str(tmp_path / "out"))
    scene = out.scenes()[0]
    assert scene.tokens
    assert scene.variations == []
    assert out.rows("variations") == []


def test_more_pictures_of_an_earlier_jobs_handles(sample: SampleOutput, tmp_path: Path) -> None:
    """The scenes, concepts and handles are the earlier OUTPUT's, the pictures its own; and nothing has scored them."""
    with_given_handles(tmp_path / "more", sample, variations=1)
    scene = next(s for s in unscene.open(str(tmp_path / "more")).scenes() if s.variations)
    assert scene.words == ["cat", None]
    assert scene.path == unscene.open(sample.storage.url).scene(scene.id).path
    failed = next(s for s in unscene.open(str(tmp_path / "more")).scenes() if s.row["status"] == "failed")
    assert failed.failure is not None
    assert failed.failure["stage"] == "ingest"
    assert len(scene.variations) == len(PROMPTS)
    assert scene.variations[0].keep is None
    assert scene.variations[0].mask is None


def test_no_job_and_a_damaged_shard_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no run.json there"):
        unscene.open(str(tmp_path))
    SampleOutput(tmp_path / "out")
    (tmp_path / "out" / "concepts" / "concepts-000000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(OutputError, match="out: shard 0 of concepts cannot be read .* run the job again, which makes"):
        _ = unscene.open(str(tmp_path / "out")).scenes()[0].masks


def test_opening_loads_neither_torch_nor_ray(sample: SampleOutput) -> None:
    code = f"""
import sys, unscene
scene = unscene.open({sample.storage.url!r}).scenes()[0]
scene.picture, scene.masks, scene.handles, scene.variations[0].picture
print([name for name in ("torch", "ray", "diffusers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
