"""Tables and tars that are committed and cannot be read, and what to do about them: a page that left them out in
silence would say of finished scenes that nothing was made of them yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ledger.commits import commit_name
from pipeline.report.facts import SceneFacts
from pipeline.shards.reader import OutputReader
from pipeline.shards.tars import tar_name
from pipeline.stage_kinds import STAGE_OF

MOST = 6
"""Files that are named on the page."""


@dataclass(frozen=True)
class Damage:
    """files: the first that cannot be read; commits: those that name them; more: how many files there are besides.
    Under the OUTPUT, or with the whole address where they are of another."""

    files: Sequence[str]
    commits: Sequence[str]
    more: int


def damage_of(reader: OutputReader, scenes: Sequence[SceneFacts]) -> Damage | None:
    """Of the shards of these scenes, whose pictures and curves have been looked at; None where all could be read."""
    tables = set().union(*(scene.lost for scene in scenes))
    tars = set().union(*(scene.spoilt for scene in scenes))
    lost = sorted([*((place, False) for place in tables), *((place, True) for place in tars)])
    files: list[str] = []
    commits: list[str] = []
    for (table, shard), tar in lost[:MOST]:
        commit = reader.commit(table, shard)
        assert commit is not None, "what is lost was committed"
        for names, name in (
            (files, tar_name(table, shard) if tar else commit.files[0].path),
            (commits, commit_name(STAGE_OF[table], shard, commit.round)),
        ):
            names.append(name if reader.own(table) else reader.home(table).url_of(name))
    return Damage(files, list(dict.fromkeys(commits)), len(lost) - len(files)) if lost else None
