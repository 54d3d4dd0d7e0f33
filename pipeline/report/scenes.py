"""All that a page of the report says of its scenes. The thumbnails of one page are in memory at a time.

Everything is read from committed shards by ranged reads into the tars. What is not there (yet), or cannot be read, is
left out, and the page says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipeline.report.curves import Curve, curves_of, draw
from pipeline.report.facts import KEPT_ONCE, MAX_VARIATIONS, ONCE, SceneFacts, by_prompt, state_of
from pipeline.report.thumbnails import (
    colour_of,
    css_colour,
    data_uri,
    ink_on,
    masked_picture,
    middle,
    open_picture,
)
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.wording import counted
from schemas.masks import decode_mask

MOST_BYTES = 20_000
"""A thumbnail, when there are few; many share the page's budget."""
TILE_BYTES = 2_500
"""A picture of the contact sheet."""
_ESTIMATES = {"predicted_iou": "SAM IoU", "stability_score": "Stability", "score": "Score"}


@dataclass(frozen=True)
class ConceptView:
    """colour: CSS, the same in the masks, the legend and the prompts, under its number in `ink`. concept, handle: rows
    of the tables. place: where the number stands on the picture, (x, y) in percent."""

    index: int
    concept: Row
    handle: Row
    place: tuple[float, float] | None = None

    @property
    def colour(self) -> str:
        return css_colour(colour_of(self.index))

    @property
    def ink(self) -> str:
        return ink_on(colour_of(self.index))

    @property
    def token(self) -> str:
        return self.handle.get("token") or f"concept {self.index}"

    @property
    def word(self) -> str:
        return self.concept.get("word") or ""

    @property
    def name(self) -> str:
        """`0 <asset0> cat`, or without a word `0 <asset0>`."""
        return " ".join(part for part in (str(self.index), self.token, self.word) if part)


@dataclass(frozen=True)
class PictureView:
    """One variation. image: data URI, None if it cannot be read; score: its row of SCORES or nothing."""

    row: Row
    image: str | None
    score: Row
    seen: str

    @property
    def placed(self) -> str:
        """`in place of 1`, `added`, `into kitchen.jpg`, or nothing where the whole picture is new."""
        if self.row.get("mode") != "place":
            return ""
        if self.row.get("into"):
            return f"into {self.row['into'].rpartition('/')[2]}"
        return "added" if self.row["replaced"] is None else f"in place of {self.row['replaced']}"

    @property
    def state(self) -> str:
        return state_of(self.score)


@dataclass(frozen=True)
class PromptView:
    """Variations of one prompt. concepts: those that it asks for."""

    prompt: str
    text: str
    concepts: list[ConceptView]
    pictures: list[PictureView]


@dataclass
class SceneView:
    """All that the page says of one scene. small: the overlay (or picture) for the fold; tile: its
    picture on the contact sheet, with `tile_text` in words."""

    facts: SceneFacts
    name: str
    picture: str | None = None
    overlay: str | None = None
    concepts: list[ConceptView] = field(default_factory=list)
    prompts: list[PromptView] = field(default_factory=list)
    curves: list[tuple[Curve, Markup]] = field(default_factory=list)
    small: str | None = None
    tile: str | None = None
    tile_text: str = ""

    @property
    def row(self) -> Row:
        return next(iter(self.facts.rows.get("scenes", [])), {})

    @property
    def estimates(self) -> dict[str, str]:
        """Columns of the concepts that Segment Anything has filled -> their headings; none where masks were given."""
        known = {name for item in self.concepts for name, value in item.concept.items() if value is not None}
        return {name: title for name, title in _ESTIMATES.items() if name in known}

    @property
    def extracted(self) -> bool:
        return bool(self.facts.rows.get("handles"))

    @property
    def shown(self) -> int:
        return sum(len(prompt.pictures) for prompt in self.prompts)

    @property
    def seconds(self) -> float | None:
        return self.concepts[0].handle.get("seconds") if self.concepts else None

    @property
    def verdict(self) -> str:
        """`3 of 4 show every concept once`, or what stands in the way of saying so."""
        if self.facts.failure:
            return f"failed in {self.facts.failure['stage']}"
        if self.facts.standing is None:
            made = self.facts.variations
            return f"{counted(made, 'picture')}, not scored" if made else "no pictures yet"
        return f"{self.facts.states[KEPT_ONCE]} of {self.facts.variations} good"


class SceneReader:
    """Reads the views of scenes. root: the source's address, which titles leave out; most_bytes: of a thumbnail, before
    base64."""

    def __init__(self, reader: OutputReader, root: str, most_bytes: int) -> None:
        self._reader, self._root, self.most_bytes = reader, root, most_bytes

    def view(self, facts: SceneFacts) -> SceneView:
        view = SceneView(facts, title_of(facts.uri, self._root) or facts.scene_id)
        handles = {row["index"]: row for row in facts.rows.get("handles", [])}
        view.concepts = [
            ConceptView(row["index"], row, handles.get(row["index"], {}), _place(row))
            for row in sorted(facts.rows.get("concepts", []), key=lambda row: row["index"])
        ]
        self._draw_scene(view)
        self._draw_curves(view)
        scores = {row["key"]: row for row in facts.rows.get("scores", [])}
        known = {item.index: item for item in view.concepts}
        for prompt, group in by_prompt(facts.rows.get("variations", []), MAX_VARIATIONS).items():
            asked = [known.get(index) or ConceptView(index, {}, {}) for index in group[0]["concepts"]]
            pictures = []
            for row in group:
                score = scores.get(row["key"], {})
                pictures.append(PictureView(row, self._variation(view, row), score, seen_text(score, asked)))
            view.prompts.append(PromptView(prompt, group[0]["text"], asked, pictures))
        return view

    def _variation(self, view: SceneView, row: Row) -> str | None:
        """The thumbnail of a variation; the first of a scene that asks for all of its concepts is its tile, too."""
        try:
            picture = open_picture(self._member(view.facts, row["file"]) or b"")
        except ValueError:
            return None
        whole = max(len(each["concepts"]) for each in view.facts.rows["variations"])
        if len(row["concepts"]) == whole and not view.tile_text.startswith("new picture"):
            view.tile, view.tile_text = data_uri(picture, TILE_BYTES), f"new picture: {row['text']}"
        return data_uri(picture, self.most_bytes)

    def _draw_scene(self, view: SceneView) -> None:
        try:
            picture = open_picture(self._member(view.facts, f"{view.facts.scene_id}.png") or b"")
            view.picture = data_uri(picture, self.most_bytes)
            view.tile, view.tile_text = data_uri(picture, TILE_BYTES), "the source picture"
            masks = [(decode_mask(item.concept["mask"]), colour_of(item.index)) for item in view.concepts]
            view.small = view.tile
            if masks:
                drawn = masked_picture(picture, masks)
                view.overlay, view.small = data_uri(drawn, self.most_bytes), data_uri(drawn, TILE_BYTES)
                view.tile, view.tile_text = view.small, "the source picture, its concepts coloured"
        except UNREADABLE:
            return

    def _draw_curves(self, view: SceneView) -> None:
        try:
            info = json.loads(self._member(view.facts, f"{view.facts.scene_id}.json") or b"{}")
            boundary = info.get("settings", {}).get("phase1", {}).get("steps")
            view.curves = [(curve, draw(curve, boundary)) for curve in curves_of(info)]
        except (ValueError, AttributeError, TypeError):
            return

    def _member(self, facts: SceneFacts, name: str) -> bytes | None:
        if name not in facts.places:
            return None
        table, shard = facts.places[name]
        commit = self._reader.commit(table, shard)
        try:
            return None if commit is None else self._reader.member(table, commit, name)
        except UNREADABLE:
            return None


def title_of(uri: str, root: str) -> str:
    """The file's path under the source's folder, or the whole address where it lies elsewhere."""
    folder = root.rstrip("/") + "/"
    return uri.split(folder, 1)[1] if root and folder in uri else uri


def seen_text(score: Row, asked: Sequence[ConceptView]) -> str:
    """How the picture differs from one that shows every concept asked for once: `lacks <asset1>, 2 × <asset0>`."""
    if not score:
        return ""
    if score["complete"]:  # of a placed picture: once in its region, whatever stands beside it
        return ONCE
    found = dict(enumerate(score["found"]))
    wrong = [
        f"{found[item.index]} × {item.token}" if found.get(item.index) else f"lacks {item.token}"
        for item in asked
        if found.get(item.index) != 1
    ]
    return ", ".join(wrong) or ONCE


def _place(concept: Row) -> tuple[float, float] | None:
    try:
        point = middle(decode_mask(concept["mask"]))
    except UNREADABLE:
        return None
    return None if point is None else (round(100 * point[0], 1), round(100 * point[1], 1))
