"""How far a job is: scenes of each stage, how much of those in hand is done, and when it will end.

Nothing is guessed. What a scene costs in a stage is what it has cost there so far, in this run or in the last one that
measured it; a stage that nobody has measured yet is left out of what is left, and named.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.watching.watcher import InHand

_HALF_S = 1800.0
"""Work that is so long past counts half for what a scene costs: workers come and go."""


@dataclass
class StageCount:
    """Scenes of one stage. before: (done, failed) of earlier runs; known_s: seconds a scene, as an earlier run measured
    them."""

    done: int = 0
    failed: int = 0
    before: tuple[int, int] = (0, 0)
    in_hand: Sequence[InHand] = ()
    known_s: float | None = None
    _busy_s: float = 0.0
    _through: float = 0.0
    _pending_s: float = 0.0
    _seen: float = 0.0

    @property
    def through(self) -> int:
        """Scenes that the stage is through with, whatever came of them."""
        return self.done + self.failed

    @property
    def part(self) -> float:
        """What is done of the units in hand, in scenes."""
        return sum(hand.scenes * float(hand.word.get("share", 0.0)) for hand in self.in_hand)

    @property
    def working(self) -> bool:
        return any(hand.scenes for hand in self.in_hand)

    def measure(self, in_hand: Sequence[InHand], passed_s: float) -> float:
        """Takes in what the workers are at now; returns the seconds that the stage was at work since last time."""
        worked = self.working
        self.in_hand = in_hand
        now = self.through - sum(self.before) + self.part
        gained, self._seen = now - self._seen, now
        if not worked and not gained:
            return 0.0
        self._pending_s += passed_s
        if gained:  # between two words a worker is not standing still
            kept = 0.5 ** (self._pending_s / _HALF_S)
            self._busy_s = self._busy_s * kept + self._pending_s
            self._through = max(0.0, self._through * kept + gained)
            self._pending_s = 0.0
        return passed_s

    @property
    def scene_s(self) -> float | None:
        """Seconds that a scene takes while the stage is at work, with all its workers; None before anybody knows."""
        return self._busy_s / self._through if self._through > 0 else self.known_s


@dataclass(frozen=True)
class StageState:
    """What there is to say of one stage now. working, starting: workers; share: of its scenes, those in hand in part;
    now: what its workers are at, in words; scene_s: see `StageCount`."""

    name: str
    done: int
    failed: int
    left: int
    working: int
    starting: int
    share: float
    now: str
    scene_s: float | None


@dataclass(frozen=True)
class Outlook:
    """What there is to say of the whole job now. share: of its work, by time; None before every stage is measured.
    left_s: seconds to its end; None before any stage is measured. unmeasured: stages that `left_s` is without."""

    elapsed_s: float
    share: float | None
    left_s: float | None
    unmeasured: tuple[str, ...] = field(default=())


class JobCounts:
    """The counts of a job of `scenes` scenes, stage by stage in their order. known_s: stage -> seconds a scene, as an
    earlier run of the job measured them. began: when the run did, by `time.monotonic`."""

    def __init__(
        self,
        stages: Sequence[str],
        scenes: int,
        known_s: Mapping[str, float] | None = None,
        began: float | None = None,
    ) -> None:
        self.scenes = scenes
        self.stages = {stage: StageCount(known_s=(known_s or {}).get(stage)) for stage in stages}
        self._at = time.monotonic()
        self._began = self._at if began is None else began
        self._busy_s = self._any_s = 0.0

    def restore(self, stage: str, done: int, failed: int) -> None:
        """What earlier runs have committed."""
        count = self.stages[stage]
        count.done, count.failed = count.done + done, count.failed + failed
        count.before = (count.before[0] + done, count.before[1] + failed)

    def add(self, stage: str, done: int, failed: int) -> None:
        """A unit that a worker is through with."""
        count = self.stages[stage]
        count.done, count.failed = count.done + done, count.failed + failed

    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None:
        """What the workers of each stage are at now."""
        now = time.monotonic()
        passed, self._at = now - self._at, now
        busy = [count.measure(in_hand.get(name, ()), passed) for name, count in self.stages.items()]
        self._busy_s += sum(busy)
        self._any_s += max(busy, default=0.0)

    def rest(self) -> None:
        """No worker is at anything any more; what was measured stays."""
        for count in self.stages.values():
            count.in_hand = ()

    def left(self, stage: str) -> int:
        """Scenes that may still reach the end of this stage: all, less those done here and those failed up to here."""
        lost = 0
        for name, count in self.stages.items():
            lost += count.failed
            if name == stage:
                break
        return max(0, self.scenes - lost - self.stages[stage].done)

    def states(self) -> Iterator[StageState]:
        """Every stage as it is now."""
        for name, count in self.stages.items():
            left = self.left(name)
            of = count.through + left
            working = sum(1 for hand in count.in_hand if hand.scenes)
            yield StageState(
                name,
                count.done,
                count.failed,
                left,
                working,
                len(count.in_hand) - working,
                min(1.0, (count.through + count.part) / of) if of else 1.0,
                at_work(count.in_hand),
                count.scene_s,
            )

    def job(self) -> Outlook:
        """The whole job as it is now. Stages that have worked side by side so far are taken to go on so."""
        done_s = left_s = 0.0
        measured, unmeasured, whole = False, [], True
        for name, count in self.stages.items():
            left, cost = self.left(name), count.scene_s
            if cost is None:
                whole = whole and not left and not count.through
                if left:
                    unmeasured.append(name)
                continue
            measured = measured or left > 0
            part = min(count.part, left)
            done_s += cost * (count.through + part)
            left_s += cost * (left - part)
        at_once = max(1.0, self._busy_s / self._any_s) if self._any_s else 1.0
        share = done_s / (done_s + left_s) if whole and done_s + left_s else None
        return Outlook(time.monotonic() - self._began, share, left_s / at_once if measured else None, tuple(unmeasured))


def at_work(in_hand: Sequence[InHand]) -> str:
    """What the workers of a stage are at, in words: that of the one which is least far, and how many there are."""
    working = sorted((hand for hand in in_hand if hand.scenes), key=lambda hand: float(hand.word.get("share", 0.0)))
    shown = working or list(in_hand)
    if not shown:
        return ""
    text = _told(shown[0]) or ("working" if working else "starting")
    return text if len(shown) == 1 else f"{len(shown)} workers: {text}"


def _told(hand: InHand) -> str:
    word, parts = hand.word, []
    if "doing" in word:
        parts.append(str(word["doing"]))
    if "phase" in word:
        parts.append(f"phase {word['phase']}")
    for one, all_ in (("step", "steps"), ("picture", "pictures")):
        if one in word and all_ in word:
            parts.append(f"{one} {word[one]:,} of {word[all_]:,}")
    return ", ".join(parts)
