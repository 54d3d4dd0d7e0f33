"""Whose masks lie beside the pictures: one picture, one owner, or a sentence that names all that it could be."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field

from schemas.outcomes import BEYOND
from stages.ingest.source.file_names import MASK_NAME
from stages.ingest.source.listing import Listing
from stages.ingest.source.walking import Found

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"),
    *(".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
)
"""A file of a folder that may be what `mask0.png` was drawn on, though this job does not read it."""


@dataclass
class Owners:
    """masks: path of a picture -> its masks, by ascending number. unclear: path of a picture -> why it is not known
    which masks are its own. loosely: masks that carry their picture's name in another case or Unicode form."""

    masks: dict[str, list[Found]] = field(default_factory=dict)
    unclear: dict[str, str] = field(default_factory=dict)
    loosely: list[str] = field(default_factory=list)


@dataclass
class _Folder:
    """named: stem of the mask's name -> (number, file); "" for plain `mask0.png`. pictures: name -> file. others: names
    of pictures that the job does not take; beyond: those of them that `source.limit` keeps out."""

    named: dict[str, list[tuple[int, Found]]] = field(default_factory=lambda: defaultdict(list))
    pictures: dict[str, Found] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    beyond: set[str] = field(default_factory=set)


def owners_of(listing: Listing) -> Owners:
    """Gives every mask file of the listing to its picture; masks of none are moved to `listing.left_out`.

    `<name>.maskN.png`, where <name> is a picture's whole name or its name without the suffix, belongs to it; by another
    case or another Unicode form only where that leaves one picture. `maskN.png` belongs to the one picture of its
    folder.
    """
    found, masks = Owners(), listing.masks
    listing.masks = []
    for folder in _folders(listing, masks).values():
        _share_out(folder, listing, found)
    return found


def _folders(listing: Listing, masks: list[Found]) -> dict[str, _Folder]:
    folders: dict[str, _Folder] = {}
    for mask in masks:
        parent, _, name = mask.path.rpartition("/")
        match = MASK_NAME.fullmatch(name)
        assert match is not None, name
        folders.setdefault(parent, _Folder()).named[match["stem"] or ""].append((int(match["number"]), mask))
    for picture in listing.pictures:
        parent, _, name = picture.path.rpartition("/")
        if parent in folders:
            folders[parent].pictures[name] = picture
    left_out = [
        listing.root.path_of(file.uri) or ""
        for file in listing.left_out
        if file.reason not in ("thumbnail", "looks like a mask")
    ]
    for path in (*left_out, *listing.neighbours):
        parent, _, name = path.rpartition("/")
        if parent in folders and not name.startswith(".") and _suffix(name) in PICTURE_SUFFIXES:
            folders[parent].others.add(name)
    for file in listing.beyond:
        parent, _, name = file.path.rpartition("/")
        if parent in folders:
            folders[parent].others.add(name)
            folders[parent].beyond.add(name)
    return folders


def _share_out(folder: _Folder, listing: Listing, found: Owners) -> None:
    plain, known = folder.named.pop("", []), _Names(folder)
    whole_names_first = sorted(folder.named.items(), key=lambda item: (item[0] not in folder.pictures, item[0]))
    for stem, masks in whole_names_first:
        names, loosely = known.called(stem)
        if not names:
            for _, mask in masks:
                listing.leave_out(mask.path, "mask of no picture", f"no picture of this folder is called {stem}")
        elif len(names) > 1:
            _unclear(f"{stem}.mask{masks[0][0]}.png", sorted(names), folder, found)
            _not_given(masks, sorted(names), listing)
        elif names[0] in folder.others:
            for _, mask in masks:
                listing.leave_out(mask.path, *_of_a_picture_left_out(names[0], folder))
        else:
            path = folder.pictures[names[0]].path
            found.masks.setdefault(path, []).extend(mask for _, mask in sorted(masks, key=_by_number))
            if loosely:
                found.loosely.extend(mask.path for _, mask in masks)
    if plain:
        _give_plain(sorted(plain, key=_by_number), folder, listing, found)


def _give_plain(plain: list[tuple[int, Found]], folder: _Folder, listing: Listing, found: Owners) -> None:
    """`mask0.png ...`: of the one picture of the folder, or of nobody."""
    everybody = sorted([*folder.pictures, *folder.others])
    without = [name for name in folder.pictures if folder.pictures[name].path not in found.masks]
    if len(everybody) == 1 and without:
        found.masks[folder.pictures[without[0]].path] = [mask for _, mask in plain]
    elif not everybody:
        for _, mask in plain:
            listing.leave_out(mask.path, "mask of no picture", "no picture lies in its folder")
    elif len(everybody) == 1 or not without:
        why = (
            _of_a_picture_left_out(everybody[0], folder)
            if folder.others
            else ("mask of no picture", f"{everybody[0]} has masks that carry its name")
        )
        for _, mask in plain:
            listing.leave_out(mask.path, *why)
    else:
        _unclear(plain[0][1].path.rpartition("/")[2], everybody, folder, found)
        _not_given(plain, everybody, listing)


def _of_a_picture_left_out(name: str, folder: _Folder) -> tuple[str, str]:
    """Why a mask is left out whose picture is."""
    if name in folder.beyond:
        return BEYOND, f"of {name}"
    return "mask of no picture", f"{name} is left out itself"


class _Names:
    """The pictures of a folder by their whole names, by those without their suffix, and by either in one case and
    Unicode form. A flat bucket is one folder of a million: each is looked up and never searched for."""

    def __init__(self, folder: _Folder) -> None:
        self._whole = {*folder.pictures, *folder.others}
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._alike: dict[str, list[str]] = defaultdict(list)
        for name in (*folder.pictures, *folder.others):
            self._stems[_without_suffix(name)].append(name)
            for form in {_plain(name), _plain(_without_suffix(name))}:
                self._alike[form].append(name)

    def called(self, stem: str) -> tuple[list[str], bool]:
        """Pictures that a mask's stem may mean: by the whole name, else by the name without its suffix, else by either
        in another case or Unicode form, which is told."""
        if stem in self._whole:
            return [stem], False
        if stem in self._stems:
            return self._stems[stem], False
        return self._alike.get(_plain(stem), []), True


def _unclear(mask: str, names: list[str], folder: _Folder, found: Owners) -> None:
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    for name in names:
        if name in folder.pictures and folder.pictures[name].path not in found.masks:
            found.unclear[folder.pictures[name].path] = (
                f"{mask} could belong to any of {len(names)} pictures ({shown}); name it {name}.mask0.png and so on, "
                "or give each picture its own folder"
            )


def _not_given(masks: list[tuple[int, Found]], names: list[str], listing: Listing) -> None:
    for _, mask in masks:
        listing.leave_out(mask.path, "mask of more than one picture", f"it could belong to {', '.join(names[:4])}")


def _by_number(mask: tuple[int, Found]) -> tuple[int, str]:
    return mask[0], mask[1].path


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] or name


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2].lower()}"
