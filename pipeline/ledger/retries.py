"""Asking for a shard once more, as a round of its own: for scenes that failed (`unscene retry`), and for scenes whose
file changed."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.ledger.commits import read_commit
from pipeline.ledger.committed import Committed
from pipeline.ledger.damaged import readable
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from schemas.errors import OutputError

_RETRY = re.compile(r"^retry-(\d+)\.json$")


@dataclass(frozen=True)
class Round:
    """A round that was asked for. again: shard -> scenes whose earlier results are not to be taken over. reread: the
    same of the stages alone that look at the file, as its address or the names of its masks are others. revised:
    whether rows of the plan were written anew, which `scenes` repeats."""

    number: int
    shards: list[int]
    again: dict[int, list[str]] = field(default_factory=dict)
    reread: dict[int, list[str]] = field(default_factory=dict)
    revised: bool = False


@dataclass(frozen=True)
class Lost:
    """Scenes of one shard without results. out: those that are withdrawn, which no other try would have some of."""

    wanted: int
    out: int


def lost_scenes(committed: Committed, withdrawn: Container[str] = ()) -> dict[int, Lost]:
    """Shard -> its scenes without results, where there are any. Where scenes are withdrawn, the commits of such shards
    are read."""
    found: dict[int, Lost] = {}
    for stage in committed.stages:
        lost, rounds = committed.lost(stage), committed.rounds(stage)
        for shard, out in _withdrawn_of(committed.storage, stage, {shard: rounds[shard] for shard in lost}, withdrawn):
            before = found.get(shard, Lost(0, 0))
            found[shard] = Lost(before.wanted + lost[shard] - out, before.out + out)
    return found


def _withdrawn_of(
    storage: Storage, stage: str, places: Mapping[int, int], withdrawn: Container[str]
) -> Iterator[tuple[int, int]]:
    """Shard -> failures of its commit that are of withdrawn scenes. places: shard -> round."""
    if not withdrawn:
        yield from ((shard, 0) for shard in places)
        return

    def out(place: tuple[int, int]) -> int:
        return sum(row["scene_id"] in withdrawn for row in read_commit(storage, stage, *place).failures)

    yield from zip(places, in_order(out, list(places.items())), strict=True)


def failed_shards(committed: Committed, lost: Mapping[int, Lost]) -> list[int]:
    """Shards that have come to their end once, and in which a scene failed that is not withdrawn. lost: as of
    `lost_scenes`."""
    failed = [shard for shard, rows in committed.first_rows("failures").items() if rows]
    return [shard for shard in failed if shard not in lost or lost[shard].wanted]


def request_round(
    storage: Storage,
    shards: Sequence[int],
    again: Mapping[int, Sequence[str]] | None = None,
    reread: Mapping[int, Sequence[str]] | None = None,
    revised: bool = False,
) -> None:
    """Asks for these shards once more; the next run does it. Raises OutputError when two ask at the same moment."""
    number = max((found.number for found in requested_rounds(storage)), default=0) + 1
    order: dict[str, Any] = {"shards": sorted(shards), "revised": revised}
    for name, scenes in (("again", again), ("reread", reread)):
        order[name] = {str(shard): list(found) for shard, found in (scenes or {}).items()}
    if not storage.create(f"_plan/retry-{number:03d}.json", json.dumps(order).encode()):
        raise OutputError(f"{storage.url}: another retry was asked for at the same moment; run `unscene run` again")


def requested_rounds(storage: Storage) -> Iterator[Round]:
    """Every round that was asked for, oldest first."""
    numbers = sorted(int(match[1]) for name in storage.names("_plan") if (match := _RETRY.match(name)))
    for number in numbers:
        yield _read_round(storage, number)


def _read_round(storage: Storage, number: int) -> Round:
    name = f"_plan/retry-{number:03d}.json"
    data = storage.read(name)
    with readable(storage, name, "delete it: `unscene retry` asks again"):
        order = json.loads(data)
        again, reread = (
            {int(shard): scenes for shard, scenes in order.get(key, {}).items()} for key in ("again", "reread")
        )
        return Round(number, [int(shard) for shard in order["shards"]], again, reread, bool(order.get("revised")))
