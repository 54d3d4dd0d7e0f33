"""Scenes that a data set has nothing of, or no new pictures, as their shard is not through a stage yet, or they failed.
Their pictures stand in no table, so no count of pictures that are left out tells of them.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from pipeline.dataset.choices import Choices
from pipeline.dataset.source import DatasetSource
from pipeline.ledger.plan import Plan, read_plan
from pipeline.stage_kinds import AFTER_HANDLES, STAGE_OF
from pipeline.watching.snapshot import command_of, read_snapshot
from pipeline.wording import counted

_REAL = ("scenes", "concepts")
"""Tables without which not even the source's own picture is in."""


class Missing:
    """Counts scenes, a shard at a time, by the first table that lacks them. Withdrawn ones are wanted by nobody."""

    def __init__(self, source: DatasetSource, choices: Choices) -> None:
        self._source, self._choices = source, choices
        wanted = [*_REAL, "handles", *AFTER_HANDLES] if choices.new else _REAL
        self._tables = [table for table in wanted if table != "scores" or source.spec.evaluate.enabled]
        self._failed: Counter[str] = Counter()
        self._unmade: Counter[str] = Counter()

    @cached_property
    def plan(self) -> Plan:
        """Of the OUTPUT that has the scenes. Raises OutputError where it is gone."""
        return read_plan(self._source.reader.home("concepts"))

    def look(self, shard: int) -> None:
        """Counts the scenes of a shard."""
        left = set(self.plan.scenes(shard)) if shard < self.plan.shards else set[str]()
        left -= self._source.withdrawn
        for table in self._tables:
            commit = self._source.commit(table, shard)
            done = set() if commit is None else left.intersection(commit.done)
            failed = set() if commit is None else left.intersection(row["scene_id"] for row in commit.failures) - done
            self._failed[table] += len(failed)
            self._unmade[table] += len(left - done - failed)
            left = done

    def lines(self, remedies: bool) -> Iterator[str]:
        """A line for each table that lacks some. remedies: whether it says what to do, by commands that mean something
        where the OUTPUT is."""
        for table in self._tables:
            stage = STAGE_OF[table]
            if count := self._unmade[table]:
                yield (
                    f"{counted(count, 'scene')} {'is' if count == 1 else 'are'} not through {stage} yet, and "
                    f"{self._lack(table, count)}{f'; {self._goes_on(table)}' if remedies else ''}"
                )
            if count := self._failed[table]:
                yield (
                    f"{counted(count, 'scene')} failed in {stage}, and {self._lack(table, count)}"
                    f"{f'; {self._again(table)}' if remedies else ''}"
                )

    def _lack(self, table: str, count: int) -> str:
        if table in _REAL or not self._choices.real:
            return f"{'is' if count == 1 else 'are'} left out"
        return f"{'has' if count == 1 else 'have'} no new pictures in it"

    def _goes_on(self, table: str) -> str:
        return f"`{command_of(read_snapshot(self._source.reader.home(table)))}` goes on, {self._then(table)}"

    def _again(self, table: str) -> str:
        url = shlex.quote(self._source.reader.home(table).url)
        return f"`unscene status {url}` says why, `unscene retry {url}` tries again, {self._then(table)}"

    def _then(self, table: str) -> str:
        reader = self._source.reader
        if self._choices.new and not reader.own(table):
            drawing = command_of(read_snapshot(reader.storage))
            return f"`{drawing}` draws what it learns, and then the same command adds what came of it"
        return "and then the same command adds what came of it"
