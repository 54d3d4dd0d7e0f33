"""Everything that the answers of a study come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.protocol.page.table import TITLES
from pipeline.protocol.statistics.bootstrap import Interval
from pipeline.study.analysis.agreement import agreement
from pipeline.study.analysis.answers import Answers
from pipeline.study.analysis.attention import Attention, attention
from pipeline.study.analysis.crossed import RESAMPLES, Crossed
from pipeline.study.analysis.preferences import LEAST_SCENES, Level, Pair, levels, pairs
from pipeline.study.analysis.significance import Tests, paper_tests
from pipeline.study.questions import ASPECTS, IDENTITY, PROMPT
from pipeline.wording import counted
from schemas.errors import CommandError

FEW_RATERS = 5
ASPECT_TITLES = {IDENTITY: "keeps the object", PROMPT: "follows the prompt"}


@dataclass(frozen=True)
class Findings:
    """levels, pairs: see preferences.py; agreement, tests: by aspect. scenes, ratings: behind them; counted, left_out:
    raters; notes: what to know of them, a sentence each."""

    study: str
    methods: list[str]
    scenes: int
    ratings: int
    counted: list[Attention]
    left_out: list[Attention]
    levels: list[Level]
    pairs: list[Pair]
    agreement: dict[str, Interval]
    tests: dict[str, Tests]
    notes: list[str]

    def level(self, method: str, aspect: str) -> Level | None:
        return next((one for one in self.levels if (one.method, one.aspect) == (method, aspect)), None)


def title(method: str) -> str:
    """A method as tables and plots name it."""
    return TITLES.get(method, method)


def findings_of(read: Answers, resamples: int = RESAMPLES) -> Findings:
    """Raises CommandError where every rater is left out by the checks, or fewer than two methods are rated."""
    raters = attention(read.answers)
    counting = {rater.rater for rater in raters if rater.counts}
    left_out = [rater for rater in raters if not rater.counts]
    if not counting:
        early = "" if all(rater.checks for rater in left_out) else ", or those who ended early to go on"
        raise CommandError(
            f"--analyse: every rater {', or '.join(_reasons(left_out))}; there is nothing to compare, ask other "
            f"people{early}"
        )
    answers = [answer for answer in read.answers if answer.rater in counting and answer.who in read.methods]
    methods = [name for name in read.methods if any(answer.who == name for answer in answers)]
    if len(methods) < 2:
        raise CommandError("--analyse: fewer than two methods are rated in there; ask the raters to go on")
    crossed = Crossed([answer.rater for answer in answers], [answer.scene for answer in answers], resamples)
    by_aspect = {aspect: [answer for answer in answers if answer.aspect == aspect] for aspect in ASPECTS}
    agreements = {aspect: agreement(mine, resamples) for aspect, mine in by_aspect.items()}
    tests = {aspect: paper_tests(mine, methods) for aspect, mine in by_aspect.items()}
    return Findings(
        read.study,
        methods,
        len(crossed.scenes),
        len(answers),
        [rater for rater in raters if rater.counts],
        left_out,
        levels(answers, methods, crossed),
        pairs(answers, methods, crossed),
        {aspect: found for aspect, found in agreements.items() if found is not None},
        {aspect: found for aspect, found in tests.items() if found is not None},
        list(_notes(read, counting, left_out, len(crossed.scenes))),
    )


def _notes(read: Answers, counting: set[str], left_out: Sequence[Attention], scenes: int) -> list[str]:
    notes = [f"left out, as they {reason}" for reason in _reasons(left_out)]
    asked: dict[str, set[str]] = {}
    for answer in read.answers:
        asked.setdefault(answer.rater, set()).add(answer.question)
    early = [f"{rater} ({len(asked[rater])} of {read.of})" for rater in sorted(counting) if len(asked[rater]) < read.of]
    if early:
        notes.append(f"ended early, and count as far as they came: {', '.join(early)}")
    if read.empty:
        notes.append(f"without an answer: {', '.join(read.empty)}")
    if read.repeated:
        notes.append(f"{counted(read.repeated, 'answer')} in two files, the same in both, counted once")
    if len(counting) == 1:
        notes.append("one rater: intervals are over scenes, and say nothing of other people")
    elif len(counting) < FEW_RATERS:
        notes.append(f"{len(counting)} raters: so few say little of other people, and intervals are too narrow")
    if scenes < LEAST_SCENES:
        notes.append(f"{counted(scenes, 'scene')}: below {LEAST_SCENES} no preference is called found")
    return notes


def _reasons(left_out: Sequence[Attention]) -> list[str]:
    """Who came to no check has failed none, and is not called careless."""
    failed = [rater.words() for rater in left_out if rater.checks]
    early = [rater.words() for rater in left_out if not rater.checks]
    told = (("failed the attention checks", failed), ("ended before they had answered an attention check", early))
    return [f"{reason}: {', '.join(raters)}" for reason, raters in told if raters]
