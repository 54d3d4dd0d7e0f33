"""The scenes of a report: which ones, and all that the page says of each. One scene's pictures are in memory at a time.

Everything is read from committed shards: a few columns of the tables, and ranged reads into the tars. What is not there
(yet), or cannot be read, is left out, and the page says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipeline.ledger.commits import Commit
from pipeline.report.curves import Curve, curves_of, draw
from pipeline.report.thumbnails import colour_of, css_colour, data_uri, masked_picture, open_picture
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage
from schemas.masks import decode_mask

MAX_VARIATIONS = 12
MOST_BYTES = 20_000
"""A thumbnail, when there are few; many scenes share the page's budget."""
_COLUMNS = {
    "handles": ["scene_id", "index", "token", "word", "diffusion_loss", "attention_loss", "prior_loss", "seconds"],
    "scores": [
        "scene_id",
        "key",
        "prompt_similarity",
        "identity_similarity",
        "found",
        "complete",
        "keep",
        "reason",
    ],
}
"""Columns that the page needs, where a table has large ones besides (embeddings)."""


@dataclass(frozen=True)
class ConceptView:
    """colour: CSS, the same in the masks, the legend and the prompts. concept, handle: rows of the tables."""

    index: int
    colour: str
    concept: Row
    handle: Row

    @property
    def token(self) -> str:
        return self.handle.get("token") or f"concept {self.index}"

    @property
    def word(self) -> str:
        return self.concept.get("word") or ""


@dataclass(frozen=True)
class PromptView:
    """Variations of one prompt. colours: of its concepts; pictures: (row, data URI or None if it cannot be read, row of
    SCORES or nothing)."""

    prompt: str
    text: str
    colours: list[str]
    pictures: list[tuple[Row, str | None, Row]]


@dataclass
class SceneView:
    """All that the page says of one scene. row: its row of `scenes`; failure: its row of FAILURES, if it has one."""

    scene_id: str
    row: Row
    picture: str | None = None
    overlay: str | None = None
    failure: Row | None = None
    concepts: list[ConceptView] = field(default_factory=list)
    prompts: list[PromptView] = field(default_factory=list)
    variations: int = 0
    extracted: bool = False
    curves: list[tuple[Curve, Markup]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.row.get("uri") or ""

    @property
    def name(self) -> str:
        return self.uri.rstrip("/").rsplit("/", 1)[-1] or self.scene_id

    @property
    def shown(self) -> int:
        return sum(len(prompt.pictures) for prompt in self.prompts)

    @property
    def seconds(self) -> float | None:
        return self.concepts[0].handle.get("seconds") if self.concepts else None


def spread(per_shard: Mapping[int, int], most: int) -> dict[int, list[int]]:
    """Shard -> places in its list of scenes: at most `most` scenes in all, evenly over everything there is."""
    total = sum(per_shard.values())
    wanted = iter([(2 * i + 1) * total // (2 * most) for i in range(most)] if total > most else range(total))
    chosen: dict[int, list[int]] = {}
    start, place = 0, next(wanted, None)
    for shard in sorted(per_shard):
        end = start + per_shard[shard]
        while place is not None and place < end:
            chosen.setdefault(shard, []).append(place - start)
            place = next(wanted, None)
        start = end
    return chosen


class SceneReader:
    """Reads the views of scenes. earlier: the OUTPUT that holds scenes, concepts and handles, if it is another one.

    most_bytes: of a thumbnail, before base64.
    """

    def __init__(self, storage: Storage, earlier: Storage | None, most_bytes: int) -> None:
        self._reader, self.most_bytes = OutputReader(storage, earlier), most_bytes

    def views(self, chosen: Mapping[int, Sequence[int]], stage: str) -> Iterator[SceneView]:
        """Views of the chosen places among the scenes that `stage` has done, shard by shard."""
        table = next(name for name, made_by in STAGE_OF.items() if made_by == stage)
        for shard, places in sorted(chosen.items()):
            commits = {name: commit for name in STAGE_OF if (commit := self._reader.commit(name, shard)) is not None}
            if table not in commits:
                continue
            done = commits[table].done
            scenes = [done[place] for place in places if place < len(done)]
            rows = {name: self._rows(name, shard, scenes) for name in commits}
            failures = {
                row["scene_id"]: row
                for name, commit in commits.items()
                for row in commit.failures
                if self._reader.own(name)
            }
            for scene_id in scenes:
                found = {name: rows[name].get(scene_id, []) for name in rows}
                yield self._view(scene_id, found, commits, failures.get(scene_id))

    def _view(
        self, scene_id: str, rows: dict[str, list[Row]], commits: dict[str, Commit], failure: Row | None
    ) -> SceneView:
        view = SceneView(scene_id, next(iter(rows.get("scenes", [])), {}), failure=failure)
        handles = {row["index"]: row for row in rows.get("handles", [])}
        view.extracted = bool(handles)
        view.concepts = [
            ConceptView(row["index"], css_colour(colour_of(row["index"])), row, handles.get(row["index"], {}))
            for row in sorted(rows.get("concepts", []), key=lambda row: row["index"])
        ]
        self._draw_scene(view, self._member(commits, "scenes", f"{scene_id}.png"))
        self._draw_curves(view, self._member(commits, "handles", f"{scene_id}.json"))
        variations = rows.get("variations", [])
        view.variations = len(variations)
        scores = {row["key"]: row for row in rows.get("scores", [])}
        for prompt, group in by_prompt(variations, MAX_VARIATIONS).items():
            pictures = [
                (
                    row,
                    self._thumbnail(self._member(commits, "variations", row["file"])),
                    scores.get(row["key"], {}),
                )
                for row in group
            ]
            colours = [css_colour(colour_of(index)) for index in group[0]["concepts"]]
            view.prompts.append(PromptView(prompt, group[0]["text"], colours, pictures))
        return view

    def _draw_scene(self, view: SceneView, data: bytes | None) -> None:
        try:
            picture = open_picture(data or b"")
            view.picture = data_uri(picture, self.most_bytes)
            masks = [(decode_mask(item.concept["mask"]), colour_of(item.index)) for item in view.concepts]
            view.overlay = data_uri(masked_picture(picture, masks), self.most_bytes) if masks else None
        except UNREADABLE:
            return

    def _draw_curves(self, view: SceneView, data: bytes | None) -> None:
        try:
            info = json.loads(data or b"{}")
            boundary = info.get("settings", {}).get("phase1", {}).get("steps")
            view.curves = [(curve, draw(curve, boundary)) for curve in curves_of(info)]
        except (ValueError, AttributeError, TypeError):
            return

    def _thumbnail(self, data: bytes | None) -> str | None:
        try:
            return data_uri(open_picture(data or b""), self.most_bytes)
        except ValueError:
            return None

    def _member(self, commits: dict[str, Commit], table: str, name: str) -> bytes | None:
        try:
            return self._reader.member(table, commits[table], name)
        except UNREADABLE:
            return None

    def _rows(self, table: str, shard: int, scenes: Sequence[str]) -> dict[str, list[Row]]:
        try:
            return self._reader.rows(table, shard, scenes, _COLUMNS.get(table))
        except UNREADABLE:
            return {}


def by_prompt(rows: Sequence[Row], most: int) -> dict[str, list[Row]]:
    """Prompt -> its rows: at most `most` in all, one of every prompt before a second of any."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["prompt"], []).append(row)
    shares = dict.fromkeys(groups, 0)
    left = min(most, len(rows))
    while left:
        for prompt, group in groups.items():
            if left and shares[prompt] < len(group):
                shares[prompt] += 1
                left -= 1
    return {prompt: group[: shares[prompt]] for prompt, group in groups.items() if shares[prompt]}
