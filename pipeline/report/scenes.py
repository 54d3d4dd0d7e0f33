"""All that a page of the report says of its scenes. The thumbnails of one page are in memory at a time.

Everything is read from committed shards by ranged reads into the tars. What is not there (yet), or cannot be read, is
left out, and the page says so.
"""

from __future__ import annotations

import json

from pipeline.report.curves import curves_of, draw
from pipeline.report.facts import MAX_VARIATIONS, SceneFacts, by_prompt
from pipeline.report.found import Found, draw_found
from pipeline.report.thumbnails import colour_of, data_uri, masked_picture, middle, open_picture
from pipeline.report.views import ConceptView, PictureView, PromptView, SceneView, seen_text
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from schemas.masks import decode_mask

MOST_BYTES = 20_000
"""A thumbnail, when there are few; many share the page's budget."""
MASKS = 0.25
"""Of a thumbnail's bytes, what may go to the masks over it."""
TILE_BYTES = 2_500
"""A picture of the contact sheet."""


class SceneReader:
    """Reads the views of scenes. root: what the addresses of all pictures begin with, which titles leave out;
    most_bytes: of a thumbnail, before base64."""

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
        known = {item.index: item for item in view.concepts}
        masks = self._score_masks(facts)

        def concept(index: int) -> ConceptView:
            return known.get(index) or ConceptView(index, {}, handles.get(index, {}))

        for prompt, group in by_prompt(facts.rows.get("variations", []), MAX_VARIATIONS).items():
            asked = [concept(index) for index in group[0]["concepts"]]
            pictures = []
            for row in group:
                score = facts.score(row)
                found = self._found(facts, (score or {}).get("mask") or "", masks)
                image = self._variation(view, row, found)
                shown = [concept(index) for index in (found.paths if found else ())]
                pictures.append(PictureView(row, image, score, seen_text(score, asked), found, shown))
            view.prompts.append(PromptView(prompt, group[0]["text"], asked, pictures))
        return view

    def _variation(self, view: SceneView, row: Row, found: Found | None) -> str | None:
        """The thumbnail of a variation, in what its masks leave of its bytes; the first of a scene that asks for all of
        its concepts is its tile, too."""
        try:
            picture = open_picture(self._member(view.facts, row["file"]) or b"")
        except ValueError:
            view.facts.spoil(row["file"])
            return None
        whole = max(len(each["concepts"]) for each in view.facts.rows["variations"])
        if len(row["concepts"]) == whole and not view.tile_text.startswith("new picture"):
            view.tile, view.tile_text = data_uri(picture, TILE_BYTES), f"new picture: {row['text']}"
        masks = found.size * 3 // 4 if found else 0  # as bytes before base64
        return data_uri(picture, self.most_bytes - masks)

    def _found(self, facts: SceneFacts, mask: str, masks: dict[str, bytes]) -> Found | None:
        try:
            return draw_found(masks.get(mask, b""), int(self.most_bytes * MASKS))
        except ValueError:
            facts.spoil(mask)
            return None

    def _draw_scene(self, view: SceneView) -> None:
        name = f"{view.facts.scene_id}.png"
        try:
            picture = open_picture(self._member(view.facts, name) or b"")
        except ValueError:
            view.facts.spoil(name)
            return
        try:
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
        name = f"{view.facts.scene_id}.json"
        if name not in view.facts.places:
            return
        try:
            info = json.loads(self._member(view.facts, name) or b"")
        except ValueError:
            view.facts.spoil(name)
            return
        try:
            boundary = info.get("settings", {}).get("phase1", {}).get("steps")
            view.curves = [(curve, draw(curve, boundary)) for curve in curves_of(info)]
        except (ValueError, AttributeError, TypeError):  # odd entries
            return

    def _score_masks(self, facts: SceneFacts) -> dict[str, bytes]:
        """Members of the scores' tar that can be read: in one read, as they lie together, or where one of them is
        damaged by itself."""
        names = [name for name, (table, _) in facts.places.items() if table == "scores"]
        if not names:
            return {}
        try:
            commit = self._reader.commit(*facts.places[names[0]])
            assert commit is not None, "its members are among the scene's places"
            return self._reader.files("scores", commit, {name: commit.members[name] for name in names})
        except UNREADABLE:
            return {name: data for name in names if (data := self._member(facts, name)) is not None}

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


def _place(concept: Row) -> tuple[float, float] | None:
    try:
        point = middle(decode_mask(concept["mask"]))
    except UNREADABLE:
        return None
    return None if point is None else (round(100 * point[0], 1), round(100 * point[1], 1))
