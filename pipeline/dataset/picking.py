"""Which pictures are in a data set, by what the tables say of them; every other one is counted with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from pipeline.dataset.choices import Choices
from pipeline.dataset.classes import Classes
from pipeline.dataset.lots import Cap, lot, share_of
from pipeline.dataset.source import BACKGROUND, SceneRows
from pipeline.shards.reader import Row
from pipeline.shards.scores import kind_of

SEVERAL = "several of one concept that cannot be told apart"
"""Where an older Unscene scored it, and gave all masks of a concept one value."""
_PIECES = "several masks of one concept that may be pieces of one thing"
LACKING = "a concept asked for has no mask"
COVERED = "placed into a real picture with a thing that smaller ones cover wholly"
_GIVEN = "placed into a given picture, whose things have no labels and which other scenes share"
_PLACED = "placed into a real picture with a thing that has no label"
_NOTHING = "nothing of a class in it"
_CROWD = "with what is marked iscrowd (--crowds takes each as one object)"


@dataclass(frozen=True)
class Pick:
    """A picture that is in, as far as the tables know. real: of the source. asked: indices of the concepts that it was
    to show; found: index -> how many masks show it, of concepts with a class; classes: index -> class number, of all of
    the scene's that have one. file, mask: members of the tars. instances: (id in the mask, concept) of each mask of a
    concept with a class; None where an older Unscene scored it, whose mask has i + 1 for concept i.
    standing: ids of those that stand in the real picture, beside what was drawn into it."""

    key: str
    scene_id: str
    shard: int
    real: bool
    asked: tuple[int, ...]
    found: dict[int, int]
    classes: dict[int, int]
    file: str
    mask: str | None
    instances: tuple[tuple[int, int], ...] | None = None
    standing: frozenset[int] = frozenset()

    @property
    def shown(self) -> set[int]:
        """Numbers of the classes that it shows."""
        return {self.classes[index] for index in self.found}


class Picker:
    """classes: known from a first walk over all concepts. `left_out` counts reasons; `considered` all pictures that
    it has looked at, which are the picked ones and those left out."""

    def __init__(self, choices: Choices, classes: Classes, withdrawn: frozenset[str]) -> None:
        self.choices, self.withdrawn = choices, withdrawn
        self._numbers = {name: number for number, name in enumerate(classes.names, 1)}
        self.left_out: Counter[str] = Counter()
        self.considered = 0

    def picked(self, scene: SceneRows, cap: Cap | None = None) -> list[Pick]:
        """The scene's pictures that are in, the real one first, then new ones in the order of their keys."""
        found = self._of_scene(scene)
        if cap is None:
            return found
        within = [pick for pick in found if cap.admits(pick.key, pick.scene_id, pick.shown)]
        self._leave_out("over --cap", len(found) - len(within))
        if self.choices.ratio is not None and not any(pick.real for pick in within):
            self._leave_out("over --ratio", len(within))  # of one that is over the cap
            return []
        return within

    def _of_scene(self, scene: SceneRows) -> list[Pick]:
        pictures = scene.pictures if self.choices.new else []
        self.considered += len(pictures) + self.choices.real
        if scene.scene_id in self.withdrawn:
            self._leave_out("of a withdrawn scene", len(pictures) + self.choices.real)
            return []
        classes = {}
        for row in scene.concepts:
            name = None if row["origin"] == BACKGROUND else self.choices.classes.of(row["word"])
            if name is not None:
                classes[int(row["index"])] = self._numbers[name]
        real = list(self._real(scene, classes)) if self.choices.real else []
        new = [pick for key in pictures for pick in self._new(scene, key, classes)]
        if self.choices.ratio is not None:
            most = share_of(scene.scene_id, self.choices.ratio, self.choices.seed) if real else 0
            drawn = sorted(new, key=lambda pick: lot(self.choices.seed, "ratio", pick.key))[:most]
            self._leave_out("over --ratio", len(new) - len(drawn))
            new = sorted(drawn, key=lambda pick: pick.key)
        return [*real, *new]

    def _real(self, scene: SceneRows, classes: dict[int, int]) -> Iterator[Pick]:
        things = sum(row["origin"] != BACKGROUND for row in scene.concepts)
        if self.choices.singles and things != 1:
            self._leave_out("several concepts (--singles)")
        elif scene.unlabelled:
            self._leave_out(scene.unlabelled)
        elif not classes:
            self._leave_out(_NOTHING)
        elif not all(row["area"] for row in scene.concepts if int(row["index"]) in classes):
            self._leave_out(LACKING)
        elif self._crowd(scene, classes):
            self._leave_out(_CROWD)
        else:
            found = dict.fromkeys(classes, 1)
            file = f"{scene.scene_id}.png"
            yield Pick(scene.scene_id, scene.scene_id, scene.shard, True, (*classes,), found, classes, file, None)

    def _new(self, scene: SceneRows, key: str, classes: dict[int, int]) -> Iterator[Pick]:
        row = scene.scores.get(key)
        if row is None:
            self._leave_out("without scores (yet)")
            return
        if key in scene.given:
            self._leave_out(_GIVEN)
            return
        if key in scene.placed and scene.unlabelled:
            self._leave_out(_PLACED)
            return
        asked = tuple(int(index) for index in row["concepts"])
        found = {index: row["found"][index] for index in sorted(classes) if row["found"][index]}
        ground = {int(concept["index"]) for concept in scene.concepts if concept["origin"] == BACKGROUND}
        others = any(count and index not in {*asked, *ground} for index, count in enumerate(row["found"]))
        if self.choices.singles and len(asked) != 1:
            self._leave_out("several concepts asked for (--singles)")
        elif self.choices.singles and others:
            self._leave_out("shows another concept too (--singles)")
        elif not row["keep"] and not self.choices.unkept:
            self._leave_out(f"not kept: {kind_of(row['reason'])}")
        elif any(index in classes and index not in found for index in asked):
            self._leave_out(LACKING)
        elif row.get("instances") is None and max(found.values(), default=0) > 1 + (key in scene.placed):
            self._leave_out(SEVERAL)
        elif _in_pieces(row) & set(found):
            self._leave_out(_PIECES)
        elif self._crowd(scene, found):
            self._leave_out(_CROWD)
        elif not found or (self.choices.singles and asked[0] not in classes):
            self._leave_out(_NOTHING)
        else:
            instances, standing, mask = None, frozenset[int](), row["mask"]
            if row.get("instances") is not None:
                instances = tuple((one["id"], one["concept"]) for one in row["instances"] if one["concept"] in classes)
                standing = frozenset(one["id"] for one in row["instances"] if one["likeness"] is None)
                mask = row["instance"]
            file = row["file"]
            yield Pick(key, scene.scene_id, scene.shard, False, asked, found, classes, file, mask, instances, standing)

    def _crowd(self, scene: SceneRows, shown: Iterable[int]) -> bool:
        """Whether one of these concepts may be a region of many, which is no single object of its class."""
        return not self.choices.crowds and not scene.crowds.isdisjoint(shown)

    def _leave_out(self, reason: str, count: int = 1) -> None:
        if count:
            self.left_out[reason] += count


def _in_pieces(row: Row) -> set[int]:
    """Concepts whose masks are as like it together as the best of them alone: of copies that would be less so. Of those
    with several drawn: an older Unscene told it too where masks of a placed picture had no pixel left in it."""
    drawn: dict[int, list[float]] = {}
    for one in row.get("instances") or ():
        if one["likeness"] is not None:
            drawn.setdefault(one["concept"], []).append(one["likeness"])
    together = enumerate(row.get("together") or ())
    several = {index: max(likely) for index, likely in drawn.items() if len(likely) > 1}
    return {index for index, likeness in together if likeness is not None and likeness >= several.get(index, inf)}
