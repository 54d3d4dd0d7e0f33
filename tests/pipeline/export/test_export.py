"""`unscene export`: which scene is meant, and all of them, a folder each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import stages.handles.diffusers_files as files
from pipeline.export.every_scene import export_all
from pipeline.export.handles import export_from
from pipeline.ledger.scene_names import find_scenes, one_scene
from pipeline.ledger.withdrawals import withdraw
from pipeline.stage_kinds import EXTRACT, INGEST, SEGMENT
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import announce
from schemas.errors import CommandError
from schemas.outcomes import SceneOutput
from stages.handles.exported_scene import read_exported
from stages.handles.weights import SceneWeights, pack_scene
from tests.support.sample_output import SampleOutput, with_given_handles

LEARNED = (INGEST, SEGMENT, EXTRACT)


class Learned(SampleOutput):
    """With weights that can be exported, in the place of bytes; those of scene 1 are damaged."""

    def _output(self, stage: str, scene_id: str, row: dict) -> SceneOutput:
        output = super()._output(stage, scene_id, row)
        if stage == "extract" and output.failure is None and self.number_of(scene_id) != 1:
            info = json.loads(output.files[f"{scene_id}.json"])
            told = {"base": "org/base", "revision": None, "init_words": ["cat", "object"]}
            weights = SceneWeights(["<asset0>", "<asset1>"], torch.ones(2, 4))
            output.files = {
                f"{scene_id}.safetensors": pack_scene(weights),
                f"{scene_id}.json": json.dumps(info | told).encode(),
            }
        return output


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return Learned(tmp_path_factory.mktemp("out") / "job", scenes=5, stages=LEARNED)


def id_of(output: SampleOutput, number: int) -> str:
    shards = range(output.plan.shards)
    found = (row for shard in shards for row in output.plan.rows(shard) if row["duplicate_of"] is None)
    return next(row["scene_id"] for row in found if row["uri"] == output.uris[number])


NAMED = {
    "0a11": ["/photos/a/birds.jpg", "/photos/c/copy.jpg"],
    "0a22": ["/photos/b/birds.png"],
    "birds": ["/photos/x.jpg"],
    "0a33": ["s3://bucket/b/two.dots.jpg"],
    "0a44": [],
    "0b55": ["/photos/Zo\N{LATIN SMALL LETTER E}\N{COMBINING DIAERESIS}.jpg"],
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("0a11", ["0a11"]),
        ("0a1", ["0a11"]),
        ("0a", ["0a11", "0a22", "0a33", "0a44"]),
        ("birds.jpg", ["0a11"]),
        ("b/birds", ["0a22"]),
        ("/photos/b/birds.png", ["0a22"]),
        ("copy", ["0a11"]),
        ("bird", ["birds"]),  # the beginning of an id, and of no file's name
        ("birds", ["birds"]),  # a whole id, though files are called so
        ("two.dots", ["0a33"]),
        ("Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}", ["0b55"]),  # typed on another system than it was named on
        ("b", ["0a22", "0a33", "birds"]),  # folders that are called so, where no file is, and the beginning of an id
        ("a", ["0a11"]),
        ("photos/b/", ["0a22"]),  # the folder of one picture
        ("irds.jpg", []),
        ("x.", []),
    ],
)
def test_what_a_person_calls_a_scene(wanted: str, found: list[str]) -> None:
    assert find_scenes(wanted, NAMED) == found


def test_several_are_listed_and_none_is_told() -> None:
    files_only = {scene: uris for scene, uris in NAMED.items() if scene != "birds"}
    with pytest.raises(CommandError) as several:
        one_scene("birds", files_only, "scene", "/out")
    assert str(several.value) == (
        "--scene birds: it may mean 2 scenes, 0a11 (/photos/a/birds.jpg, /photos/c/copy.jpg), 0a22 "
        "(/photos/b/birds.png); name one by its id"
    )
    many = {f"{number:04d}": [] for number in range(12)}
    with pytest.raises(CommandError, match=r"0009 \(\) and 2 more; name one"):
        one_scene("0", many, "scene", "/out")
    with pytest.raises(CommandError, match=r"--scene cats: no scene begins so, and no file of one or its folder"):
        one_scene("cats", NAMED, "scene", "/out")


def test_a_scene_by_the_name_of_its_file(learned: Learned, tmp_path: Path) -> None:
    scene = id_of(learned, 4)
    (line,) = export_from(learned.storage, "0004/\"quoted\" & 'odd'", tmp_path / "one")
    assert line == (
        f"{scene} (0004/\"quoted\" & 'odd'.png): handles <asset0>, <asset1> in {tmp_path / 'one'}; "
        f"{tmp_path / 'one' / 'README.md'} shows how to load them"
    )
    found = read_exported(tmp_path / "one")
    assert found is not None
    assert (found.scene_id, found.base) == (scene, "org/base")
    (line,) = export_from(learned.storage, "copy.jpg", tmp_path / "two")  # has the bytes of the first
    assert line.startswith(id_of(learned, 0))
    (line,) = export_from(learned.storage, "0004", tmp_path / "three")  # the folder of one picture
    assert line.startswith(scene)


def test_a_folder_of_another_scene_stays_as_it_is(learned: Learned, tmp_path: Path) -> None:
    one, other = id_of(learned, 4), id_of(learned, 0)
    list(export_from(learned.storage, one, tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CommandError) as error:
        list(export_from(learned.storage, other, tmp_path))
    assert str(error.value) == (
        f"--scene {other}: {other}: {tmp_path} holds the export of scene {one}, which stays; name another folder"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    list(export_from(learned.storage, one, tmp_path))  # the same one is written anew
    assert {path.name for path in tmp_path.iterdir()} == set(before)
    (tmp_path / "scene.json").write_text('{"nodes": []}')  # of another program
    with pytest.raises(CommandError, match=r"scene.json is no scene.json of an export, so it stays; name another fol"):
        list(export_from(learned.storage, one, tmp_path))
    assert (tmp_path / "scene.json").read_text() == '{"nodes": []}'


def test_a_readme_of_somebody_else_stays_and_is_told(learned: Learned, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Mine")
    (line,) = export_from(learned.storage, "0004", tmp_path)
    assert line.endswith(
        f"; {readme} is not, or no longer, one that an export wrote, so it was left as it is; move it away, and the "
        "same command writes one that shows how to load them"
    )
    assert readme.read_text() == "# Mine"
    readme.unlink()
    (line,) = export_from(learned.storage, "0004", tmp_path)
    assert line.endswith(f"{readme} shows how to load them")
    readme.write_text("# Mine, in its place")
    list(export_from(learned.storage, "0004", tmp_path))
    assert readme.read_text() == "# Mine, in its place"


def test_a_readme_of_somebody_else_stays_in_a_folder_of_scenes(learned: Learned, tmp_path: Path) -> None:
    scene = id_of(learned, 4)
    own = [tmp_path / "README.md", tmp_path / scene / "README.md"]
    (tmp_path / scene).mkdir()
    for readme in own:
        readme.write_text("# Mine")
    lines = list(export_all(learned.storage, tmp_path))
    assert all(readme.read_text() == "# Mine" for readme in own)
    assert sum("is not, or no longer, one that an export wrote" in line for line in lines) == 2
    for readme in own:
        readme.unlink()
    assert "(1 written, 2 there already" in list(export_all(learned.storage, tmp_path))[-1]
    assert all(readme.read_text().startswith("# ") for readme in own)


def test_what_cannot_be_exported_is_one_sentence(learned: Learned, tmp_path: Path) -> None:
    failing = next(i for i in range(5) if id_of(learned, i) == learned.failing)
    told = {
        learned.uris[failing]: r"has no handles to export: it failed in extract \(SceneError: diverged at phase 1",
        "broken": r"--scene broken: [0-9a-f]{16} \(/photos/broken.jpg\) has no handles to export: it failed in ingest",
        learned.uris[1]: "the scene's weights cannot be read",
    }
    for scene, message in told.items():
        with pytest.raises(CommandError, match=message) as error:
            list(export_from(learned.storage, scene, tmp_path / "out"))
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_every_scene_and_again(learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = tmp_path / "handles"
    lines = list(export_all(learned.storage, to))
    whole = {id_of(learned, i) for i in range(5)} - {id_of(learned, 1), learned.failing}
    assert {path.name for path in to.iterdir()} == {*whole, "README.md"}
    assert lines[-1] == (
        f"3 scenes in {to} (3 written, 0 there already, 3 left out); {to / 'README.md'} shows how to load them"
    )
    left_out = [line for line in lines if "left out, " in line]
    assert len(left_out) == 3
    assert any(line.startswith(f"{id_of(learned, 1)} ") and "extract it again" in line for line in left_out)
    assert any(line.startswith(f"{learned.failing} ") and "diverged" in line for line in left_out)
    assert any("(broken.jpg): left out, it failed in ingest (FileBroken: " in line for line in left_out)
    assert all("\n" not in line for line in lines)
    readme = (to / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Handles of 3 scenes")
    assert all(f"| `{scene}` |" in readme for scene in whole)

    first, second, third = sorted(whole)
    (to / second / f"{second[:8]}-object1.safetensors").unlink()  # as a kill, or a person, leaves it
    told = json.loads((to / third / "scene.json").read_text())
    (to / third / "scene.json").write_text(json.dumps(told | {"made_of": "other handles of this scene"}))
    before = (to / first / "scene.json").stat().st_mtime_ns
    assert list(export_all(learned.storage, to))[-1].startswith(
        f"3 scenes in {to} (2 written, 1 there already, 3 left out)"
    )
    assert (to / first / "scene.json").stat().st_mtime_ns == before
    assert read_exported(to / second) is not None
    monkeypatch.setattr(files, "save_file", lambda *_, **__: pytest.fail("nothing is left to write"))
    assert list(export_all(learned.storage, to))[-1].startswith(
        f"3 scenes in {to} (0 written, 3 there already, 3 left out)"
    )


def test_a_file_cut_short_is_written_again(learned: Learned, tmp_path: Path) -> None:
    scene = id_of(learned, 4)
    list(export_all(learned.storage, tmp_path))
    for name in (f"{scene[:8]}-cat0.safetensors", "README.md"):
        file = tmp_path / scene / name
        whole = file.read_bytes()
        assert read_exported(tmp_path / scene) is not None
        file.write_bytes(whole[:-10])
        assert read_exported(tmp_path / scene) is None
        assert "(1 written, 2 there already" in list(export_all(learned.storage, tmp_path))[-1]
        assert file.read_bytes() == whole


def test_scenes_whose_files_are_called_alike_are_told(
    learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("alike" in line for line in export_all(learned.storage, tmp_path / "handles"))
    monkeypatch.setattr("stages.handles.file_names.ID_DIGITS", 0)
    assert list(export_all(learned.storage, tmp_path / "handles"))[-2] == (
        "several scenes begin with : their files are called alike, so give each a folder of its own in other tools too"
    )


def test_a_full_disk_is_one_sentence(learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for call in (export_all(learned.storage, tmp_path / "file"), export_from(learned.storage, "0", tmp_path / "file")):
        with pytest.raises(CommandError, match=r"--to .*file: a file of that name is there"):
            list(call)
    with pytest.raises(CommandError, match=r"--to .*: cannot be written \(NotADirectoryError"):
        list(export_all(learned.storage, tmp_path / "file" / "below"))

    def full(*_: object, **__: object) -> None:
        raise files.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(CommandError, match=r"--to .*: cannot be written \(OSError: .*No space left.*same command"):
        list(export_all(learned.storage, tmp_path / "out"))


def test_a_job_still_at_work(tmp_path: Path) -> None:
    output = Learned(tmp_path / "out", scenes=4, stages=LEARNED, shards=1)
    announce(output.storage, "ended", command="unscene run night.yaml")
    lines = list(export_all(output.storage, tmp_path / "handles"))
    waiting = [line for line in lines if "it is not through extract yet; `unscene run night.yaml` goes on" in line]
    assert len(waiting) == len(output.plan.scenes(1))
    begun = SampleOutput(tmp_path / "begun", stages=(INGEST,))
    with pytest.raises(CommandError, match=r"--all: no scene under .*begun has handles; `unscene status` says how far"):
        list(export_all(begun.storage, tmp_path / "none"))


def test_handles_of_an_earlier_output_are_exported_from_there(learned: Learned, tmp_path: Path) -> None:
    earlier = Learned(tmp_path / "earlier")
    later = with_given_handles(tmp_path / "later", earlier)
    here, there = (list(export_all(s, tmp_path / "handles")) for s in (earlier.storage, later))
    assert re.search(r"\(2 written", here[-1])
    assert re.search(r"\(0 written, 2 there already", there[-1])


def test_a_scene_is_withdrawn_by_the_name_of_its_file(learned: Learned, tmp_path: Path) -> None:
    output = Learned(tmp_path / "out", stages=LEARNED)
    name = "0002/Zoë – пляж 🏖.jpeg"
    assert withdraw(output.storage, name).startswith(f"{id_of(output, 2)} ({name}): withdrawn")
    assert Storage(output.storage.url).names("_withdrawn").keys() == {id_of(output, 2)}


def test_a_withdrawn_scene_is_exported_no_more(tmp_path: Path) -> None:
    output = Learned(tmp_path / "out", scenes=5, stages=LEARNED)
    list(export_all(output.storage, tmp_path / "all"))
    gone = next(scene.name for scene in (tmp_path / "all").iterdir() if scene.is_dir())
    withdraw(output.storage, gone)
    lines = list(export_all(output.storage, tmp_path / "all"))
    (line,) = [line for line in lines if line.startswith(gone)]
    assert "left out, it is withdrawn; `unscene withdraw " in line
    assert line.endswith(f"{tmp_path / 'all' / gone} has its files of before")
    assert gone not in (tmp_path / "all" / "README.md").read_text()
    with pytest.raises(CommandError, match=f"{gone}: it is withdrawn; .* --scene {gone} --undo` wants it again"):
        list(export_from(output.storage, gone, tmp_path / "one"))
    withdraw(output.storage, gone, undo=True)
    list(export_from(output.storage, gone, tmp_path / "one"))


def test_the_mark_of_a_withdrawn_scene_is_named_where_it_is(tmp_path: Path) -> None:
    """In a job of another's handles it was looked for in the other alone, where there was none to take back."""
    first = Learned(tmp_path / "first", scenes=5, stages=LEARNED)
    more = with_given_handles(tmp_path / "more", first)
    gone = next(line.split()[0] for line in export_all(first.storage, tmp_path / "all") if "handles <" in line)
    for storage in (more, first.storage):
        withdraw(storage, gone)
    with pytest.raises(CommandError) as error:
        list(export_from(more, gone, tmp_path / "one"))
    for storage in (more, first.storage):
        assert f"`unscene withdraw {storage.url} --scene {gone} --undo`" in str(error.value)
        assert "wanted again" in withdraw(storage, gone, undo=True)
        assert f"it is not withdrawn from {storage.url}; nothing was changed" in withdraw(storage, gone, undo=True)
    list(export_from(more, gone, tmp_path / "one"))


def test_handles_that_cannot_be_read_end_in_an_error_once_the_others_are_written(tmp_path: Path) -> None:
    """A script took an export without half of the scenes for a success."""
    output = Learned(tmp_path / "out", scenes=5, stages=LEARNED)
    whole = {path.name for path in (tmp_path / "out" / "handles").glob("*.tar")}
    (tmp_path / "out" / "handles" / sorted(whole)[0]).unlink()
    lines: list[str] = []
    with pytest.raises(CommandError) as error:
        lines.extend(export_all(output.storage, tmp_path / "all"))
    assert re.fullmatch(
        r"--all: handles of \d scenes? cannot be read; handles/handles-000000\.tar: restore it, or delete "
        r"/\S*/_commits/extract/000000\.json and run the job again, which makes the shard anew",
        str(error.value),
    )
    assert (tmp_path / "all" / "README.md").exists()
