"""What a page can be filtered by: what pictures are worth, their scores, words of concepts, and how scenes failed. The
page has no script: a choice is a radio button, and a style rule hides what is not of it.

A rule sees the classes of one thing and none of what lies in it, so a scene whose pictures are each of one choice, and
none of both, needs a rule for the two; `together` has those that the page needs.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.report.facts import KEPT_ONCE, NOT_ONCE, NOT_SCORED, SCORE_LOST, SceneFacts, by_prompt, state_of
from pipeline.report.tenths import Tenth, tenths_of
from pipeline.shards.reader import Row

MAX_WORDS = 24
MAX_FAILURES = 12

Group = tuple[Sequence[str], Sequence[Row | None]]
"""Pictures of one prompt: the words of the concepts that it asks for, and their scores, as of `SceneFacts.score`."""
Marks = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""Classes that a picture has by its state, its scores, and its words: what is chosen by one button each."""


@dataclass(frozen=True)
class Choices:
    """states: what a picture is worth -> how many pictures, good ones first; shown: the same -> how many of them are
    shown, since of a scene with many only some are; words: word -> how many scenes, the most
    frequent ones; left_out: how many words there are besides; tenths: of the pictures shown, by score; scored: how many
    of them have any; failures: `SceneError in extract` -> how many scenes, the most frequent ones; failed: how many in
    all; together: ids of buttons that hide more together than each by itself."""

    states: Mapping[str, int]
    words: Mapping[str, int]
    left_out: int
    tenths: Sequence[Tenth] = ()
    scored: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    together: frozenset[tuple[str, ...]] = frozenset()
    shown: Mapping[str, int] = field(default_factory=dict)

    @property
    def by_state(self) -> dict[str, str]:
        """What a picture is worth -> how many are: `20`, or `123 (82 shown)`; under `all` all of them."""
        counts = {"all": (sum(self.states.values()), sum(self.shown.values()))}
        counts |= {name: (count, self.shown.get(name, 0)) for name, count in self.states.items()}
        return {
            name: f"{count:,}" + (f" ({shown:,} shown)" if shown < count else "")
            for name, (count, shown) in counts.items()
        }

    def picture(self, score: Row | None) -> str:
        """The CSS classes of a picture: numbers, since words are strangers'. score: as of `SceneFacts.score`."""
        states, tenths, _ = self._marks(score, ())
        return " ".join([*states, *tenths])

    def group(self, words: Sequence[str], scores: Sequence[Row | None]) -> str:
        """The classes of the pictures of one prompt."""
        every = [self._marks(score, words) for score in scores]
        return " ".join([*itertools.chain(*_singles(every)), *self._joined(every)])

    def scene(self, facts: SceneFacts) -> str:
        """The classes of a scene, and of its tile: of what those of its pictures are worth that are shown, and of their
        scores."""
        every = self._shown(facts)
        failed = ["failed", *_numbered("f", self.failures, [failure_of(facts)])] if facts.failure else []
        return " ".join([*itertools.chain(*self._own(facts, every)), *self._joined(every), *failed])

    def needed(self, facts: SceneFacts) -> Iterator[tuple[str, ...]]:
        """Buttons that would leave the scene, or a prompt of it, on the page without a picture that is of them all."""
        every = self._shown(facts)
        yield from _combined(self._own(facts, every)) - set().union(*map(_combined, every))
        for words, scores in groups_of(facts):
            group = [self._marks(score, words) for score in scores]
            yield from _combined(_singles(group)) - set().union(*map(_combined, group))

    def _shown(self, facts: SceneFacts) -> list[Marks]:
        return [self._marks(score, words) for words, scores in groups_of(facts) for score in scores]

    def _own(self, facts: SceneFacts, every: Sequence[Marks]) -> Marks:
        states, tenths, _ = _singles(every)
        return states, tenths, [*_numbered("w", self.words, facts.words)]

    def _marks(self, score: Row | None, words: Sequence[str]) -> Marks:
        tenths = [f"q{number}" for number, tenth in enumerate(self.tenths) if tenth.has(score)]
        return [*_numbered("s", self.states, [state_of(score)])], tenths, [*_numbered("w", self.words, words)]

    def _joined(self, every: Sequence[Marks]) -> list[str]:
        """Classes of choices that are of one picture together, where a rule asks for them."""
        found: set[tuple[str, ...]] = set().union(*map(_combined, every))
        return sorted("".join(chosen) for chosen in found & self.together)


def choices_of(scenes: Sequence[SceneFacts]) -> Choices:
    """The choices that these scenes leave."""
    states: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for scene in scenes:
        states.update(scene.states)
        words.update(scene.words)
    failures = Counter(failure_of(scene) for scene in scenes if scene.failure)
    every = [score for scene in scenes for _, found in groups_of(scene) for score in found]
    scores, shown = [score for score in every if score], Counter(map(state_of, every))
    first, last = (KEPT_ONCE, NOT_ONCE), (NOT_SCORED, SCORE_LOST)
    rest = [name for name, _ in states.most_common() if name not in (*first, *last)]
    ordered = {name: states[name] for name in (*first, *rest, *last) if states[name]}
    frequent = dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS])
    left_out = len(words) - len(frequent)
    often = dict(failures.most_common(MAX_FAILURES))
    choices = Choices(ordered, frequent, left_out, tenths_of(scores), len(scores), often, failures.total(), shown=shown)
    together = frozenset(chosen for scene in scenes for chosen in choices.needed(scene))
    return replace(choices, together=together)


def groups_of(facts: SceneFacts) -> list[Group]:
    """The pictures of a scene that are shown, prompt by prompt."""
    shown = facts.rows.get("variations", [])
    if not shown:
        return []
    words = {row["index"]: row.get("word") for row in facts.rows.get("concepts", [])}
    return [
        ([words.get(index) or "" for index in rows[0]["concepts"]], [facts.score(row) for row in rows])
        for rows in by_prompt(shown, len(shown)).values()
    ]


def failure_of(facts: SceneFacts) -> str:
    """How a scene failed, to count by: `SceneError in extract`; nothing where it did not."""
    return f"{facts.failure['error']} in {facts.failure['stage']}" if facts.failure else ""


def _numbered(letter: str, names: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    wanted = set(wanted)
    return (f"{letter}{number}" for number, name in enumerate(names) if name in wanted)


def _singles(every: Sequence[Marks]) -> Marks:
    """What any of these pictures has."""
    states, tenths, words = (list(dict.fromkeys(mark for marks in every for mark in marks[kind])) for kind in range(3))
    return states, tenths, words


def _combined(marks: Marks) -> set[tuple[str, ...]]:
    """Every choice of two kinds or of all three."""
    picks = itertools.product(*(("", *kind) for kind in marks))
    chosen = (tuple(filter(None, pick)) for pick in picks)
    return {each for each in chosen if len(each) > 1}
