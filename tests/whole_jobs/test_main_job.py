"""The main job, from bucket to report, by the commands that a user types, with the bundled models and every stage real.

The demo's own spec with fewer steps; what it leaves is then read with other people's libraries only.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.spec_file import load_spec
from tests.support import ROOT
from tests.support.exported import load_embeddings, scene_in
from tests.support.finished_job import QUICK, Finished, unscene
from tests.support.tiny_judges import build_tiny_clip

VOCABULARY = ["fish", "boat", "heart", "house"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings that score the variations, with a tiny random CLIP for a judge: machinery, not worth."""
    clip = build_tiny_clip(tmp_path_factory.mktemp("judge") / "clip")
    return {"evaluate.enabled": True, "models.clip": clip, "models.identity": clip}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, judged: dict[str, Any]) -> Finished:
    output = tmp_path_factory.mktemp("demo") / "out"
    settings = QUICK | judged | {"segment.vocabulary": VOCABULARY}
    done = unscene("run", "jobs/demo.yaml", output=output, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return Finished(output, done.stdout, settings)


def test_the_closing_lines_say_what_was_made_and_where_to_look(demo: Finished) -> None:
    handles, variations = len(demo.table("handles")), len(demo.table("variations"))
    assert f"{handles} handles, {variations} variations of " in demo.words
    assert f"report: {demo.output}/report/index.html" in demo.words
    assert (demo.output / "report" / "index.html").stat().st_size > 10_000
    assert "Traceback" not in demo.words


def test_the_readme_counts_what_the_demo_makes(demo: Finished) -> None:
    """Fewer steps change no count; one picture a prompt stands here for the demo's own number."""
    said = re.search(r"[Tt]en scenes become (\d+) handles and (\d+) pictures", (ROOT / "README.md").read_text())
    assert said is not None
    each = load_spec(ROOT / "jobs/demo.yaml").generate.images_per_prompt
    made = len(demo.table("handles")), each * len(demo.table("variations"))
    assert tuple(int(number) for number in said.groups()) == made


def test_broken_files_are_failures_with_reasons_and_good_ones_are_scenes(demo: Finished) -> None:
    failures = {Path(row["uri"]).name: row["message"] for row in demo.table("failures") if row["stage"] == "ingest"}
    assert "zero bytes" in failures["unusable-empty.jpg"]
    assert "not a picture" in failures["unusable-text.jpg"]
    assert "truncated" in failures["unusable-truncated.jpg"]
    assert "60000x60000" in failures["unusable-huge.png"]
    assert len(failures) == 4
    scenes = demo.table("scenes")
    ok = [row for row in scenes if row["status"] == "ok"]
    assert len(scenes) == 14
    assert len(ok) == 10
    for row in ok:
        assert hashlib.sha256(Path(row["uri"]).read_bytes()).hexdigest().startswith(row["scene_id"])


def test_most_scenes_get_concepts_that_are_really_there(demo: Finished) -> None:
    """Segmentation against the true masks: three of four objects are found at IoU 0.5 or better."""
    from schemas.masks import decode_mask

    names = {row["scene_id"]: Path(row["uri"]).stem for row in demo.table("scenes")}
    found = total = 0
    for truth in sorted((ROOT / "demo" / "truth").glob("*.mask*.png")):
        picture = Image.open(truth).convert("L")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((128, 128), Image.Resampling.BOX)
        mask = np.asarray(square) > 127
        total += 1
        for row in demo.table("concepts"):
            if names[row["scene_id"]] == truth.name.split(".")[0]:
                concept = decode_mask(row["mask"])
                if (mask & concept).sum() / (mask | concept).sum() >= 0.5:
                    found += 1
                    break
    assert found >= 0.75 * total, f"{found} of {total} objects found"


def test_datasets_duckdb_and_pandas_read_the_tables(demo: Finished) -> None:
    import datasets
    import duckdb

    for table in ("scenes", "concepts", "handles", "variations", "scores", "failures"):
        rows = len(demo.table(table))
        pattern = str(demo.output / table / "*.parquet")
        loaded = datasets.load_dataset(
            "parquet", data_files=pattern, split="train", cache_dir=str(demo.output.parent / "cache")
        )
        assert len(loaded) == rows
        assert duckdb.sql(f"select count(*) from '{pattern}'").fetchall() == [(rows,)]
    joined = duckdb.sql(
        f"select count(*) from '{demo.output}/variations/*.parquet' v join '{demo.output}/handles/*.parquet' h "
        "on v.scene_id = h.scene_id and list_contains(v.handles, h.token)"
    ).fetchall()
    assert joined[0][0] >= len(demo.table("variations"))


def test_webdataset_reads_the_shards_by_number(demo: Finished) -> None:
    import webdataset

    shards = len(list((demo.output / "variations").glob("*.tar")))
    url = f"{demo.output}/variations/variations-{{000000..{shards - 1:06d}}}.tar"
    samples = list(webdataset.WebDataset(url, shardshuffle=False).decode("pil"))
    assert {sample["__key__"] for sample in samples} == {row["key"] for row in demo.table("variations")}
    assert samples[0]["png"].size == (128, 128)
    assert samples[0]["json"]["prompt"].startswith("a photo of <asset")
    pictures = f"{demo.output}/scenes/scenes-{{000000..{shards - 1:06d}}}.tar"
    assert len(list(webdataset.WebDataset(pictures, shardshuffle=False))) == 10


def test_every_variation_points_to_its_picture_and_its_handles(demo: Finished) -> None:
    tokens = {(row["scene_id"], row["index"]): row["token"] for row in demo.table("handles")}
    for row in demo.table("variations"):
        assert [tokens[row["scene_id"], index] for index in row["concepts"]] == list(row["handles"])
        assert all(token in row["prompt"] for token in row["handles"])
        assert row["file"] == f"{row['key']}.png"


def test_every_variation_is_scored_beside_its_masks(demo: Finished) -> None:
    """By others' tools alone: tables by key, masks by the same key as their pictures."""
    import webdataset

    variations = {row["key"]: row for row in demo.table("variations")}
    scores = demo.table("scores")
    assert [row["key"] for row in scores] == list(variations)
    concepts = Counter(row["scene_id"] for row in demo.table("concepts"))
    for row in scores:
        assert list(row["concepts"]) == list(variations[row["key"]]["concepts"])
        assert len(row["found"]) == concepts[row["scene_id"]]
        assert isinstance(row["reason"], str) != row["keep"]
    masks = {}
    for shard in sorted((demo.output / "scores").glob("*.tar")):
        for sample in webdataset.WebDataset(str(shard), shardshuffle=False):
            masks[sample["__key__"]] = np.asarray(Image.open(io.BytesIO(sample["mask.png"])))
    assert list(masks) == list(variations)
    for row in scores:
        assert masks[row["key"]].shape == (128, 128)
        assert set(np.unique(masks[row["key"]])) - {0} == {i + 1 for i, count in enumerate(row["found"]) if count}
        lacking = [index for index in row["concepts"] if not row["found"][index]]
        assert not (lacking and row["keep"])
        assert [index for index, box in zip(row["concepts"], row["boxes"], strict=True) if box is None] == lacking
    kept, complete = (sum(row[name] for row in scores) for name in ("keep", "complete"))
    once = f"{complete} of the {len(scores)} {'shows' if complete == 1 else 'show'} every concept asked for once"
    said = f"kept {kept} of {len(scores)} (concepts found); {once}"
    assert said in demo.words
    assert f"K{said[1:]}" in (demo.output / "report" / "index.html").read_text()
    assert "steps a scene, where the default for seedling is 340: expect pictures that do not show" in demo.words


def test_concepts_have_words_and_handles_start_from_them(demo: Finished) -> None:
    words = {(row["scene_id"], row["index"]): row["word"] for row in demo.table("concepts")}
    assert set(words.values()) <= set(VOCABULARY)
    assert all(-1 <= row["word_score"] <= 1 for row in demo.table("concepts"))
    handles = demo.table("handles")
    assert len(handles) > 10
    assert all(row["word"] == words[row["scene_id"], row["index"]] for row in handles)
    for row in demo.table("variations"):
        assert all(words[row["scene_id"], index] in row["text"] for index in row["concepts"])


def test_a_second_run_does_nothing_and_says_so(demo: Finished) -> None:
    def files() -> dict[Path, int]:  # the lease is each run's own
        found = (path for path in demo.output.rglob("*") if path.is_file() and path.parent.name != "_lease")
        return {path: path.stat().st_mtime_ns for path in found}

    before = files()
    again = unscene("run", "jobs/demo.yaml", output=demo.output, **demo.settings)
    assert again.returncode == 0
    assert again.stdout.startswith("nothing to do")
    assert files() == before


def test_status_tells_the_job_from_storage_alone(demo: Finished, tmp_path: Path) -> None:
    copy = tmp_path / "carried-elsewhere"
    shutil.copytree(demo.output, copy)
    words = unscene("status", copy).stdout
    assert "14 scenes of 14 files in 3 shards" in words
    assert "finished" in words
    assert "unusable-huge.png" in words


def test_an_exported_scene_draws_the_same_picture_in_diffusers(demo: Finished, tmp_path: Path) -> None:
    import torch
    import webdataset
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    row = demo.table("variations")[-1]
    (tmp_path / "file").touch()
    done = unscene("export", demo.output, "--scene", row["scene_id"][:10], "--to", tmp_path / "file")
    assert done.returncode == 2
    assert done.stderr == f"unscene: --to {tmp_path / 'file'}: a file of that name is there; name a folder\n"
    done = unscene("export", demo.output, "--scene", row["scene_id"][:10], "--to", tmp_path)
    assert done.returncode == 0, done.stderr
    pipe = StableDiffusionPipeline.from_pretrained(ROOT / "models" / "seedling" / "base", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    load_embeddings(pipe, tmp_path)
    pipe.load_lora_weights(tmp_path, weight_name=scene_in(tmp_path).lora_file)
    side = row["width"]
    drawn = pipe(
        row["prompt"],
        num_inference_steps=row["steps"],
        guidance_scale=row["guidance"],
        generator=torch.Generator("cpu").manual_seed(row["seed"]),
        width=side,
        height=side,
    ).images[0]
    shards = len(list((demo.output / "variations").glob("*.tar")))
    url = f"{demo.output}/variations/variations-{{000000..{shards - 1:06d}}}.tar"
    ours = {s["__key__"]: s["png"] for s in webdataset.WebDataset(url, shardshuffle=False)}[row["key"]]
    difference = np.asarray(drawn, float) - np.asarray(Image.open(io.BytesIO(ours)).convert("RGB"), float)
    psnr = 10 * np.log10(255**2 / max(np.mean(difference**2), 1e-9))
    assert psnr >= 35


def test_new_prompts_reuse_the_handles_on_storage(demo: Finished, judged: dict[str, Any], tmp_path: Path) -> None:
    refused = unscene("run", "jobs/demo.yaml", output=demo.output, **demo.settings | {"generate.guidance": 4})
    assert refused.returncode == 2
    assert "generate.guidance: 3.0 -> 4.0" in refused.stderr
    assert "source.handles" in refused.stderr
    settings = {"source.handles": demo.output, "models.base": "seedling", "cluster.address": "null"}
    together, named = "a photo of {handles} at night", "a photo of {1} beside {0}"
    prompts = {"generate.prompts": [together, named], "generate.subsets": ["union"]}
    small = {"generate.steps": 2, "generate.images_per_prompt": 2}
    done = unscene("run", "jobs/augment.yaml", output=tmp_path / "more", **settings | prompts | small | judged)
    assert done.returncode == 0, done.stdout + done.stderr
    more = Finished(tmp_path / "more", done.stdout)
    scenes = {row["scene_id"] for row in demo.table("handles")}
    made = more.table("variations")
    assert {row["scene_id"] for row in made} == scenes
    assert sum(row["template"] == together for row in made) == 2 * len(scenes)
    several = {row["scene_id"] for row in demo.table("handles") if row["index"] == 1}
    assert sorted(row["scene_id"] for row in made if row["template"] == named) == sorted([*several, *several])
    lacking = f"{len(scenes - several)} of {len(scenes)} scenes do{'es' if len(scenes - several) == 1 else ''} not have"
    assert several == scenes or f"'{named}' names concept 1 and concept 0; {lacking} them all" in " ".join(
        done.stdout.split()
    )
    assert [row["key"] for row in more.table("scores")] == [row["key"] for row in more.table("variations")]
    assert not (tmp_path / "more" / "handles").exists()
