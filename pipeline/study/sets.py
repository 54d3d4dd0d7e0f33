"""What is asked about: pictures of one scene and one prompt, one of every method, drawn by lot.

All pictures take part, kept or not: what a method fails at is its own. Scenes are drawn first and each gives one set
before any gives a second, so that no scene with many prompts decides alone. The lot is a hash of seed and name: the
same seed draws the same, in whatever order tables are read, and memory does not grow with the corpus.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.study.compared import Compared
from pipeline.study.images import opened
from schemas.errors import CommandError

BACKGROUND = "background"
_CANDIDATES = 20
"""Scenes looked at for each set wanted, at most."""
_COLUMNS = ["scene_id", "key", "text", "concepts", "file", "mode", "into"]

Slot = tuple[Any, ...]
"""What was asked of a picture: text, concepts, mode, the picture that it was placed into, its number among these."""


@dataclass(frozen=True)
class PictureSet:
    """concept: index of the one whose identity is asked for, None where it has none that is a thing; mask: its mask;
    source: the scene's square picture; pictures: by method; digest: SHA-256 over their files."""

    scene_id: str
    text: str
    concept: int | None
    mask: dict[str, Any] | None
    source: Image.Image
    pictures: dict[str, Image.Image]
    digest: str


@dataclass
class Drawn:
    """sets: those drawn; left_out: why scenes gave none -> how many."""

    sets: list[PictureSet] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def lot(seed: int, *names: object) -> str:
    """Where a name comes in the lot of `seed`: the smaller, the earlier."""
    return hashlib.sha256("\0".join(map(str, (seed, *names))).encode()).hexdigest()


def draw_sets(compared: Sequence[Compared], wanted: int, seed: int) -> Drawn:
    """`wanted` sets, or as many as there are.

    Raises CommandError where there is none at all.
    """
    drawn = Drawn()
    first = min(compared, key=lambda one: len(one.reader.shards("variations")))
    withdrawn = frozenset[str]().union(*(one.withdrawn for one in compared))
    scenes = heapq.nsmallest(
        _CANDIDATES * wanted, first.reader.find("variations", ""), key=lambda found: lot(seed, "scene", found[0])
    )
    offers = (_offer(scene, shard, compared, seed, drawn) for scene, shard in scenes if scene not in withdrawn)
    waiting: Iterator[_Offer | None] = offers
    while len(drawn.sets) < wanted:
        again: list[_Offer | None] = []
        for offer in waiting:
            if offer is not None and len(drawn.sets) < wanted:
                _take(offer, compared, seed, drawn)
                again += [offer] if offer.slots else []
            if len(drawn.sets) >= wanted:
                break
        if not again:
            break
        waiting = iter(again)
    if not drawn.sets:
        why = f": {reasons(drawn.left_out)}" if drawn.left_out else ""
        raise CommandError(
            f"study: no scene has pictures of one prompt by all of {_names(compared)}{why}; see each report"
        )
    return drawn


def reasons(left_out: Counter[str]) -> str:
    """`3 scenes not drawn by every method, 1 scene unreadable`."""
    return ", ".join(f"{count} scene{'s' if count > 1 else ''} {why}" for why, count in sorted(left_out.items()))


@dataclass
class _Offer:
    """A scene and what may still be asked about it. places: of each method, the shard and the rows by slot."""

    scene_id: str
    slots: list[Slot]
    places: list[tuple[int, dict[Slot, Row]]]
    concepts: dict[int, Row]


def _offer(scene: str, shard: int, compared: Sequence[Compared], seed: int, drawn: Drawn) -> _Offer | None:
    try:
        shards = [_shard_of(one.reader, "variations", scene, shard) for one in compared]
        if None in shards:
            drawn.left_out["without pictures by every method"] += 1
            return None
        places = [
            (at, _slots(one.reader, scene, at)) for one, at in zip(compared, shards, strict=True) if at is not None
        ]
        concepts = [_concepts(one.reader, scene, at) for one, (at, _) in zip(compared, places, strict=True)]
    except UNREADABLE as error:
        drawn.left_out[f"unreadable ({type(error).__name__})"] += 1
        return None
    if any(other != concepts[0] for other in concepts[1:]):
        drawn.left_out["with other concepts in another output"] += 1
        return None
    common = set[Slot].intersection(*(set(found) for _, found in places))
    if not common:
        drawn.left_out["without a prompt that all methods share"] += 1
        return None
    return _Offer(scene, sorted(common, key=lambda slot: lot(seed, scene, slot)), places, concepts[0])


def _shard_of(reader: OutputReader, table: str, scene: str, likely: int) -> int | None:
    """The shard that holds a scene: in methods of one evaluation the same in all."""
    commit = reader.commit(table, likely)
    if commit is not None and scene in commit.done:
        return likely
    return next((shard for found, shard in reader.find(table, scene) if found == scene), None)


def _slots(reader: OutputReader, scene: str, shard: int) -> dict[Slot, Row]:
    rows = reader.rows("variations", shard, [scene], _COLUMNS).get(scene, [])
    seen: Counter[Slot] = Counter()
    found: dict[Slot, Row] = {}
    for row in sorted(rows, key=lambda row: str(row["key"])):
        asked = (row["text"], tuple(row["concepts"]), row.get("mode") or "variations", row.get("into"))
        found[(*asked, seen[asked])] = row
        seen[asked] += 1
    return found


def _concepts(reader: OutputReader, scene: str, shard: int) -> dict[int, Row]:
    at = _shard_of(reader, "concepts", scene, shard)
    if at is None:
        return {}
    rows = reader.rows("concepts", at, [scene], ["scene_id", "index", "mask", "origin"]).get(scene, [])
    return {row["index"]: row for row in rows}


def _take(offer: _Offer, compared: Sequence[Compared], seed: int, drawn: Drawn) -> None:
    """Adds the scene's next set, with the files of its pictures."""
    slot = offer.slots.pop(0)
    things = [index for index in slot[1] if offer.concepts.get(index, {}).get("origin", BACKGROUND) != BACKGROUND]
    concept = min(things, key=lambda index: lot(seed, offer.scene_id, slot, index), default=None)
    try:
        files = [
            _file(one.reader, "variations", shard, rows[slot]["file"])
            for one, (shard, rows) in zip(compared, offer.places, strict=True)
        ]
        pictures = {one.name: opened(file) for one, file in zip(compared, files, strict=True)}
        home = _shard_of(compared[0].reader, "scenes", offer.scene_id, offer.places[0][0])
        source = opened(_file(compared[0].reader, "scenes", -1 if home is None else home, f"{offer.scene_id}.png"))
    except UNREADABLE as error:
        drawn.left_out[f"unreadable ({type(error).__name__})"] += 1
        offer.slots.clear()
        return
    mask = None if concept is None else offer.concepts[concept]["mask"]
    digest = hashlib.sha256(b"".join(hashlib.sha256(file).digest() for file in files)).hexdigest()
    drawn.sets.append(PictureSet(offer.scene_id, str(slot[0]), concept, mask, source, pictures, digest))


def _file(reader: OutputReader, table: str, shard: int, name: str) -> bytes:
    commit = reader.commit(table, shard)
    if commit is None:
        raise KeyError(name)
    return reader.member(table, commit, name)


def _names(compared: Sequence[Compared]) -> str:
    return ", ".join(one.name for one in compared)
