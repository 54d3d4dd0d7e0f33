"""`unscene retry`: asking for the failed scenes of an OUTPUT once more, as a round of its own."""

from __future__ import annotations

import json
import re

from pipeline.ledger.commits import commits_of
from pipeline.storage.folder import Storage
from schemas.errors import OutputError

_RETRY = re.compile(r"^retry-(\d+)\.json$")


def request_retry(output: str) -> list[int]:
    """Asks for the failed scenes of an OUTPUT once more; the next run does it. Returns the shards concerned.

    Shards that are not settled yet are left to `unscene run`. Raises OutputError when two ask at the same moment.
    """
    storage = Storage(output)
    shards = [record.shard for record in commits_of(storage, "failures") if any(file.rows for file in record.files)]
    if shards:
        numbers = [int(match[1]) for name in storage.names("_plan") if (match := _RETRY.match(name))]
        number = max(numbers, default=0) + 1
        if not storage.create(f"_plan/retry-{number:03d}.json", json.dumps({"shards": shards}).encode()):
            raise OutputError(f"{output}: another retry was asked for at the same moment; run `unscene run` again")
    return shards


def retry_targets(storage: Storage) -> dict[int, int]:
    """Shard -> the retry round it is wanted in."""
    targets: dict[int, int] = {}
    for name in sorted(storage.names("_plan")):
        match = _RETRY.match(name)
        if match:
            for shard in json.loads(storage.read(f"_plan/{name}"))["shards"]:
                targets[int(shard)] = int(match[1])
    return targets
