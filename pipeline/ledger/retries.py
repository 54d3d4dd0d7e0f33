"""Asking for a shard once more, as a round of its own: for scenes that failed (`unscene retry`), and for scenes whose
file changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.ledger.commits import commits_of
from pipeline.storage.folder import Storage
from schemas.errors import OutputError

_RETRY = re.compile(r"^retry-(\d+)\.json$")


@dataclass(frozen=True)
class Round:
    """A round that was asked for. again: shard -> scenes whose earlier results are not to be taken over."""

    number: int
    shards: list[int]
    again: dict[int, list[str]] = field(default_factory=dict)


def failed_shards(storage: Storage) -> list[int]:
    """Settled shards in which a scene failed. Those that are not settled are left to `unscene run`."""
    return [record.shard for record in commits_of(storage, "failures") if record.files[0].rows]


def request_round(storage: Storage, shards: Sequence[int], again: Mapping[int, Sequence[str]] | None = None) -> None:
    """Asks for these shards once more; the next run does it. Raises OutputError when two ask at the same moment."""
    number = max((found.number for found in requested_rounds(storage)), default=0) + 1
    order = {"shards": sorted(shards), "again": {str(shard): list(scenes) for shard, scenes in (again or {}).items()}}
    if not storage.create(f"_plan/retry-{number:03d}.json", json.dumps(order).encode()):
        raise OutputError(f"{storage.url}: another retry was asked for at the same moment; run `unscene run` again")


def requested_rounds(storage: Storage) -> Iterator[Round]:
    """Every round that was asked for, oldest first."""
    numbers = sorted(int(match[1]) for name in storage.names("_plan") if (match := _RETRY.match(name)))
    for number in numbers:
        order = json.loads(storage.read(f"_plan/retry-{number:03d}.json"))
        again = {int(shard): scenes for shard, scenes in order.get("again", {}).items()}
        yield Round(number, [int(shard) for shard in order["shards"]], again)
