"""What Unscene wrote below a source is no picture of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from schemas.job import Source
from stages.ingest.source.listing import list_source

FILES = (
    "a.jpg",
    "out/run.json",
    "out/_plan/000000.parquet",
    "out/report/x.png",
    "sets/dogs/.unscene/dataset.json",
    "sets/dogs/images/train/b.jpg",
    "theirs/run.json",
    "theirs/c.jpg",
)


@pytest.fixture(params=["disk", "bucket"])
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Pictures with an output and a data set among them, on the disk and in a bucket."""
    uri = str(tmp_path / "photos") if request.param == "disk" else "memory://photos"
    fs, path = fsspec.core.url_to_fs(uri)
    for name in FILES:
        fs.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe(f"{path}/{name}", b"x")
    yield uri
    fs.rm(path, recursive=True)


def told(source: Source, output: str | None = None) -> tuple[list[str], dict[str, str]]:
    """Pictures, and what is left out with the reason, by their paths below `photos`."""
    listing = list_source(source, output)
    pictures = [file.path.partition("/photos/")[2] for file in listing.pictures]
    return pictures, {out.uri.partition("photos/")[2]: out.reason for out in listing.left_out}


def test_an_output_and_a_data_set_in_the_source_are_a_line_each(photos: str) -> None:
    pictures, left_out = told(Source(uri=photos))
    assert pictures == ["a.jpg", "theirs/c.jpg"]
    assert left_out == {
        "out": "output of Unscene",
        "sets/dogs": "data set of Unscene",
        "theirs/run.json": "suffix .json",
    }


@pytest.mark.parametrize("below", ["sets/dogs", "sets/dogs/images/train"])
def test_a_data_set_that_is_named_is_meant(photos: str, below: str) -> None:
    assert told(Source(uri=f"{photos}/{below}"))[0] == ["sets/dogs/images/train/b.jpg"]


@pytest.mark.parametrize("source", ["", "/", "/**/*.jpg"])
def test_the_job_s_own_output_is_one_line(photos: str, source: str) -> None:
    pictures, left_out = told(Source(uri=f"{photos}{source}"), f"{photos}/sets/dogs")
    assert pictures == ["a.jpg", "theirs/c.jpg"] if source != "/**/*.jpg" else ["theirs/c.jpg"]
    assert left_out["sets/dogs"] == "the output of this job"
    assert "sets/dogs/images/train/b.jpg" not in left_out
