"""The account of shards that are not through: what the tables know already is told, and nothing besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.closing import closing_lines
from pipeline.commands.run import JobResult
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import extend_plan
from pipeline.report.page import write_report
from pipeline.shards.account import account_counts
from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import part_name, write_part
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput
from stages.ingest.census import Picked, Read
from stages.ingest.source.hashing import Hashed
from tests.support.sample_output import SIDE, concept_row, encoded, half_masks, write_record

MASKS = ("/photos/a.mask0.png", "/photos/a.mask1.png")


def first_stages(folder: Path, until: str) -> tuple[Storage, JobResult]:
    """An OUTPUT as `--until` leaves it. Of three pictures the first has three pages, a mask outside its crop and a copy
    with another mask; the second fails in ingest."""
    storage = Storage(str(folder))
    write_record(storage, JobSpec.model_validate({"source": {"uri": "/photos"}, "output": str(folder)}))
    content = {"/photos/a.tif": "a1" * 32, "/photos/b.jpg": "b2" * 32, "/photos/c/copy.tif": "a1" * 32}
    masks = {"/photos/a.tif": MASKS, "/photos/b.jpg": ("/photos/b.mask0.png",), "/photos/c/copy.tif": ("/photos/c/m",)}

    def read(picked: Picked) -> Read:
        return Read(picked, Hashed(picked.uri, 1000, content[picked.uri], None), content[picked.uri], None)

    plan = extend_plan(storage, [Picked(uri, masks=masks[uri]) for uri in content], 8, read)
    good, broken = (next(row["scene_id"] for row in plan.rows(0) if row["uri"] == uri) for uri in list(content)[:2])
    scene = {
        "scene_id": good, "uri": "/photos/a.tif", "status": "ok", "side": SIDE, "box": [0, 0, SIDE, SIDE], "pages": 3,
        "masks": [
            {"name": MASKS[0], "number": None, "reason": "outside the crop: nothing of it is left"},
            {"name": MASKS[1], "number": 0, "reason": None},
        ],
    }  # fmt: skip
    made = {
        "ingest": [
            SceneOutput(good, [scene], {f"{good}.png": encoded((1, 2, 3)), f"{good}.mask0.png": encoded((1, 2, 3))}),
            SceneOutput(broken, failure=Failure(broken, "FileBroken", "it is cut short")),
        ],
        "segment": [SceneOutput(good, [{**concept_row(good, 0, half_masks()[0]), "given": MASKS[1]}])],
    }
    kinds = [INGEST] if until == "ingest" else [INGEST, SEGMENT]
    for kind in kinds:
        outputs = made[kind.name]
        for output in outputs:
            write_part(storage, part_name(kind.name, 0, 0, output.scene_id), output)
        ids = tuple(output.scene_id for output in outputs)
        pack(storage, PackOrder(kind.name, kind.table, kind.tar, 0, 0, ids, ids))
    return storage, JobResult(True, True, committed_counts(storage, kinds), 1.0, until=until)


@pytest.mark.parametrize("until", ["ingest", "segment"])
def test_a_look_before_training_tells_masks_and_pages_that_are_not_used(tmp_path: Path, until: str) -> None:
    storage, result = first_stages(tmp_path / "out", until)
    lines = closing_lines(storage, result)
    assert any(
        line.startswith("account of 7 files so far: 1 duplicate, 4 masks, 2 scenes (1 failed)") for line in lines
    )
    assert "account of 2 pages so far: 2 left out" in lines
    for told in (
        "  a.mask0.png: outside the crop: nothing of it is left",
        "  a.tif: more pages or frames: page 2 of 3; the first is the picture: save the others as files of their own",
        "  c/m: mask of a duplicate: the masks of a.tif count",
    ):
        assert told in lines
    assert not any("a.mask1.png" in line or "not read" in line for line in lines)
    html = Path(write_report(storage)).read_text("utf-8")
    assert "nothing of it is left" in html
    assert "page 2 of 3" in html
    assert "account of 7 files so far: " in html


def test_a_mask_that_waits_to_be_a_concept_has_no_reason(tmp_path: Path) -> None:
    storage, _ = first_stages(tmp_path / "out", "ingest")
    counts = account_counts(storage)
    assert counts["file", "mask", None] == 1
    assert counts["file", "mask", "its scene failed"] == 1
    assert counts["file", "mask", "outside the crop"] == 1
