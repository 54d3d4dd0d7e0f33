"""What a later round of a shard knows of the earlier: how often a scene has been tried."""

from __future__ import annotations

from pathlib import Path

from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import part_name, write_part
from pipeline.storage.folder import Storage
from schemas.outcomes import Failure, SceneOutput


def failing(storage: Storage, round_: int, scene: str, attempt: int) -> None:
    failure = Failure(scene, "ValueError", "no", attempt=attempt)
    write_part(storage, part_name("extract", 0, round_, scene), SceneOutput(scene, failure=failure))


def test_attempts_are_counted_over_all_rounds(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    failing(storage, 0, "aa", 2)
    failing(storage, 0, "bb", 1)
    first = pack(storage, PackOrder("extract", "handles", True, 0, 0, ("aa", "bb"), ("aa", "bb")))
    assert [row["attempt"] for row in first.failures] == [2, 1]
    for round_, expected in ((1, [3]), (2, [4])):
        failing(storage, round_, "aa", 1)
        write_part(storage, part_name("extract", 0, round_, "bb"), SceneOutput("bb"))
        order = PackOrder("extract", "handles", True, 0, round_, ("aa", "bb"), ("aa", "bb"), earlier=round_ - 1)
        assert [row["attempt"] for row in pack(storage, order).failures] == expected


def test_a_scene_that_is_withdrawn_is_not_tried_by_that(tmp_path: Path) -> None:
    """A worker leaves such a failure with no attempt, however often it meets the scene."""
    storage, scenes = Storage(str(tmp_path)), ("aa", "bb")
    for round_, attempt, expected in ((0, 0, [0, 1]), (1, 0, [0, 1]), (2, 1, [1, 2])):
        failing(storage, round_, "aa", attempt)
        failing(storage, round_, "bb", attempt if round_ else 1)
        order = PackOrder("extract", "handles", True, 0, round_, scenes, scenes, earlier=round_ - 1 if round_ else None)
        assert [row["attempt"] for row in pack(storage, order).failures] == expected
