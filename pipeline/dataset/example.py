"""A picture of a data set with all that is told of it, read from an OUTPUT one scene at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pipeline.dataset.classes import Classes
from pipeline.dataset.labels import Thing, Unlabelled, own_masks, things_found, things_of_scene
from pipeline.dataset.parts import DAMAGED
from pipeline.dataset.picking import Pick
from pipeline.dataset.source import DatasetSource
from pipeline.shards.reader import UNREADABLE, Row
from schemas.masks import decode_mask
from stages.pictures import encode, open_picture


@dataclass(frozen=True)
class Example:
    """picture: the file's bytes, of the format that `extension` says; size: (width, height). variation, score: rows of
    a new picture, None of a real one. handles: concept -> its token, where it has one."""

    pick: Pick
    picture: bytes
    extension: str
    size: tuple[int, int]
    things: list[Thing]
    variation: Row | None
    score: Row | None
    handles: dict[int, str]
    classes: Classes

    @property
    def key(self) -> str:
        return self.pick.key

    @property
    def label(self) -> int | None:
        """Number of the class of the one concept that was asked for, from 0; None where there were several."""
        asked = [index for index in self.pick.asked if index in self.pick.classes]
        return self.pick.classes[asked[0]] - 1 if len(asked) == len(self.pick.asked) == 1 else None

    @property
    def caption(self) -> str:
        """The prompt with words for handles; of a real picture the classes of its things."""
        if self.variation is not None:
            return str(self.variation["text"])
        names = (self.classes.names[thing.class_ - 1] for thing in self.things)
        return " and ".join(dict.fromkeys(names))

    def facts(self) -> dict[str, Any]:
        """What is told of it in every format. Categories and labels count from 0; seeds are text, as many readers of
        JSON round such numbers."""
        made, score = self.variation or {}, self.score or {}
        similarities = ("prompt_similarity", "identity_similarity")
        return {
            "key": self.key,
            "scene_id": self.pick.scene_id,
            "file_name": f"{self.key}.{self.extension}",
            "width": self.size[0],
            "height": self.size[1],
            "synthetic": not self.pick.real,
            "caption": self.caption,
            "prompt": made.get("prompt"),
            "label": self.label,
            "objects": [self._object(thing) for thing in self.things],
            "scores": {
                **{name: None if score.get(name) is None else float(score[name]) for name in similarities},
                "complete": score.get("complete"),
                "found": score.get("found"),
            },
            "seed": None if made.get("seed") is None else str(made["seed"]),
            "sampler": made.get("sampler"),
            "steps": made.get("steps"),
            "guidance": made.get("guidance"),
        }

    def _object(self, thing: Thing) -> dict[str, Any]:
        return {
            "id": thing.id,
            "concept": thing.concept,
            "handle": self.handles.get(thing.concept),
            "category": thing.class_ - 1,
            "name": self.classes.names[thing.class_ - 1],
            "bbox": list(thing.box),
            "area": thing.area,
        }


@dataclass
class Lost:
    """Pictures of a part that turned out to have no exact labels, or could not be read: reason -> how many; and what
    was said of the first damaged ones."""

    reasons: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    def damaged(self, pick: Pick, error: Exception) -> None:
        self.reasons[DAMAGED] += 1
        self.told.append(f"{pick.key}: {type(error).__name__}: {error}")


class Examples:
    """extension: of all pictures: a real one is written anew where it is another, so that nobody can tell the two
    kinds apart by their compression, and readers find one kind of file."""

    def __init__(self, source: DatasetSource, classes: Classes, extension: str) -> None:
        self._source, self._classes, self.extension = source, classes, extension

    def of(self, picks: Iterable[Pick], lost: Lost) -> Iterator[Example]:
        """The pictures in their order; those that cannot be labelled are told to `lost`. Raises OutputError where a
        table cannot be read."""
        for shard, of_shard in groupby(picks, key=lambda pick: pick.shard):
            listed = list(of_shard)
            scenes = list(dict.fromkeys(pick.scene_id for pick in listed))
            rows = self._rows(shard, scenes, listed)
            for _, of_scene in groupby(listed, key=lambda pick: pick.scene_id):
                yield from self._of_scene(list(of_scene), rows, lost)

    def _rows(self, shard: int, scenes: list[str], picks: list[Pick]) -> dict[str, dict[str, Any]]:
        """Table -> key of a picture (or scene) -> what is needed of it."""
        source = self._source
        masked = list(dict.fromkeys(pick.scene_id for pick in picks if pick.real or pick.standing))
        found: dict[str, dict[str, Any]] = {"concepts": {}, "handles": {}, "variations": {}, "scores": {}}
        if masked:
            found["concepts"] = source.rows("concepts", shard, masked, ["scene_id", "index", "mask"])
        if source.commit("handles", shard) is not None:
            tokens = source.rows("handles", shard, scenes, ["scene_id", "index", "token"])
            found["handles"] = {
                scene: {int(row["index"]): row["token"] for row in rows} for scene, rows in tokens.items()
            }
        if not all(pick.real for pick in picks):
            for table in ("variations", "scores"):
                by_scene = source.rows(table, shard, scenes)
                found[table] = {row["key"]: row for rows in by_scene.values() for row in rows}
        return found

    def _of_scene(self, picks: list[Pick], rows: dict[str, dict[str, Any]], lost: Lost) -> Iterator[Example]:
        try:
            files = {
                table: self._files(table, picks[0].shard, names)
                for table, names in (
                    ("scenes", [pick.file for pick in picks if pick.real]),
                    ("variations", [pick.file for pick in picks if not pick.real]),
                    ("scores", [pick.mask for pick in picks if pick.mask is not None]),
                )
            }
        except UNREADABLE as error:
            if len(picks) == 1:
                lost.damaged(picks[0], error)
            for pick in picks if len(picks) > 1 else ():  # one damaged picture costs itself
                yield from self._of_scene([pick], rows, lost)
            return
        for pick in picks:
            try:
                yield self._example(pick, rows, files)
            except Unlabelled as error:
                lost.reasons[str(error)] += 1
            except UNREADABLE as error:
                lost.damaged(pick, error)

    def _files(self, table: str, shard: int, names: list[str]) -> dict[str, bytes]:
        if not names:
            return {}
        commit = self._source.commit(table, shard)
        if commit is None:
            raise KeyError(f"shard {shard} of {table} is not committed")
        return self._source.reader.files(table, commit, {name: commit.members[name] for name in names})

    def _example(self, pick: Pick, rows: dict[str, dict[str, Any]], files: dict[str, dict[str, bytes]]) -> Example:
        if pick.real:
            things = things_of_scene(pick, rows["concepts"][pick.scene_id])
            picture = open_picture(files["scenes"][pick.file])
            kept = self.extension == pick.file.rpartition(".")[2]
            data = files["scenes"][pick.file] if kept else encode(picture, self.extension)
            size = picture.size
        else:
            assert pick.mask is not None
            data, made = files["variations"][pick.file], rows["variations"][pick.key]
            region = decode_mask(made["region"]) if made.get("region") else None
            own = own_masks(pick, rows["concepts"][pick.scene_id]) if pick.standing else None
            things = things_found(pick, files["scores"][pick.mask], region, own)
            size = int(made["width"]), int(made["height"])
        if any(thing.mask.shape != size[::-1] for thing in things):
            raise ValueError(f"a mask of {things[0].mask.shape[::-1]} pixels on a picture of {size}")
        return Example(
            pick,
            data,
            self.extension,
            size,
            things,
            rows["variations"].get(pick.key),
            rows["scores"].get(pick.key),
            rows["handles"].get(pick.scene_id, {}),
            self._classes,
        )
