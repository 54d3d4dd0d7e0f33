"""Any name that a filesystem allows reads as itself; links are followed, loops and dead ends are told."""

from __future__ import annotations

import json
import os
import tarfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from schemas.errors import SpecError
from schemas.job import JobSpec, Source
from stages.ingest.census import take_census
from stages.ingest.given_masks.owners import owners_of
from stages.ingest.source.files import read_file
from stages.ingest.source.listing import Listing, list_source
from stages.ingest.source.walking import of_info

NAMES = (
    "cam.jpg",
    "cam.jpg::2.jpg",
    "a#1.jpg",
    "100%25 sure.jpg",
    "[x] {y} (z)*?.jpg",
    "file:x.jpg",
    "~home.jpg",
    "new\nline.jpg",
    "back\\slash.jpg",
    "'quoted' \"twice\".jpg",
    unicodedata.normalize("NFD", "Zoë.jpg"),
    unicodedata.normalize("NFC", "Zoë.jpg"),
)


def urls(listing: Listing) -> list[str]:
    return [listing.root.url_of(file.path) for file in listing.pictures]


def told(listing: Listing) -> dict[str, str]:
    return {Path(out.uri).name: out.reason for out in listing.left_out}


def test_every_name_reads_as_itself(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_text(name)
    source = Source(uri=str(tmp_path))
    found = urls(list_source(source))
    assert {Path(url).name for url in found} == set(NAMES)
    assert {read_file(url, source, 100).decode() for url in found} == set(NAMES)


@pytest.mark.parametrize("folder", ["a::b", "a#b", "a[1]", "100%", "with space"])
def test_a_source_folder_of_any_name_is_meant(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "x::y.jpg").write_text("here")
    for uri in (f"{tmp_path}/{folder}", f"file://{tmp_path}/{folder}", f"{tmp_path}/{folder}/x::y.jpg"):
        source = Source(uri=uri)
        assert [read_file(url, source, 100) for url in urls(list_source(source))] == [b"here"]
    if "[" in folder:
        assert len(urls(list_source(Source(uri=f"{tmp_path}/{folder}/*.jpg")))) == 1


@pytest.fixture
def memory() -> Iterator[None]:
    yield
    fs = fsspec.filesystem("memory")
    if fs.exists("/odd"):
        fs.rm("/odd", recursive=True)


def test_every_name_in_a_bucket_reads_as_itself(memory: None) -> None:
    fs = fsspec.filesystem("memory")
    names = [name for name in NAMES if not name.startswith("file:")]
    for name in names:
        fs.pipe_file(f"/odd/{name}", name.encode())
    source = Source(uri="memory://odd")
    found = urls(list_source(source))
    assert {read_file(url, source, 100).decode() for url in found} == set(names)


def test_links_are_followed_and_loops_and_dead_ends_are_told(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/b.jpg").write_text("b")
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "a.jpg").write_text("a")
    (source / "album").symlink_to(tmp_path / "outside")
    (source / "link.jpg").symlink_to(source / "a.jpg")
    (source / "deep/loop").symlink_to(source)
    (source / "self").symlink_to(source / "self")
    (source / "nowhere.jpg").symlink_to(source / "gone.jpg")
    listing = list_source(Source(uri=str(source)))
    assert [Path(url).relative_to(source).as_posix() for url in urls(listing)] == ["a.jpg", "album/b.jpg", "link.jpg"]
    assert told(listing) == {
        "loop": "link in a loop",
        "self": "link that leads nowhere",
        "nowhere.jpg": "link that leads nowhere",
    }
    only_links = Source(uri=f"{source}/l*.jpg")
    assert [Path(url).name for url in urls(list_source(only_links))] == ["link.jpg"]


def test_what_tables_cannot_hold_and_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("a")
    os.mkfifo(tmp_path / "pipe.jpg")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "w") as file:
        file.write("latin")
    listing = list_source(Source(uri=str(tmp_path)))
    assert [Path(url).name for url in urls(listing)] == ["a.jpg"]
    assert told(listing) == {"pipe.jpg": "no regular file", "caf\\xe9.jpg": "name that is not UTF-8"}


def test_every_other_file_is_left_out_by_its_kind(tmp_path: Path) -> None:
    kinds = {
        "notes.txt": "suffix .txt",
        "README": "no suffix",
        "photos.zip": "archive",
        "more.tar.gz": "archive",
        "raw.NEF": "suffix .nef",
        ".hidden.jpg": "hidden",
        "._a.jpg": "hidden",
        ".cache/t.jpg": "hidden",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_S.jpg": "thumbnail",
        "#recycle/old.jpg": "thumbnail",
        "Thumbs.db": "thumbnail",
    }
    for name in ("a.jpg", "chrome.jfif", "old.jpe", *kinds):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    listing = list_source(Source(uri=str(tmp_path)))
    assert {Path(url).name for url in urls(listing)} == {"a.jpg", "chrome.jfif", "old.jpe"}
    assert {str(Path(out.uri).relative_to(tmp_path)): out.reason for out in listing.left_out} == kinds
    bare = list_source(Source(uri=str(tmp_path), suffixes=[".jpg", ""]))
    assert {Path(url).name for url in urls(bare)} == {"a.jpg", "README"}, "an empty suffix is no suffix, not any"
    limited = list_source(Source(uri=str(tmp_path), limit=1))
    assert [Path(url).name for url in urls(limited)] == ["a.jpg"]
    assert {"chrome.jfif", "old.jpe"} == {name for name, why in told(limited).items() if why == "beyond source.limit"}


def test_a_stamp_changes_when_a_file_does(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_text("one")
    before = list_source(Source(uri=str(tmp_path))).pictures[0].stamp
    assert list_source(Source(uri=str(tmp_path))).pictures[0].stamp == before
    at = file.stat()
    file.write_text("two")
    os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns))  # as tools do that keep times
    assert list_source(Source(uri=str(tmp_path))).pictures[0].stamp != before


def test_folders_that_link_to_each_other_are_gone_through_once(tmp_path: Path) -> None:
    folders = [tmp_path / "in" / f"f{number}" for number in range(8)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_text(folder.name)
    for folder in folders:
        for other in folders:
            if other is not folder:
                (folder / f"to-{other.name}").symlink_to(other)
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.jpg").write_text("out")
    for number in range(2):
        (tmp_path / "in" / f"away{number}").symlink_to(tmp_path / "out")
    listing = list_source(Source(uri=str(tmp_path / "in")))
    assert len(listing.pictures) == 9
    reasons = [out.reason for out in listing.left_out]
    assert reasons.count("link to a folder that is read already") == 8 * 7 + 1
    assert told(listing)["up"] == "link in a loop"


def test_links_that_cannot_be_written_down_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("a")
    (tmp_path / "plain.jpg").symlink_to(os.fsdecode(b"/gone/caf\xe9.jpg"))
    os.symlink(b"/gone", os.fsencode(tmp_path) + b"/odd\xff.jpg")
    listing = list_source(Source(uri=str(tmp_path)))
    assert told(listing) == {"plain.jpg": "link that leads nowhere", "odd\\xff.jpg": "name that is not UTF-8"}
    assert all((out.uri + str(out.detail)).encode() for out in listing.left_out)


@pytest.mark.parametrize("key", ["ETag", "CRC", "modify", "last_write_time", "modificationTime", "blob_id"])
def test_what_each_filesystem_tells_of_a_change(key: str) -> None:
    stamps = {of_info("a.jpg", {"size": 7, key: value, "date_time": (1980, 1, 1)}).stamp for value in ("one", "two")}
    assert len(stamps) == 2, "what tells of the content comes before a time that may be fixed"
    assert of_info("a.jpg", {"size": 7}).stamp != of_info("a.jpg", {"size": 8}).stamp


def test_a_name_that_is_no_utf_8_is_told_in_an_archive_too(tmp_path: Path) -> None:
    """It broke the plan after all the hashing: no table holds such a name."""
    (tmp_path / "a.jpg").write_bytes(b"here")
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        tar.add(tmp_path / "a.jpg", "good.jpg")
        tar.add(tmp_path / "a.jpg", b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
    listing = list_source(Source(uri=f"tar://::{tmp_path}/in.tar"))
    assert [file.path.lstrip("/") for file in listing.pictures] == ["good.jpg"]
    assert [(out.uri.partition("::")[0], out.reason) for out in listing.left_out] == [
        ("tar://caf\\xe9.jpg", "name that is not UTF-8")
    ]


def test_a_neighbour_whose_name_is_no_utf_8_is_named_by_its_escape(tmp_path: Path) -> None:
    for name in (b"a.jpg", b"caf\xe9.jpg", b"mask0.png"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b"here")
    listing = list_source(Source(uri=f"{tmp_path}/a.jpg", masks="beside"))
    unclear = owners_of(listing).unclear[f"{tmp_path}/a.jpg"]
    assert "caf\\xe9.jpg" in unclear
    assert unclear.encode()


def linked_source(tmp_path: Path) -> Path:
    """a.jpg and deep/b.jpg inside; by links: one of them again, and c.jpg, mask0.png and a folder from outside."""
    outside, source = tmp_path / "outside", tmp_path / "in"
    for folder in (outside / "album", source / "deep"):
        folder.mkdir(parents=True)
    for file in (
        source / "a.jpg",
        source / "deep/b.jpg",
        outside / "c.jpg",
        outside / "album/d.jpg",
        outside / "m.png",
    ):
        file.write_text(file.name)
    (source / "c.jpg").symlink_to(outside / "c.jpg")
    (source / "b.jpg").symlink_to("deep/b.jpg")
    (source / "album").symlink_to("../outside/album")
    (source / "a.mask0.png").symlink_to(outside / "m.png")
    (outside / "album/back.jpg").symlink_to(source / "a.jpg")
    return source


@pytest.mark.parametrize("pattern", ["", "/*"])
def test_links_out_of_the_source_are_followed_and_told(tmp_path: Path, pattern: str) -> None:
    source = linked_source(tmp_path)
    listing = list_source(Source(uri=f"{source}{pattern}", masks="beside"))
    outside = {"c.jpg", "a.mask0.png"} | ({"album/back.jpg", "album/d.jpg"} if not pattern else set())
    assert {Path(path).relative_to(source).as_posix() for path in listing.elsewhere} == outside
    spec = JobSpec.model_validate({"source": {"uri": str(source), "masks": "beside"}, "output": str(tmp_path / "out")})
    assert [remark for remark in take_census(spec).remarks if "outside the source: 4, such as" in remark]


@pytest.mark.parametrize("pattern", ["", "/*", "/c.jpg"])
def test_nothing_outside_the_source_is_read_where_it_is_to_be_inside(tmp_path: Path, pattern: str) -> None:
    source = linked_source(tmp_path)
    inside = Source(uri=f"{source}{pattern}", masks="beside", links="inside")
    if pattern == "/c.jpg":
        with pytest.raises(
            SpecError, match=r"no images under .*/c.jpg; source.links: follow reads what links lead to$"
        ):
            list_source(inside)
        return
    listing = list_source(inside)
    read = {Path(file.path).resolve() for file in (*listing.pictures, *listing.masks)}
    assert read == {source / "a.jpg", source / "deep/b.jpg"}
    assert not listing.elsewhere
    left = {name for name, reason in told(listing).items() if reason == "link that leads out of the source"}
    assert left == {"c.jpg", "a.mask0.png"} | ({"album"} if not pattern else set())


@pytest.mark.parametrize(
    ("links", "said"), [(1, "1 link that leads out of the source"), (2, "2 links that lead out of the source")]
)
def test_a_source_of_links_alone_is_told_how_they_are_followed(tmp_path: Path, links: int, said: str) -> None:
    (tmp_path / "in").mkdir()
    for number in range(links):
        (tmp_path / f"{number}.jpg").write_text("x")
        (tmp_path / "in" / f"{number}.jpg").symlink_to(tmp_path / f"{number}.jpg")
    told = (
        rf"which holds {links} .jpg, of them {said} \(looked for .*\); source.links: follow reads what links lead to$"
    )
    with pytest.raises(SpecError, match=told):
        list_source(Source(uri=str(tmp_path / "in"), links="inside"))


def test_a_source_that_is_a_link_itself_is_inside(tmp_path: Path) -> None:
    source = linked_source(tmp_path)
    (tmp_path / "here").symlink_to(source)
    listing = list_source(Source(uri=str(tmp_path / "here"), links="inside"))
    assert [Path(url).name for url in urls(listing)] == ["a.jpg", "b.jpg", "b.jpg"]


def test_no_name_of_an_annotation_file_opens_anything_outside(tmp_path: Path) -> None:
    """Names are looked up among the files that were listed, and never opened."""
    source = linked_source(tmp_path)
    outside = tmp_path / "outside/c.jpg"
    names = [
        "../outside/c.jpg",
        str(outside),
        f"file://{outside}",
        "/etc/hostname",
        "deep/../../outside/c.jpg",
        "a.jpg",
    ]
    images = [{"id": id, "file_name": name, "width": 9, "height": 9} for id, name in enumerate(names)]
    rows = [
        {"id": id, "image_id": id, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]]} for id in range(len(names))
    ]
    (tmp_path / "i.json").write_text(json.dumps({"images": images, "categories": [], "annotations": rows}))
    source_fields = {"uri": str(source), "masks": "coco", "coco": str(tmp_path / "i.json"), "links": "inside"}
    census = take_census(JobSpec.model_validate({"source": source_fields, "output": str(tmp_path / "out")}))
    assert {picked.uri for picked in census.pictures if picked.entry is not None} == {f"{source}/a.jpg"}
    unused = {line.annotation for line in census.lines if line.reason == "no such picture"}
    assert unused == {str(id) for id in range(len(names) - 1)}
