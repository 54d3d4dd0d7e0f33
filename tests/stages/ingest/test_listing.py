"""Which files are pictures, on the local disk, in memory:// and inside archives."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from schemas.errors import SpecError
from schemas.job import Source
from stages.ingest.faults import FileTooLarge, FileUnreadable
from stages.ingest.source.files import read_file, root_of
from stages.ingest.source.listing import list_source


def list_pictures(source: Source) -> list[str]:
    listing = list_source(source)
    return [listing.root.url_of(file.path) for file in listing.pictures]


@pytest.fixture
def bucket() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    fs.pipe({"/night/b.jpg": b"b", "/night/deep/er/a.PNG": b"a", "/night/notes.txt": b"t", "/other/x.jpg": b"x"})
    yield "memory://night"
    for folder in ("/night", "/other"):
        fs.rm(folder, recursive=True)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_a_folder_is_searched_to_the_bottom_in_sorted_order(tmp_path: Path) -> None:
    write(tmp_path, "z.jpg", "a/b/c.JPeG", "a/b.webp", "notes.txt", "jpg", ".hidden.jpg", "._z.jpg", ".cache/t.jpg")
    expected = [str(tmp_path / name) for name in ("a/b.webp", "a/b/c.JPeG", "z.jpg")]
    assert list_pictures(Source(uri=str(tmp_path))) == expected
    assert list_pictures(Source(uri=f"file://{tmp_path}/")) == expected
    assert list_pictures(Source(uri=str(tmp_path), limit=2)) == expected[:2]
    assert list_pictures(Source(uri=str(tmp_path), suffixes=[".TXT"])) == [str(tmp_path / "notes.txt")]


def test_a_source_below_a_hidden_folder_is_meant(tmp_path: Path) -> None:
    write(tmp_path, ".data/a.jpg")
    assert list_pictures(Source(uri=str(tmp_path / ".data"))) == [str(tmp_path / ".data/a.jpg")]


def test_relative_addresses_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert list_pictures(Source(uri="in")) == [str(tmp_path / "in/a.jpg")]


def test_globs_and_single_files_are_taken_at_their_word(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jfif", "sub/c.jfif", "d[1].jpg")
    assert list_pictures(Source(uri=f"{tmp_path}/*.jfif")) == [str(tmp_path / "b.jfif")]
    assert list_pictures(Source(uri=f"{tmp_path}/**/*.jfif")) == [str(tmp_path / n) for n in ("b.jfif", "sub/c.jfif")]
    assert str(tmp_path / "sub") not in list_pictures(Source(uri=f"{tmp_path}/*"))
    assert list_pictures(Source(uri=f"{tmp_path}/b.jfif")) == [str(tmp_path / "b.jfif")]
    assert list_pictures(Source(uri=f"{tmp_path}/d[1].jpg")) == [str(tmp_path / "d[1].jpg")], "a name, not a pattern"


def test_object_stores_give_full_urls_that_open_again(bucket: str) -> None:
    source = Source(uri=bucket)
    listed = list_pictures(source)
    assert listed == ["memory:///night/b.jpg", "memory:///night/deep/er/a.PNG"]
    assert [read_file(url, source, 10) for url in listed] == [b"b", b"a"]
    assert list_pictures(Source(uri=f"{bucket}/*.jpg")) == listed[:1]


def test_pictures_inside_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("q/x.png", b"123")
    source = Source(uri=f"zip://q::{tmp_path}/all.zip")
    listed = list_pictures(source)
    assert listed == [f"zip://q/x.png::{tmp_path}/all.zip"]
    assert read_file(listed[0], source, 10) == b"123"


def test_masks_beside_are_never_pictures(tmp_path: Path) -> None:
    write(tmp_path, "s/img.jpg", "s/mask0.png", "s/MASK12.PNG", "t.png", "t.mask0.png", "mask.png", "mask0.jpg")
    beside = {Path(p).name for p in list_pictures(Source(uri=str(tmp_path), masks="beside"))}
    assert beside == {"img.jpg", "t.png"}
    assert len(list_pictures(Source(uri=str(tmp_path)))) == 7, "without `masks: beside` a name means nothing"


def test_the_coco_json_is_no_picture(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "instances.json")
    source = Source(uri=f"{tmp_path}/*", masks="coco", coco=f"{tmp_path}/instances.json")
    assert list_pictures(source) == [str(tmp_path / "a.jpg")]


@pytest.mark.parametrize("uri", ["memory://nowhere/at/all", "/nonexistent/folder", "memory://night/*.gif"])
def test_nothing_there_names_the_address_and_the_remedy(uri: str, bucket: str) -> None:
    with pytest.raises(SpecError) as caught:
        list_pictures(Source(uri=uri))
    message = str(caught.value)
    assert message.startswith(f"source.uri: no images under {uri}")
    assert "check the prefix or set source.suffixes" in message
    assert ("looked for .jpg .jpeg .png" in message) is ("*" not in uri)


def test_an_empty_folder_and_an_unknown_protocol(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no images under"):
        list_pictures(Source(uri=str(tmp_path)))
    with pytest.raises(SpecError, match=r"source\.uri: cannot list nonsense://x"):
        list_pictures(Source(uri="nonsense://x"))
    with pytest.raises(SpecError, match=r"source\.handles"):
        list_pictures(Source(handles="out"))


def test_pictures_that_are_no_scenes_are_told_as_what_they_are(tmp_path: Path) -> None:
    write(tmp_path, "mask0.png", "mask1.png", "dog_mask.png", ".hidden.jpg", "notes.txt")
    with pytest.raises(SpecError) as caught:
        list_pictures(Source(uri=str(tmp_path), masks="beside"))
    said = "which holds 3 .png and 1 .jpg and 1 .txt, of them 2 named as masks are and 1 hidden and 1 called like masks"
    assert said in str(caught.value)


@pytest.mark.parametrize("output", ["photos", "", "photos/"])
def test_an_output_that_holds_the_source_is_told_so(tmp_path: Path, output: str) -> None:
    write(tmp_path, "photos/a.jpg")
    with pytest.raises(
        SpecError, match=r"output: .* holds the pictures of source.uri; give the job a folder of its own"
    ):
        list_source(Source(uri=str(tmp_path / "photos")), f"{tmp_path}/{output}")


def test_a_source_that_is_misspelt_or_empty_is_told_so(tmp_path: Path) -> None:
    write(tmp_path, "photos/night/a.jpg")
    (tmp_path / "none" / "below").mkdir(parents=True)
    for uri, sentence in (
        (tmp_path / "phtos", f"phtos, which is not there; did you mean {tmp_path}/photos?"),
        (tmp_path / "Photo" / "night", f"night, which is not there; did you mean {tmp_path}/photos/night?"),
        (
            tmp_path / "photos" / "night" / "a.jpeg",
            f"a.jpeg, which is not there; did you mean {tmp_path}/photos/night/a.",
        ),
        (tmp_path / "xyz", "xyz, where there is nothing (looked for "),
        (tmp_path / "none", "none, a folder without a file (looked for "),
    ):
        with pytest.raises(SpecError) as caught:
            list_pictures(Source(uri=str(uri)))
        assert str(caught.value).startswith(f"source.uri: no images under {uri},")
        assert sentence in str(caught.value)


def test_roots_that_relative_paths_start_from(tmp_path: Path) -> None:
    write(tmp_path, "a/b.jpg")
    assert root_of(Source(uri=str(tmp_path))) == str(tmp_path)
    assert root_of(Source(uri=f"{tmp_path}/a/*.jpg")) == str(tmp_path / "a")
    assert root_of(Source(uri=f"{tmp_path}/*/b.jpg")) == str(tmp_path)
    assert root_of(Source(uri=f"{tmp_path}/a/b.jpg")) == str(tmp_path / "a")


def test_reading_keeps_to_the_limit_and_names_the_file(tmp_path: Path) -> None:
    write(tmp_path, "a{b}.jpg")
    source, url = Source(uri=str(tmp_path)), str(tmp_path / "a{b}.jpg")
    assert read_file(url, source, 8) == b"a{b}.jpg"
    with pytest.raises(FileTooLarge, match=r"ingest.max_bytes \(7\)"):
        read_file(url, source, 7)
    with pytest.raises(FileUnreadable, match=r"no longer there: .*gone.jpg"):
        read_file(str(tmp_path / "gone.jpg"), source, 7)


def test_listing_needs_no_torch() -> None:
    code = "import sys, stages.ingest.source.listing; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
