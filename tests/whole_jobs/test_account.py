"""The ninth invariant: one of everything that people bring, and the account adds up to the file and the annotation."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from pipeline.commands.closing import closing_lines
from pipeline.commands.run import run_job
from pipeline.shards.reader import OutputReader
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.masks import decode_mask
from tests.support.one_of_each_annotation import bucket_with_coco
from tests.support.one_of_everything import Bucket, bucket_with_masks_beside, every_file

pytestmark = pytest.mark.usefixtures("local_ray")
COLOURS = {"red": (210, 30, 30), "blue": (30, 60, 210), "grey": (110, 125, 105)}


def account_of(folder: Path, source: dict[str, Any], **settings: Any) -> tuple[list[dict[str, Any]], Storage, str]:
    """The rows of the account, the OUTPUT, and what its run said at the end."""
    out = folder.parent / "out"
    tree = {"source": {"uri": str(folder), **source}, "output": str(out), "pack": {"scenes_per_shard": 16}, **settings}
    spec = JobSpec.model_validate(tree)
    result = run_job(spec, Console(file=io.StringIO()), [INGEST, SEGMENT])
    rows = [row for file in sorted((out / "account").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    storage = Storage(str(out))
    return rows, storage, "\n".join(closing_lines(storage, result))


def under(folder: Path, uri: str) -> str:
    return Path(uri).relative_to(folder).as_posix()


def check_files(made: Bucket, rows: list[dict[str, Any]]) -> None:
    lines = [row for row in rows if row["kind"] == "file"]
    counts = Counter(under(made.folder, row["uri"]) for row in lines)
    assert set(counts.values()) == {1}, "each file in exactly one line"
    assert set(counts) == every_file(made.folder) == set(made.fates)
    assert {under(made.folder, row["uri"]): (row["outcome"], row["reason"]) for row in lines} == made.fates


def colour_under(storage: Storage, scene_id: str, shard: int) -> list[str]:
    """The colour that most pixels under each concept's mask have."""
    reader = OutputReader(storage)
    commit = reader.commit("scenes", shard)
    assert commit is not None
    pixels = np.asarray(Image.open(io.BytesIO(reader.member("scenes", commit, f"{scene_id}.png")))).astype(int)
    found = []
    for row in reader.rows("concepts", shard, [scene_id])[scene_id]:
        inside = pixels[decode_mask(row["mask"])]
        near = [np.abs(inside - np.array(colour)).sum(axis=1) for colour in COLOURS.values()]
        found.append(list(COLOURS)[int(np.bincount(np.argmin(near, axis=0), minlength=3).argmax())])
    return found


def concepts_by_name(storage: Storage, folder: Path) -> dict[str, list[str]]:
    reader = OutputReader(storage)
    return {
        under(folder, scene[0]["uri"]): colour_under(storage, scene_id, shard)
        for shard in reader.shards("scenes")
        for scene_id, scene in reader.rows("scenes", shard).items()
        if scene_id in reader.rows("concepts", shard)
    }


def test_every_kind_of_file_ends_in_one_line(tmp_path: Path) -> None:
    made = bucket_with_masks_beside(tmp_path / "in")
    assert len(made.fates) >= 90
    rows, storage, said = account_of(
        made.folder, {"masks": "beside"}, ingest={"max_bytes": 60_000, "max_pixels": 100_000}
    )
    check_files(made, rows)
    pages = [(under(made.folder, row["uri"]), row["detail"][:11]) for row in rows if row["kind"] == "page"]
    assert sorted(pages) == [
        ("formats/loop.gif", "page 2 of 2"),
        ("formats/scan.tif", "page 2 of 3"),
        ("formats/scan.tif", "page 3 of 3"),
    ]
    used = {under(made.folder, row["uri"]): row["concepts"] for row in rows if row["outcome"] == "mask"}
    assert used["edge/p.mask1.png"] == [0], "the account tells which mask became which concept"
    assert used["labels/p.mask0.png"] == [0, 1]
    assert [used[f"many/p.mask{number}.png"] for number in range(6)] == [[], [], [0], [1], [2], [3]]
    concepts = concepts_by_name(storage, made.folder)
    for name in ("turned/p.jpg", "half/p.jpg", "modes/cut.png", "modes/bits.png", "stems/c.png", "same/d.png"):
        assert concepts[name] == ["red"], name
    assert concepts["one/picture.png"] == concepts["labels/p.png"] == concepts["stems/a.jpg"] == ["red", "blue"]
    assert concepts["stems/b.jpg"] == concepts["edge/p.png"] == ["blue"]
    assert f"account of {len(made.fates)} files: " in said
    assert "left out" in said
    assert "looks like a mask: 4" in said


def test_every_kind_of_annotation_ends_in_one_line(tmp_path: Path) -> None:
    made = bucket_with_coco(tmp_path / "in")
    coco = {"masks": "coco", "coco": str(made.folder / "instances.json"), "crowds": "skip"}
    rows, storage, said = account_of(made.folder, coco)
    check_files(made, rows)
    lines = [row for row in rows if row["kind"] == "annotation"]
    assert Counter(row["annotation"] for row in lines) == Counter(made.of.keys())
    assert {row["annotation"]: (row["outcome"], row["reason"]) for row in lines} == made.of
    assert {row["uri"] for row in lines} == {coco["coco"]}
    concepts = concepts_by_name(storage, made.folder)
    assert concepts["good.png"] == ["blue", "red"]
    for name in ("pairs.png", "text id.png", "photo%201.png", "escaped 1.png", "Case.PNG", "suffix.jpg"):
        assert concepts[name] == ["blue"], name
    words = {under(made.folder, row["uri"]): row["words"] for row in _scenes(storage)}
    assert (words["good.png"], words["pairs.png"], words["text id.png"]) == (["box", "box"], [None], [None])
    assert f"account of {len(made.of)} annotations: " in said


def _scenes(storage: Storage) -> list[dict[str, Any]]:
    reader = OutputReader(storage)
    return [row for shard in reader.shards("scenes") for rows in reader.rows("scenes", shard).values() for row in rows]
