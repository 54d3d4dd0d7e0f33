"""A source that holds or lists pictures is told from one that is a picture, before any work starts."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest

from pipeline.commands.paths import anchored
from schemas.errors import SpecError
from schemas.job import JobSpec, Source
from stages.ingest.source.files import read_file
from tests.stages.ingest.test_listing import list_pictures

PNG = b"\x89PNG\r\n\x1a\n and so on"


def archive(file: Path) -> Path:
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("q/x.png", PNG)
    else:
        with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as packed_tar:
            member = tarfile.TarInfo("q/x.png")
            member.size = len(PNG)
            packed_tar.addfile(member, io.BytesIO(PNG))
    return file


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("urls.txt", b"https://example.org/a.jpg\n", "names a list or a table, .*put the pictures .* into a folder"),
        ("no-suffix", b"\nhttps://example.org/a.jpg\n", "names a list or a table"),
        ("urls.csv", b"caption,url\n", "names a list or a table"),
        ("urls.parquet", b"PAR1....", "names a list or a table"),
        ("instances.json", b"{}", "names a list or a table"),
        ("gallery", b"\n<!DOCTYPE html><html>", r"names a web page, .*name pictures themselves, such as FOLDER/\*.jpg"),
        ("a.jpg", b"<html>404</html>", "names a web page"),
        ("book.PDF", b"%PDF-1.7", "names a PDF"),
        ("film.mp4", b"\0\0\0\x18ftypisom", "names a video"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "names an archive, .*; unpack it"),
        ("a.tgz", b"\x1f\x8b\x08", "names an archive, .*; unpack it"),
    ],
)
def test_what_is_no_picture_is_one_sentence(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SpecError, match=message) as caught:
        list_pictures(Source(uri=str(tmp_path / name)))
    assert str(caught.value).startswith(f"source.uri: {tmp_path / name} names ")
    assert "a source is a folder, a glob or a file of pictures" in str(caught.value)


@pytest.mark.parametrize("name", ["a.zip", "b.tar", "c.tar.gz", "photos.png.zip"])
def test_the_address_that_is_offered_for_an_archive_works(tmp_path: Path, name: str) -> None:
    file = archive(tmp_path / name)
    with pytest.raises(SpecError, match="names an archive") as caught:
        list_pictures(Source(uri=str(file)))
    offered = str(caught.value).partition("what is inside, ")[2].partition(",")[0]
    source = Source(uri=offered)
    assert [read_file(url, source, 99) for url in list_pictures(source)] == [PNG]


def test_an_archive_s_address_counts_from_where_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "a.zip")
    monkeypatch.chdir(tmp_path)
    spec = anchored(JobSpec.model_validate({"source": {"uri": "zip://q::a.zip"}, "output": "out"}))
    assert spec.source.uri == f"zip://q::{tmp_path}/a.zip"
    for uri in ("zip://q::s3://bucket/a.zip", "s3://bucket/a::b", "memory://a"):
        spec = anchored(JobSpec.model_validate({"source": {"uri": uri}, "output": "out"}))
        assert spec.source.uri == uri
    with pytest.raises(SpecError, match=r"zip://a.zip names no archive; write zip://::a.zip "):
        list_pictures(Source(uri="zip://a.zip"))


def test_a_glob_is_known_by_its_names(tmp_path: Path) -> None:
    for name in ("0.tar", "1.tar", "a.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SpecError, match=r"\*.tar names an archive, .* inside, tar://::FILE, or unpack it"):
        list_pictures(Source(uri=f"{tmp_path}/*.tar"))
    (tmp_path / "b.jpg").touch()
    assert len(list_pictures(Source(uri=f"{tmp_path}/*"))) == 4, "one may be a picture: each has its own row"


def test_a_folder_without_pictures_tells_what_it_holds(tmp_path: Path) -> None:
    for name in ("0.tar", "1.tar", "0.json", "README"):
        (tmp_path / name).touch()
    with pytest.raises(SpecError, match=r"which holds 2 .tar and 1 .json and 1 without a suffix \(looked for .jpg "):
        list_pictures(Source(uri=str(tmp_path)))


def test_a_picture_is_one_whatever_its_name(tmp_path: Path) -> None:
    for name in ("a.txt", "b", "c.zip"):
        (tmp_path / name).write_bytes(PNG)
        assert list_pictures(Source(uri=str(tmp_path / name))) == [str(tmp_path / name)]


def test_kinds_are_known_in_a_bucket_too() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/kinds/urls", b"s3://bucket/a.jpg")
    try:
        with pytest.raises(SpecError, match="memory://kinds/urls names a list or a table"):
            list_pictures(Source(uri="memory://kinds/urls"))
    finally:
        fs.rm("/kinds", recursive=True)
