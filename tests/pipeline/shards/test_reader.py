"""One reader of an OUTPUT: what is committed, from the OUTPUT that holds it, and nothing of a duplicate."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.ledger.commits import commit_name
from pipeline.shards.reader import UNREADABLE, OutputReader, by_scene
from pipeline.shards.tables import read_rows, table_name
from pipeline.shards.tars import tar_name
from tests.support.sample_output import SampleOutput, encoded, picture_colour, with_given_handles


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    return SampleOutput(tmp_path_factory.mktemp("sample") / "out", scenes=6, variations=2)


def test_rows_are_of_the_scenes_asked_for_and_of_no_duplicate(sample: SampleOutput) -> None:
    reader = OutputReader(sample.storage)
    repeated = [
        row
        for shard in reader.shards("scenes")
        for row in read_rows(sample.storage, "scenes", shard)
        if row["status"] == "duplicate"
    ]
    assert repeated, "the sample has a duplicate to leave out"
    for shard in reader.shards("scenes"):
        scenes = sample.plan.scenes(shard)
        assert list(reader.rows("scenes", shard)) == scenes
        assert all(len(rows) == 1 for rows in reader.rows("scenes", shard).values())
        assert list(reader.rows("scenes", shard, scenes[:1])) == scenes[:1]


def test_a_member_and_a_scenes_members_are_the_bytes_that_were_packed(sample: SampleOutput) -> None:
    reader = OutputReader(sample.storage)
    scene = sample.plan.scenes(1)[0]
    commit = reader.commit("scenes", 1)
    assert commit is not None
    picture = encoded(picture_colour(sample.number_of(scene)))
    assert reader.member("scenes", commit, f"{scene}.png") == picture
    assert reader.files("scenes", commit, by_scene(commit, {scene})[scene])[f"{scene}.png"] == picture
    with pytest.raises(KeyError):
        reader.member("scenes", commit, "nobody.png")


def test_with_given_handles_each_table_is_read_where_it_lies(sample: SampleOutput, tmp_path: Path) -> None:
    more = with_given_handles(tmp_path / "more", sample, variations=1)
    reader = OutputReader(more, sample.storage)
    assert [reader.own(table) for table in ("scenes", "concepts", "handles", "variations")] == [False] * 3 + [True]
    scene = sample.plan.scenes(1)[0]
    assert len(reader.rows("variations", 1, [scene])[scene]) < len(
        OutputReader(sample.storage).rows("variations", 1, [scene])[scene]
    )
    assert reader.rows("handles", 1, [scene]) == OutputReader(sample.storage).rows("handles", 1, [scene])


def test_a_scene_is_found_by_the_beginning_of_its_id(sample: SampleOutput) -> None:
    reader = OutputReader(sample.storage)
    for shard in reader.shards("handles"):
        for scene in sample.plan.scenes(shard):
            found = list(reader.find("handles", scene[:12]))
            assert found in ([(scene, shard)], [])
    assert len(list(reader.find("handles", ""))) > 1
    assert not list(reader.find("handles", "no-such"))


def test_the_latest_round_counts_unless_another_is_asked_for(sample: SampleOutput, tmp_path: Path) -> None:
    again = SampleOutput(tmp_path / "out", scenes=2, variations=1)
    first = again.storage.read(commit_name("segment", 0, 0))
    again.storage.write(commit_name("segment", 0, 1), first.replace(b'"round": 0', b'"round": 1'))
    reader = OutputReader(again.storage)
    latest, earlier = reader.commit("concepts", 0), reader.commit("concepts", 0, 0)
    assert latest is not None
    assert earlier is not None
    assert (latest.round, earlier.round) == (1, 0)
    assert reader.commit("concepts", 99) is None


def test_what_is_not_published_yet_is_unreadable_and_nothing_else(tmp_path: Path) -> None:
    gone = SampleOutput(tmp_path / "out", scenes=2, variations=1)
    reader = OutputReader(gone.storage)
    commit = reader.commit("scenes", 0)
    assert commit is not None
    gone.storage.delete(tar_name("scenes", 0))
    with pytest.raises(UNREADABLE):
        reader.member("scenes", commit, next(iter(commit.members)))


def test_some_columns_of_a_table_with_one_wrong_bit_are_not_read(tmp_path: Path) -> None:
    """The size is right; `scenes` said 14 kept, and 0 kept, of a picture's 15."""
    turned = SampleOutput(tmp_path / "out", scenes=2, variations=1)
    name = table_name("scores", 0)
    data = turned.storage.read(name)
    for at in range(0, len(data), 97):
        turned.storage.write(name, data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        with pytest.raises(UNREADABLE):
            OutputReader(turned.storage).rows("scores", 0, columns=["scene_id", "keep"])
    turned.storage.write(name, data)
    assert OutputReader(turned.storage).rows("scores", 0, columns=["scene_id", "keep"])
