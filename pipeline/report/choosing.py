"""Which scenes a report shows: all of a small job; of a corpus the worst, and as many spread over the others."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.shards.reader import UNREADABLE, OutputReader, Row

_COLUMNS = ["scene_id", "identity_similarity", "complete", "keep"]


@dataclass(frozen=True, order=True)
class Standing:
    """How well a scene came out; the smaller, the worse. good: share of its pictures that are kept and show every
    concept once; identity: mean identity similarity."""

    good: float
    identity: float


def standing(scores: list[Row]) -> Standing:
    """Of the rows of SCORES of one scene, of which there is at least one."""
    good = sum(bool(row["keep"] and row["complete"]) for row in scores)
    return Standing(good / len(scores), sum(row["identity_similarity"] for row in scores) / len(scores))


def choose(reader: OutputReader, table: str, per_shard: Mapping[int, int], most: int) -> dict[int, list[str]]:
    """Shard -> ids of the scenes to show, in the order of the shard. table: whose scenes they are; per_shard: how many
    it has.

    At most `most` in all: where there are more, half of them are the worst by their scores, if there are any.
    """
    worst: dict[int, set[str]] = {}
    if sum(per_shard.values()) > most:
        for _, shard, scene_id in heapq.nsmallest(most // 2, _standings(reader)):
            worst.setdefault(shard, set()).add(scene_id)
    left = {shard: max(0, count - len(worst.get(shard, ()))) for shard, count in per_shard.items()}
    places = spread(left, most - sum(map(len, worst.values())))
    chosen: dict[int, list[str]] = {}
    for shard in sorted(per_shard):
        commit = reader.commit(table, shard)
        if commit is None or not (shard in worst or shard in places):
            continue
        bad = worst.get(shard, set())
        others = [scene_id for scene_id in commit.done if scene_id not in bad]
        wanted = bad | {others[place] for place in places.get(shard, ()) if place < len(others)}
        chosen[shard] = [scene_id for scene_id in commit.done if scene_id in wanted]
    return chosen


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


def _standings(reader: OutputReader) -> Iterator[tuple[Standing, int, str]]:
    for shard in reader.shards("scores"):
        try:
            found = reader.rows("scores", shard, columns=_COLUMNS)
        except UNREADABLE:
            continue
        yield from ((standing(rows), shard, scene_id) for scene_id, rows in found.items())
