"""`unscene init`: what lies in a folder is seen and said, what it writes is a job, and nothing is written over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from pipeline.commands.check import check_job
from pipeline.commands.init import Ask, Wanted, init_example, init_job
from pipeline.commands.paths import anchored
from schemas.errors import CommandError, SpecError
from schemas.job import JobSpec
from schemas.spec_file import load_spec

POLYGON = [4, 4, 40, 4, 40, 40, 4, 40]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number, size in enumerate([(64, 48), (200, 100), (96, 96)]):
        Image.new("RGB", size, (number, 90, 200)).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


def written(wanted: Wanted, ask: Ask | None) -> list[str]:
    return list(init_job(wanted, ask))


def masks_beside(folder: Path, *names: str) -> None:
    for name in names:
        with Image.open(folder / f"{name.partition('.')[0]}.png") as picture:
            Image.new("L", picture.size, 255).save(folder / name)


def annotations(file: Path, pictures: int) -> None:
    file.parent.mkdir(exist_ok=True)
    images = [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in range(pictures)]
    noted = [
        {"id": n, "image_id": n, "category_id": 1, "segmentation": [POLYGON], "bbox": [4, 4, 36, 36], "iscrowd": 0}
        for n in range(pictures)
    ]
    tree = {"images": images, "annotations": noted, "categories": [{"id": 1, "name": "dog"}]}
    file.write_text(json.dumps(tree))


def accepted(file: Path) -> JobSpec:
    """The job in the file, which `unscene check` finds nothing wrong with."""
    spec = anchored(load_spec(file))
    assert [checked.wrong for checked in check_job(spec, {}) if checked.wrong] == []
    return spec


def test_a_folder_of_pictures(here: Path) -> None:
    lines = written(Wanted("photos", gpu=False), None)
    assert lines[0].startswith("found: 3 pictures, ")
    assert "; 64 x 48 to 200 x 100 pixels; no masks" in lines[0]
    assert lines[1].startswith("chosen: masks are found by Segment Anything; base seedling, which shows the machinery")
    assert "  unscene run photos.yaml --limit 2 --until segment" in lines
    spec = accepted(here / "photos.yaml")
    assert (spec.source.uri, spec.output) == (str(here / "photos"), str(here / "out" / "photos"))
    assert (spec.source.masks, spec.models.base, spec.ingest.square) == ("none", "seedling", "crop")
    assert spec.cluster.gpus == 0
    assert not (here / "out").exists()


def test_one_picture_is_said_to_be_one_and_gives_the_job_its_name(here: Path) -> None:
    lines = written(Wanted("photos/1.png", gpu=False), None)
    assert lines[0].startswith("found: 1 picture, ")
    assert lines[0].endswith("; photos/1.png is one picture, and the job is of it alone")
    assert accepted(Path("1.yaml")).output == str(here / "out" / "1")


def test_masks_beside_are_seen(here: Path) -> None:
    masks_beside(here / "photos", "0.mask0.png", "0.mask1.png", "2.mask0.png")
    lines = written(Wanted("photos", gpu=False, out="out/x", to=Path("my job.yaml")), None)
    assert "3 masks beside 2 of them" in lines[0]
    assert "  unscene check 'my job.yaml'" in lines
    spec = accepted(here / "my job.yaml")
    assert (spec.source.masks, spec.ingest.square, spec.output) == ("beside", "pad", str(here / "out" / "x"))
    assert "takes apart the pictures without masks" in (here / "my job.yaml").read_text()


@pytest.mark.parametrize("place", ["photos/instances.json", "annotations/all.json"])
def test_a_coco_file_is_seen_where_it_usually_lies(here: Path, place: str) -> None:
    (here / "photos" / "notes.json").write_text('{"some": "other JSON"}')
    annotations(here / place, 2)
    lines = written(Wanted("photos", gpu=False), None)
    assert "2 annotations of 2 of them in " in lines[0]
    assert accepted(here / "photos.yaml").source.coco is not None


def test_what_is_asked_for_goes_before_what_is_found(here: Path) -> None:
    masks_beside(here / "photos", "0.mask0.png")
    annotations(here / "noted.json", 3)
    written(Wanted("photos", masks="none", base="some/base", gpu=True, to=Path("none.yaml")), None)
    spec = load_spec(here / "none.yaml")
    assert (spec.source.masks, spec.models.base, spec.cluster.gpus) == ("none", "some/base", None)
    assert spec.models.sam.startswith("https://")
    written(Wanted("photos", masks="noted.json", gpu=False, to=Path("coco.yaml")), None)
    assert accepted(here / "coco.yaml").source.coco == str(here / "noted.json")


def test_masks_that_are_not_wanted_are_no_pictures_or_that_is_said(here: Path) -> None:
    masks_beside(here / "photos", "0.mask0.png", "2.mask0.png")
    lines = written(Wanted("photos", masks="none", gpu=False), None)
    assert lines[2] == (
        "2 files called like masks: pictures of this job too; move them away, or name the pictures by a pattern in "
        "source.uri"
    )
    for file in (here / "photos").glob("?.png"):
        Image.open(file).save(file.with_suffix(".JPG"))
        file.unlink()
    lines = written(Wanted("photos", masks="none", gpu=False, to=Path("apart.yaml")), None)
    assert lines[2] == "2 files called like masks: left out, as source.suffixes is .jpg"
    (source,) = (one for one in check_job(accepted(here / "apart.yaml"), {}) if one.what == "source")
    assert source.said[0].startswith("3 pictures, ")


def test_how_many_pictures_masks_are_found_for_is_said(here: Path) -> None:
    assert (
        ": masks beside the pictures, and for 3 of 3 pictures by Segment Anything; base"
        in (written(Wanted("photos", masks="beside", gpu=False), None)[1])
    )


def test_masks_that_are_not_called_as_masks_are_read_are_said(here: Path) -> None:
    Image.new("L", (64, 48)).save(here / "photos" / "0_mask.png")
    assert "1 file called like masks but not as masks are read" in written(Wanted("photos", gpu=False), None)[0]


def test_names_that_yaml_would_read_as_something_else_keep_their_text(here: Path) -> None:
    for number, name in enumerate(["no", "1e3", "a: b", "#7", "it's", 'the "best"', "Zoë 🏖", "12:30", "null"]):
        (here / "photos").rename(here / name)
        written(Wanted(name, gpu=False, to=Path(f"{number}.yaml")), None)
        assert accepted(here / f"{number}.yaml").source.uri == str(here / name)
        (here / name).rename(here / "photos")


def test_nothing_is_written_over(here: Path) -> None:
    (here / "photos.yaml").write_text("mine")
    with pytest.raises(CommandError, match=r"init: photos.yaml is there already, .* name another: --to my-job.yaml"):
        written(Wanted("photos"), None)
    (here / "demo.yaml").symlink_to("photos.yaml")
    with pytest.raises(CommandError, match=r"demo.yaml is there already"):
        init_example("demo", None)
    assert (here / "photos.yaml").read_text() == "mine"
    (here / "out" / "photos").mkdir(parents=True)
    (here / "out" / "photos" / "run.json").write_text("{}")
    lines = written(Wanted("photos", gpu=False, to=Path("second.yaml")), None)
    assert lines[1].endswith("; output out/photos-2, as out/photos holds a job")
    assert accepted(here / "second.yaml").output == str(here / "out" / "photos-2"), "nor is another job gone on with"


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Wanted(), "init: name the folder of the pictures, `unscene init photos`, or take --example demo"),
        (Wanted("photos", out=""), "--out: no value; give one, or leave the option out"),
        (Wanted("photos", masks="besid"), "--masks besid: no file of that name; say none, beside, or the address"),
        (Wanted("photos", masks="coco"), "--masks coco: no COCO file lies in photos or beside it; name it"),
        (Wanted("photos", to=Path("job.json")), "--to job.json: name a .yaml file, by which `status`"),
        (Wanted("photos", to=Path("no/such/job.yaml")), "--to no/such/job.yaml: cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(here: Path, wanted: Wanted, sentence: str) -> None:
    with pytest.raises(CommandError) as error:
        written(wanted, None)
    assert str(error.value).startswith(sentence)
    assert not list(here.glob("*.yaml"))


def test_a_source_without_a_picture_is_told_and_no_file_is_left(here: Path) -> None:
    for source in ("phtos", "photos/0.txt"):
        with pytest.raises(SpecError, match=r"source.uri: no images under "):
            written(Wanted(source), None)
    assert not list(here.glob("*.yaml"))


def test_a_person_is_asked_for_what_no_flag_says(here: Path) -> None:
    asked: list[str] = []

    def answer(question: str, default: str) -> str:
        asked.append(question)
        return {"Where are": "photos", "Masks:": default, "Where should": "out/mine", "Base mod": "seedling"}[
            next(start for start in ("Where are", "Masks:", "Where should", "Base mod") if question.startswith(start))
        ]

    lines = init_job(Wanted(gpu=False), answer)
    assert next(lines).startswith("found: 3 pictures")
    assert len(asked) == 1, "what was found is said before more is asked"
    list(lines)
    assert len(asked) == 4
    assert accepted(here / "photos.yaml").output == str(here / "out" / "mine")
    written(Wanted("photos", "none", "out/x", "seedling", False, Path("x.yaml")), answer)
    assert len(asked) == 4, "nothing was left to ask"


def test_a_job_that_ships_is_written_to_edit(here: Path) -> None:
    assert init_example("demo", None) == [
        "wrote demo.yaml; next:",
        "  unscene check demo.yaml",
        "  unscene run demo.yaml",
    ]
    assert init_example("protocol", None)[2] == "  unscene evaluate protocol.yaml", "`run` refuses it"
    assert "  unscene run augment.yaml" in init_example("augment", None), "and `--limit` this"
    assert load_spec(here / "demo.yaml").models.base == "seedling"
    with pytest.raises(
        CommandError, match=r"--example dmeo: no job of that name ships with Unscene; there are augment"
    ):
        init_example("dmeo", None)
