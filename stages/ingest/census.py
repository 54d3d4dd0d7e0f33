"""The census of a source: every picture with the masks that are its own, and what becomes of every other file and
annotation. Taken once in the driver, before work starts; workers are told and look for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from schemas.job import JobSpec, Source
from schemas.outcomes import BEYOND, AccountLine
from stages.ingest.given_masks.coco_entries import CocoFile, Entry
from stages.ingest.given_masks.coco_file import read_coco
from stages.ingest.given_masks.coco_names import check_any, match_names
from stages.ingest.given_masks.owners import owners_of
from stages.ingest.source.file_names import looks_like_a_mask
from stages.ingest.source.files import root_of
from stages.ingest.source.hashing import Hashed, hash_file, hash_of_all
from stages.ingest.source.listing import Listing, list_source
from stages.ingest.source.packed import Packed
from stages.ingest.source.walking import Found
from stages.telling import tell


@dataclass(frozen=True)
class Picked:
    """A picture of the source, as a listing tells of it.

    bytes: its size, where the filesystem states it. masks: addresses of its mask files, by number, or ids of its
    annotations, in the order of the annotation file. masks_stamp: changes when they do, as far as can be told without
    reading them. masks_sha256: of annotations, which are at hand; mask files are hashed with the picture. entry: id of
    the picture in the annotation file. masks_fault: why it is not known which masks are its own.
    """

    uri: str
    stamp: str | None = None
    bytes: int | None = None
    masks: tuple[str, ...] = ()
    masks_stamp: str | None = None
    masks_sha256: str | None = None
    entry: str | None = None
    masks_fault: str | None = None


def packed_pictures(pictures: Iterable[Picked] = ()) -> Packed[Picked]:
    """Pictures by address."""
    return Packed(
        lambda one: (
            one.uri,
            one.stamp,
            one.bytes,
            one.masks,
            one.masks_stamp,
            one.masks_sha256,
            one.entry,
            one.masks_fault,
        ),
        lambda row: Picked(row[0], row[1], row[2], tuple(row[3]), *row[4:]),
        pictures,
    )


@dataclass
class Census:
    """pictures: in the order of their addresses. lines: of the account, for what belongs to no picture of the plan.
    remarks: what a person should know before work starts, each a sentence. beyond: addresses of the pictures that
    `source.limit` keeps out. annotations: address of the annotation file."""

    pictures: Packed[Picked] = field(default_factory=packed_pictures)
    lines: list[AccountLine] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    beyond: set[str] = field(default_factory=set)
    annotations: str | None = None


@dataclass(frozen=True)
class Read:
    """A picture of the source whose bytes, and those of its masks, have been read once. masks_sha256: over all masks;
    None where there are none, or `masks_error` says why they could not be read."""

    picked: Picked
    hashed: Hashed
    masks_sha256: str | None
    masks_error: str | None


def take_census(spec: JobSpec) -> Census:
    """Lists the source and gives every mask to its picture. Raises SpecError."""
    tell("listing the source")
    listing = list_source(spec.source, spec.output)
    if spec.source.masks != "none":
        tell(f"giving masks to {len(listing.pictures):,} pictures")
    census = Census(annotations=spec.source.coco)
    census.beyond = {listing.root.url_of(file.path) for file in listing.beyond}
    if spec.source.masks == "beside":
        _with_masks_beside(listing, census)
    elif spec.source.masks == "coco":
        _with_annotations(listing, spec.source, census)
    else:
        for file in listing.pictures:
            census.pictures.add(Picked(listing.root.url_of(file.path), file.stamp, file.size))
    alike = [file.path for file in listing.pictures if looks_like_a_mask(file.path.rpartition("/")[2])]
    if alike:
        census.remarks.append(
            f"pictures that are called like masks, and are scenes as source.masks is {spec.source.masks}: "
            f"{len(alike)}, such as {alike[0]}; "
            + ("source.masks: beside reads them as masks, and " if spec.source.masks == "none" else "")
            + "source.suffixes, or a pattern in source.uri, leaves them out"
        )
    if listing.elsewhere:
        census.remarks.append(
            f"files that links bring in from outside the source: {len(listing.elsewhere)}, such as "
            f"{listing.elsewhere[0]}; source.links: inside leaves them out"
        )
    census.lines += [AccountLine("file", out.uri, "left out", out.reason, out.detail) for out in listing.left_out]
    return census


def read_picked(picked: Picked, spec: JobSpec) -> Read:
    """Hashes a picture and its mask files, block by block."""
    limit, source = spec.ingest.max_bytes, spec.source
    found = hash_file(picked.uri, source, limit)
    if picked.entry is not None or not picked.masks:
        return Read(picked, found, picked.masks_sha256, None)
    masks = [hash_file(mask, source, limit) for mask in picked.masks]
    bad = next((mask for mask in masks if mask.sha256 is None), None)
    if bad is not None:
        return Read(picked, found, None, f"mask {bad.uri}: {bad.error}")
    return Read(picked, found, hash_of_all([str(mask.sha256) for mask in masks]), None)


def _with_annotations(listing: Listing, source: Source, census: Census) -> None:
    coco, at, base = read_coco(source), listing.root, root_of(source)
    paths = {file.path.removeprefix(base).lstrip("/"): file for file in (*listing.pictures, *listing.beyond)}
    matches = match_names(list(paths), coco)
    check_any(coco, matches)
    census.remarks += [*coco.remarks, *matches.said]
    wanted = {file.path for file in listing.pictures}
    for path, file in paths.items():
        entry = coco.entries[matches.of[path]] if path in matches.of else None
        if file.path in wanted:
            census.pictures.add(
                Picked(
                    at.url_of(file.path),
                    file.stamp,
                    file.size,
                    tuple(one.id for one in entry.annotations) if entry else (),
                    masks_sha256=entry.digest() if entry and entry.annotations else None,
                    entry=entry.id if entry else None,
                    masks_fault=matches.ambiguous.get(path),
                )
            )
        elif entry is not None:
            census.lines += _not_used(coco, entry, BEYOND, f"of {at.url_of(file.path)}")
    for image, why in matches.unmatched.items():
        entry = coco.entries[image]
        census.lines += _not_used(coco, entry, "no such picture", f"image {image} ({entry.file_name}): {why}")
    for annotation, why in coco.orphans:
        census.lines.append(AccountLine("annotation", coco.url, "left out", "of no image", why, annotation))


def _not_used(coco: CocoFile, entry: Entry, reason: str, detail: str) -> Iterator[AccountLine]:
    for one in entry.annotations:
        yield AccountLine("annotation", coco.url, "left out", reason, detail, one.id)


def _with_masks_beside(listing: Listing, census: Census) -> None:
    owners, at = owners_of(listing), listing.root
    for file in listing.pictures:
        masks = owners.masks.get(file.path, [])
        census.pictures.add(
            Picked(
                at.url_of(file.path),
                file.stamp,
                file.size,
                tuple(at.url_of(mask.path) for mask in masks),
                _stamp(masks),
                masks_fault=owners.unclear.get(file.path),
            )
        )
    if owners.loosely:
        census.remarks.append(
            f"masks that carry their picture's name in another case or Unicode form, and count as its own: "
            f"{len(owners.loosely)}, such as {owners.loosely[0]}"
        )
    without = sum(not picked.masks and not picked.masks_fault for picked in census.pictures)
    if without:
        census.remarks.append(f"pictures without a mask beside them: {without}; Segment Anything takes them apart")


def _stamp(masks: Sequence[Found]) -> str | None:
    stamps = [mask.stamp for mask in masks]
    return hash_of_all([str(stamp) for stamp in stamps]) if masks and None not in stamps else None
