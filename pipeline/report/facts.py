"""What is committed of the scenes of a report, less their pictures: a few columns of the tables, and where in the tars
the pictures lie. Of hundreds of scenes this is a few megabytes, so that they can be put in order before any is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.ledger.commits import Commit
from pipeline.report.choosing import Standing, standing
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.shards.scores import kind_of
from pipeline.stage_kinds import STAGE_OF

MAX_VARIATIONS = 12
ONCE = "every concept once"
KEPT_ONCE = "kept, every concept once"
NOT_ONCE = "kept, not every concept once"
NOT_SCORED = "not scored"
SCORE_LOST = "score cannot be read"
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
        "mask",
    ],
}
"""Columns that the page needs, where a table has large ones besides (embeddings)."""

Place = tuple[str, int]
"""Table and shard whose tar has a member."""


@dataclass
class SceneFacts:
    """One scene. rows: table -> its rows, of `variations` and `scores` those that are shown; places: member of a tar ->
    where it lies; failure: its row of FAILURES, if it has one; variations: how many it has; states: what its
    pictures are worth -> how many, of all of them; lost: tables of its shard that are committed and cannot be read;
    spoilt: tables of which a member of the tar cannot be read, among those that were looked for."""

    scene_id: str
    rows: dict[str, list[Row]]
    places: dict[str, Place]
    failure: Row | None = None
    variations: int = 0
    states: Counter[str] = field(default_factory=Counter)
    standing: Standing | None = None
    lost: frozenset[Place] = frozenset()
    spoilt: set[Place] = field(default_factory=set)

    def unread(self, table: str) -> bool:
        """Whether its rows of the table cannot be read, so that nobody knows what they say."""
        return any(table == name for name, _ in self.lost)

    def spoil(self, member: str) -> None:
        """Takes down that a member of a tar cannot be read; one that was never written is none."""
        if member in self.places:
            self.spoilt.add(self.places[member])

    def score(self, variation: Row) -> Row | None:
        """The variation's row of SCORES; nothing where it has none, None where it cannot be read."""
        found = (row for row in self.rows.get("scores", []) if row["key"] == variation["key"])
        return next(found, None if self.unread("scores") else {})

    @property
    def uri(self) -> str:
        return next(iter(self.rows.get("scenes", [])), {}).get("uri") or ""

    @property
    def words(self) -> list[str]:
        """Its concepts' words, where they have any."""
        return list(dict.fromkeys(row["word"] for row in self.rows.get("concepts", []) if row.get("word")))


def state_of(score: Row | None) -> str:
    """What a picture is worth, in words to count and to filter by. score: as of `SceneFacts.score`."""
    if score is None:
        return SCORE_LOST
    if not score:
        return NOT_SCORED
    if not score["keep"]:
        return f"not kept: {kind_of(score['reason'])}"
    return KEPT_ONCE if score["complete"] else NOT_ONCE


def gather(reader: OutputReader, chosen: Mapping[int, Sequence[str]]) -> list[SceneFacts]:
    """The facts of the chosen scenes, the worst first: failures, then by scores, then what has none, as planned."""
    facts = [found for shard, scenes in sorted(chosen.items()) for found in _shard(reader, shard, scenes)]
    last = Standing(float("inf"), 0.0)
    return sorted(facts, key=lambda scene: (scene.failure is None, scene.standing or last))


def _shard(reader: OutputReader, shard: int, scenes: Sequence[str]) -> Iterator[SceneFacts]:
    commits = {name: commit for name in STAGE_OF if (commit := reader.commit(name, shard)) is not None}
    read = {name: _rows(reader, name, shard, scenes) for name in commits}
    rows = {name: found for name, found in read.items() if found is not None}
    lost = frozenset((name, shard) for name in read if name not in rows)
    failures = {row["scene_id"]: row for name, commit in commits.items() for row in commit.failures if reader.own(name)}
    for scene_id in scenes:
        own = {name: found.get(scene_id, []) for name, found in rows.items()}
        yield _scene(scene_id, own, commits, failures.get(scene_id), lost)


def _scene(
    scene_id: str, rows: dict[str, list[Row]], commits: dict[str, Commit], failure: Row | None, lost: frozenset[Place]
) -> SceneFacts:
    scores = {row["key"]: row for row in rows.get("scores", [])}
    made = rows.get("variations", [])
    shown = [row for group in by_prompt(made, MAX_VARIATIONS).values() for row in group]
    own = {**rows, "variations": shown, "scores": [scores[row["key"]] for row in shown if row["key"] in scores]}
    wanted = [
        ("scenes", f"{scene_id}.png"),
        ("handles", f"{scene_id}.json"),
        *(("variations", row["file"]) for row in shown),
        *(("scores", row["mask"]) for row in own["scores"]),
    ]
    places: dict[str, Place] = {}
    for table, name in wanted:
        if table in commits and name in commits[table].members:
            places[name] = (table, commits[table].shard)
    facts = SceneFacts(scene_id, own, places, failure, len(made), lost=lost)
    none: Row | None = None if facts.unread("scores") else {}
    facts.states = Counter(state_of(scores.get(row["key"], none)) for row in made)
    facts.standing = standing(list(scores.values())) if scores else None
    return facts


def _rows(reader: OutputReader, table: str, shard: int, scenes: Sequence[str]) -> dict[str, list[Row]] | None:
    try:
        return reader.rows(table, shard, scenes, _COLUMNS.get(table))
    except UNREADABLE:
        return None


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
