"""What lies in a folder of pictures, for `unscene init`: pictures, their sizes, masks of either kind. Nothing is
written, and no picture is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.commands.paths import anchored
from pipeline.wording import counted, size_text
from schemas.errors import SceneError, SpecError
from schemas.job import Ingest, JobSpec, Source
from stages.ingest.census import Census, Picked, take_census
from stages.ingest.decode import open_header
from stages.ingest.formats import picture_formats
from stages.ingest.source.files import locate, root

_SIZED = 40
"""Pictures whose headers are read, evenly spread."""
_HEADER = 1 << 18
_JSON_BYTES = 500_000_000
_ANNOTATIONS = ("*.json", "annotations/*.json", "../annotations/*.json")


@dataclass(frozen=True)
class Found:
    """What a source holds.

    pictures: how many; bytes: of them all, where told. sizes: (width, height) of some of them. beside: pictures with
    masks beside them, and those masks; coco: the same of an annotation file, and its address. odd: files that look like
    masks and are not named as masks are read.
    """

    pictures: int
    bytes: int
    sizes: list[tuple[int, int]] = field(default_factory=list)
    beside: tuple[int, int] = (0, 0)
    coco: tuple[int, int] = (0, 0)
    annotations: str | None = None
    odd: int = 0

    def line(self) -> str:
        """The same for a person."""
        said = [f"{counted(self.pictures, 'picture')}, {size_text(self.bytes)}"]
        if self.sizes:
            least, most = (pick(self.sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
            to = f" to {most[0]} x {most[1]}" if most != least else ""
            said.append(f"{least[0]} x {least[1]}{to} pixels")
        if self.beside[0]:
            said.append(f"{counted(self.beside[1], 'mask')} beside {self.beside[0]} of them")
        if self.coco[0]:
            said.append(f"{counted(self.coco[1], 'annotation')} of {self.coco[0]} of them in {self.annotations}")
        if not self.beside[0] and not self.coco[0]:
            said.append("no masks")
        if self.odd:
            said.append(
                f"{counted(self.odd, 'file')} called like masks but not as masks are read (mask0.png in a folder of "
                "one picture, or dog.mask0.png beside dog.jpg)"
            )
        return "; ".join(said)


def look_into(uri: str, output: str, annotations: str | None = None) -> Found:
    """Looks at a source. output: of the job, which is no part of it. annotations: of an annotation file that is meant,
    beside those that lie where they usually do.

    Raises SpecError where there is no picture, or the annotations that are meant do not fit.
    """
    census = _census(uri, output, masks="beside")
    pictures = list(census.pictures)
    beside = [picked for picked in pictures if picked.masks or picked.masks_fault]
    coco, best = (0, 0), None
    if annotations is not None:
        coco, best = _masked(_census(uri, output, masks="coco", coco=annotations).pictures), annotations
    for file in _candidates(uri) if annotations is None else ():
        try:
            found = _masked(_census(uri, output, masks="coco", coco=file).pictures)
        except SpecError:  # some other JSON
            continue
        if found > coco:
            coco, best = found, file
    return Found(
        len(pictures),
        sum(picked.bytes or 0 for picked in pictures),
        _sizes(uri, pictures),
        (len(beside), sum(len(picked.masks) for picked in beside)),
        coco,
        best,
        sum(out.reason == "looks like a mask" for out in census.lines),
    )


def called_masks(uri: str, output: str) -> tuple[int, list[str]]:
    """How many files `masks: beside` keeps apart that are pictures where masks are not read so; and the suffixes of the
    pictures proper, none where one of those files has such a suffix too."""
    pictures, all_of_them = (
        {picked.uri for picked in _census(uri, output, masks=masks).pictures} for masks in ("beside", "none")
    )
    suffixes, others = (
        {PurePosixPath(file).suffix.lower() for file in files} for files in (pictures, all_of_them - pictures)
    )
    return len(all_of_them - pictures), sorted(suffixes) if suffixes.isdisjoint(others) else []


def is_one_picture(uri: str) -> bool:
    """Whether an address names a picture file, and no folder or pattern. What cannot be looked at is none: the listing
    says what is wrong with it."""
    try:
        at = root(Source(uri=str(Path(uri).expanduser()) if "://" not in uri else uri))
        return "::" not in uri and bool(at.fs.isfile(at.path))
    except Exception:  # every backend has its own classes
        return False


def _census(uri: str, output: str, **source: Any) -> Census:
    spec = JobSpec.model_validate({"source": {"uri": uri, **source}, "output": output})
    return take_census(anchored(spec))


def _masked(pictures: Iterable[Picked]) -> tuple[int, int]:
    """Pictures with masks, and masks."""
    counts = [len(picked.masks) for picked in pictures]
    return sum(map(bool, counts)), sum(counts)


def _candidates(uri: str) -> Iterator[str]:
    """JSON files where annotations of a local folder usually lie."""
    folder = Path(uri).expanduser()
    if "://" in uri or not folder.is_dir():
        return
    for pattern in _ANNOTATIONS:
        start, name = (folder.parent, pattern[3:]) if pattern.startswith("../") else (folder, pattern)
        for file in sorted(start.glob(name)):
            if file.is_file() and file.stat().st_size <= _JSON_BYTES:
                yield str(file)


def _sizes(uri: str, pictures: list[Picked]) -> list[tuple[int, int]]:
    """Of some pictures, by their headers; one that cannot be read is for the run to tell."""
    step = max(1, len(pictures) // _SIZED)
    source = Source(uri=uri)
    no_limits = Ingest(max_pixels=10**12, max_pixels_per_byte=10**12)  # of the file only its beginning is here
    found = []
    for picked in pictures[::step][:_SIZED]:
        try:
            fs, path = locate(picked.uri, source)
            with fs.open(path, "rb") as file:
                header = bytes(file.read(_HEADER))
            found.append(open_header(header, picture_formats(), no_limits).size)
        except (OSError, ValueError, SceneError):
            continue
    return found
