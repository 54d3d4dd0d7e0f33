"""What lies under `source.uri`, file by file: a picture, a mask, or left out for a reason. Runs in the driver: no
torch, no decoding."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from fsspec.core import has_magic

from schemas.errors import SpecError, StoreAway
from schemas.job import Source
from schemas.near_path import near_path
from schemas.outcomes import BEYOND
from stages.ingest.source.file_names import MASK_NAME, in_a_mask_folder, looks_like_a_mask, not_meant, other_kind
from stages.ingest.source.files import Root, called, locate, root, root_of
from stages.ingest.source.hearing import all_heard
from stages.ingest.source.kind import check_address, check_kind, holds
from stages.ingest.source.ours import NAME_IT, folders_of_ours, is_below
from stages.ingest.source.packed import Packed
from stages.ingest.source.walking import Found, look_at, packed, shown_path, walk
from stages.retrying import persistently

_BY_SUFFIX = ("suffix ", "no suffix", "archive")
_OUTSIDE = ("link that leads out of the source", "source.links: follow reads what it leads to")
_MANY = {
    "looks like a mask": "called like masks",
    "thumbnail": "thumbnails",
    "masks": "named as masks are",
    _OUTSIDE[0]: "links that lead out of the source",
}
"""Reasons of several files, where they read otherwise than of one."""


@dataclass(frozen=True)
class LeftOut:
    """A file that is no scene and no mask. reason: a few words to count by. detail: a sentence, where one helps."""

    uri: str
    reason: str
    detail: str | None = None


@dataclass
class Listing:
    """pictures, masks: sorted by path. root: the filesystem that their paths are on. beyond: pictures that
    `source.limit` keeps out; they are in `left_out` too. neighbours: paths of files that were not named, in the folders
    of pictures that were. elsewhere: paths of the files that links bring in from outside the source.

    Masks are the files that `masks: beside` reads, whether or not a picture is found for them.
    """

    root: Root
    pictures: Packed[Found] = field(default_factory=packed)
    masks: list[Found] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    beyond: Packed[Found] = field(default_factory=packed)
    neighbours: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def leave_out(self, path: str, reason: str, detail: str | None = None) -> None:
        self.left_out.append(LeftOut(self.root.url_of(path), reason, detail))


def list_source(source: Source, output: str | None = None) -> Listing:
    """Every file that `source.uri` names, in exactly one place of the listing.

    A folder is searched recursively for `source.suffixes` (any case); names that start with a dot, of files and of
    folders below the source, are left out. A glob or a single file is taken at its word, whatever its suffix. With
    `masks: beside` mask files are never pictures; nor is the COCO JSON. At most `source.limit` pictures are taken.
    output: where the job writes to; should it lie within the source it is one line, whatever it holds. So is a folder
    below the source that another job, or `unscene dataset`, has written.

    Raises SpecError when there is no picture, or no way to list.
    """
    if source.uri is None:
        raise SpecError("source.uri is not set: this job starts from source.handles and has no pictures of its own")
    check_address(source.uri)
    try:
        at = root(source)
        base = root_of(source)
        files, folder = persistently(lambda: _listed(at, base, source.links == "follow"), called(source.uri, source))
    except StoreAway:
        raise
    except ImportError as error:
        raise SpecError(
            f"source.uri: {source.uri} needs a package that is not installed ({error}); install it"
        ) from error
    except Exception as error:  # every backend has its own classes for a missing bucket and for refused access
        raise SpecError(
            f"source.uri: cannot list {source.uri}: {type(error).__name__}: {' '.join(str(error).split())}; check the "
            "address and the credentials in the environment"
        ) from error
    listing = Listing(at)
    if folder is None:
        check_kind(at.fs, [file.path for file in files], source.uri)
    own = None if output is None else locate(output, source)[1].rstrip("/")
    within = False
    ours = {} if folder is None else folders_of_ours((file.path for file in files), folder)
    for file in files:
        if own is not None and file.path.startswith(f"{own}/"):
            within = True
        elif not is_below(file.path, ours):
            _place(file, folder, source, listing)
    if own is not None and within:
        listing.leave_out(own, "the output of this job")
    for path, what in ours.items():
        if path != own:
            listing.leave_out(path, what, NAME_IT)
    if folder is None and source.masks == "beside":
        _add_masks_beside(listing, base, source)
    if not listing.pictures:
        check_there(source)
        if own is not None and f"{at.path.rstrip('/')}/".startswith(f"{own}/"):
            raise SpecError(f"output: {output} holds the pictures of source.uri; give the job a folder of its own")
        held = holds([file.path for file in files]) or _nothing(at)
        wanted = f"{held}{_set_aside(listing)} (looked for {' '.join(source.suffixes)})" if folder is not None else ""
        raise SpecError(f"source.uri: no images under {source.uri}{wanted}; {_remedy(listing)}")
    if source.limit is not None:
        every, listing.pictures = listing.pictures.emptied(), packed()
        for number, file in enumerate(every):
            (listing.pictures if number < source.limit else listing.beyond).add(file)
    for file in listing.beyond:
        listing.leave_out(file.path, BEYOND)
    listing.elsewhere = [file.path for file in (*listing.pictures, *listing.masks) if file.elsewhere]
    return listing


def check_there(source: Source) -> None:
    """Raises SpecError where the source is a path on this machine and misspelt: what can be told without listing it."""
    if source.uri is None or "://" in source.uri or "::" in source.uri:
        return
    at = root(source)
    if not has_magic(at.path) and not at.fs.exists(at.path) and (near := near_path(at.path)):
        raise SpecError(f"source.uri: no images under {source.uri}, which is not there; did you mean {near}?")


def _set_aside(listing: Listing) -> str:
    """How many files with a suffix that is looked for are no pictures for another reason: `, of them 2 masks`."""
    reasons = Counter(out.reason for out in listing.left_out if not out.reason.startswith(_BY_SUFFIX))
    reasons["masks"] += len(listing.masks)
    said = [f"{number} {_said(reason, number)}" for reason, number in reasons.most_common() if number]
    return f", of them {' and '.join(said)}" if said else ""


def _said(reason: str, number: int) -> str:
    return reason if number == 1 and reason == _OUTSIDE[0] else _MANY.get(reason, reason)


def _remedy(listing: Listing) -> str:
    """What to do about a source without a picture."""
    if any(out.reason == _OUTSIDE[0] for out in listing.left_out):
        return "source.links: follow reads what links lead to"
    return "check the prefix or set source.suffixes"


def _nothing(at: Root) -> str:
    """What to say of a place without a single file."""
    return ", a folder without a file" if at.fs.isdir(at.path) else ", where there is nothing"


def _listed(at: Root, base: str, follow: bool) -> tuple[Packed[Found], str | None]:
    """`_files`, sorted by path; as the source is now, and not as it was listed before a try that failed."""
    if not at.local:
        at.fs.invalidate_cache()
    with nullcontext() if at.local else all_heard(at.fs):
        found, folder = _files(at, base, follow)
        return packed(found), folder


def _files(at: Root, base: str, follow: bool) -> tuple[Iterator[Found] | list[Found], str | None]:
    """Files that the address names, and the folder if it names one. A file or folder whose own name holds `[` or `*`
    wins over the pattern that it looks like."""
    if at.fs.isfile(at.path):
        return [look_at(at, at.path, base)], None
    if at.fs.isdir(at.path):
        return walk(at, at.path.rstrip("/"), follow), at.path.rstrip("/")
    if has_magic(at.path):
        return _matches(at, base), None
    return [], at.path


def _matches(at: Root, base: str) -> list[Found]:
    folder, _, name = at.path.rpartition("/")
    pattern = f"{glob.escape(folder)}/{name}" if has_magic(folder) and at.fs.isdir(folder) else at.path
    found = (look_at(at, path, base) for path in at.fs.glob(pattern))
    return [file for file in found if file.trouble is not None or not at.fs.isdir(file.path)]


def _place(file: Found, folder: str | None, source: Source, listing: Listing) -> None:
    """Puts a file where it belongs. folder: that was searched, None where the file was named."""
    name = file.path.rpartition("/")[2]
    if file.trouble is not None:
        listing.leave_out(file.path, *file.trouble)
    elif file.elsewhere and source.links == "inside":
        listing.leave_out(file.path, *_OUTSIDE)
    elif _is_coco(listing.root, file, source):
        listing.leave_out(file.path, "the annotation file")
    elif folder is not None and (reason := not_meant(file.path.removeprefix(folder).lstrip("/"))):
        listing.leave_out(file.path, *reason)
    elif source.masks == "beside" and MASK_NAME.fullmatch(name):
        listing.masks.append(file)
    elif folder is not None and (reason := other_kind(name, source)):
        listing.leave_out(file.path, *reason)
    elif source.masks == "beside" and (looks_like_a_mask(name) or in_a_mask_folder(file.path, listing.root.path)):
        listing.leave_out(
            file.path,
            "looks like a mask",
            "a mask is read as mask0.png in a folder of one picture, or as <name of the picture>.mask0.png; "
            + ("rename it" if name.lower().endswith(".png") else "save it as a PNG of such a name"),
        )
    else:
        listing.pictures.add(file)


def _is_coco(at: Root, file: Found, source: Source) -> bool:
    if source.coco is None:
        return False
    other, path = locate(source.coco, source)
    return type(other) is type(at.fs) and path == file.path


def _add_masks_beside(listing: Listing, base: str, source: Source) -> None:
    """The masks in the folders of pictures that were named one by one: nobody names those. They may belong to the
    neighbours too."""
    at, taken = listing.root, {file.path for file in (*listing.masks, *listing.pictures)}
    for folder in sorted({file.path.rpartition("/")[0] for file in listing.pictures}):
        for path in sorted(str(name) for name in persistently(partial(at.fs.ls, folder, detail=False), at.uri)):
            if MASK_NAME.fullmatch(path.rpartition("/")[2]) and path not in taken:
                found = persistently(partial(look_at, at, path, base), at.uri)
                outside = _OUTSIDE if found.elsewhere and source.links == "inside" else None
                if (why := found.trouble or outside) is not None:
                    listing.leave_out(path, *why)
                else:
                    listing.masks.append(found)
            elif path not in taken:
                listing.neighbours.append(shown_path(path))
    listing.masks.sort(key=lambda file: file.path)
