"""Which picture of the source each image of a COCO JSON is: the same path, or a looser likeness that leaves no choice.

Tools write another name than the file has: escaped for URLs, in another case, with the path on the annotator's machine,
with a prefix of their own. Such a name counts only where one picture and one image are alike that way, those included
that have found each other already; everything else would be a guess.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from schemas.errors import SpecError
from stages.ingest.given_masks.coco_entries import CocoFile, counted
from stages.ingest.given_masks.coco_forms import FORMS, Name, clean_path, end_of_path, whole_path


@dataclass(frozen=True)
class Matches:
    """of: picture's path -> image id. ambiguous: picture's path -> a sentence that names what it hangs between.
    unmatched: image id -> why no picture has it. said: how many matched by which looser likeness, and what is left."""

    of: dict[str, str] = field(default_factory=dict)
    ambiguous: dict[str, str] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def match_names(paths: Sequence[str], coco: CocoFile) -> Matches:
    """paths: of all pictures, relative to the source, those beyond `source.limit` too: what is the only one among a few
    may not be among all."""
    matching = _Matching(dict.fromkeys(paths), coco)
    matching.go()
    return matching.found


def check_any(coco: CocoFile, matches: Matches) -> None:
    """Raises SpecError when no picture gets a mask from the file, not even one that cannot be drawn."""
    matched = [coco.entries[id].annotations for id in matches.of.values()]
    if any(one.dropped is None for annotations in matched for one in annotations):
        return
    dropped = [one for annotations in matched for one in annotations]
    if matches.ambiguous:
        why = next(iter(matches.ambiguous.values()))
    elif dropped:
        why = f"of annotation {dropped[0].id} for one, {dropped[0].dropped}; export polygons or masks"
    elif coco.orphans:
        why = (
            f"of annotation {coco.orphans[0][0]} for one, {coco.orphans[0][1]}; export images and annotations together"
        )
    elif matches.unmatched:
        id, reason = next(iter(matches.unmatched.items()))
        name = coco.entries[id].file_name
        why = f"image {id} ({name}) for one: {reason}; start source.uri at the folder that file_name starts from"
    else:
        why = "none of its annotations belongs to one; name the JSON of these pictures, or set source.masks: none"
    raise SpecError(f"source.coco: {coco.url} has no segmentation for any picture of the source: {why}")


class _Matching:
    """Levels from the tightest to the loosest; what a level matched, no later one takes away."""

    def __init__(self, paths: Iterable[str], coco: CocoFile) -> None:
        self.found = Matches()
        self._coco = coco
        self._pictures = {path: Name(path, False) for path in paths}
        self._images = {id: Name(entry.file_name, True) for id, entry in coco.entries.items() if entry.file_name}
        self._taken: set[str] = set()
        self._contested: set[str] = set()
        self._kinds: dict[str, list[str]] = defaultdict(list)

    def go(self) -> None:
        """Fills `found`."""
        ids = list(self._images)
        often = Counter(name.clean for name in self._pictures.values())
        twins = [path for path, name in self._pictures.items() if often[name.clean] > 1]  # `a/b` and one called `a\\b`
        self._level(twins, ids, lambda name: name.raw, "")
        self._level(list(self._pictures), ids, lambda name: name.clean, "")
        paths, ids = self._alike()
        if paths and ids:
            for form, kind in enumerate(FORMS):
                self._level(paths, ids, partial(whole_path, form=form), kind)
            for parts in range(self._depth(paths, ids), 0, -1):
                which = "the base name alone" if parts == 1 else "the end of the path"
                for form, kind in enumerate(FORMS):
                    label = f"{which}, {kind}" if form else which
                    self._level(paths, ids, partial(end_of_path, form=form, parts=parts), label, (form, parts))
        self._say()

    def _level(
        self,
        paths: list[str],
        ids: list[str],
        key: Callable[[Name], str | None],
        kind: str,
        end: tuple[int, int] | None = None,
    ) -> None:
        """Pictures and images of one key. end: (form, parts) where only the ends of the paths are compared."""
        images: dict[str, list[str]] = defaultdict(list)
        for id in ids:
            if (at := key(self._images[id])) is not None:
                images[at].append(id)
        free = {at for at, alike in images.items() if any(map(self._is_free, alike))}
        pictures: dict[str, list[str]] = defaultdict(list)
        for path in paths if free else ():
            if (at := key(self._pictures[path])) in free and at is not None:
                pictures[at].append(path)
        for at, alike in pictures.items():
            if len(alike) == len(images[at]) == 1:
                if alike[0] not in self.found.of and alike[0] not in self.found.ambiguous:
                    self._match(alike[0], images[at][0], kind)
            else:
                self._contest(alike, images[at], end)

    def _match(self, path: str, id: str, kind: str) -> None:
        self.found.of[path] = id
        self._taken.add(id)
        if kind:
            self._kinds[kind].append(path)

    def _contest(self, paths: list[str], ids: list[str], end: tuple[int, int] | None) -> None:
        """Several are alike. Where some of them found each other by their folders, folders tell, and what lies in other
        folders is not alike after all."""
        free = [path for path in paths if path not in self.found.of and path not in self.found.ambiguous]
        open_ids = [id for id in ids if self._is_free(id)]
        if end is not None and (len(free) < len(paths) or len(open_ids) < len(ids)):
            form, parts = end
            short_ids = [id for id in open_ids if len(self._images[id].forms[form]) == parts]
            short = any(len(self._pictures[path].forms[form]) == parts for path in free)
            if not short_ids and not short:
                return
            if not short:
                open_ids = short_ids
            elif not short_ids:
                free = [path for path in free if len(self._pictures[path].forms[form]) == parts]
        for path in free:
            self.found.ambiguous[path] = self._ambiguity(path, paths, open_ids, ids)
        if free:
            self._contested.update(open_ids)

    def _ambiguity(self, path: str, paths: list[str], open_ids: list[str], ids: list[str]) -> str:
        first = self._shown(open_ids[0])
        remedy = "write the picture's path below source.uri as its file_name"
        if len(ids) == 1:
            other = next(one for one in paths if one != path)
            return f"{first} of {self._coco.url} could be {path} as well as {other}; {remedy}"
        second = self._shown(next(id for id in [*open_ids, *ids] if id != open_ids[0]))
        if all(self._images[id].clean == clean_path(path) for id in open_ids):
            remedy = "put their annotations under one image id, or take one out"
        return f"{first} and {second} of {self._coco.url} could both be {path}; {remedy}"

    def _shown(self, id: str) -> str:
        return f"image {id} ({self._coco.entries[id].file_name})"

    def _is_free(self, id: str) -> bool:
        return id not in self._taken and id not in self._contested

    def _alike(self) -> tuple[list[str], list[str]]:
        """Pictures and images, taken ones too, of the loosest base names that a free picture and a free image share."""
        if self._pictures.keys() == self.found.of.keys() or not any(map(self._is_free, self._images)):
            return [], []
        pictures = {path: {name.forms[-1][-1]} for path, name in self._pictures.items()}
        images = {id: {name.forms[-1][-1], name.forms[-2][-1]} for id, name in self._images.items()}
        wanted = {base for path, bases in pictures.items() if path not in self.found.of for base in bases}
        wanted &= {base for id, bases in images.items() if self._is_free(id) for base in bases}
        return (
            [path for path, bases in pictures.items() if bases & wanted],
            [id for id, bases in images.items() if bases & wanted],
        )

    def _depth(self, paths: list[str], ids: list[str]) -> int:
        return min(
            max(len(form) for path in paths for form in self._pictures[path].forms),
            max(len(form) for id in ids for form in self._images[id].forms),
        )

    def _say(self) -> None:
        found, entries, said = self.found, self._coco.entries, self.found.said
        for id, entry in entries.items():
            if id not in self._taken:
                why = "it could be more than one picture" if id in self._contested else "no such picture"
                found.unmatched[id] = why if entry.file_name else "it has no file_name"
        for kind, paths in self._kinds.items():
            name = entries[found.of[paths[0]]].file_name
            said.append(f"{counted(len(paths), 'picture')} matched by {kind}, such as {paths[0]} for {name}")
        without = [path for path in self._pictures if path not in found.of and path not in found.ambiguous]
        empty = [path for path, id in found.of.items() if not entries[id].annotations]
        for paths, what in ((without, "without an entry"), (empty, "with an entry that has no annotation")):
            if paths:
                said.append(
                    f"{counted(len(paths), 'picture')} {what}, such as {paths[0]}: Segment Anything takes such apart"
                )
        if found.ambiguous:
            many, first = counted(len(found.ambiguous), "picture"), next(iter(found.ambiguous.values()))
            said.append(f"{many} between several entries: {first}")
        if found.unmatched:
            id = next(iter(found.unmatched))
            many = counted(len(found.unmatched), "entry", "entries")
            said.append(f"{many} without a picture, such as {self._shown(id)}: {found.unmatched[id]}")
