"""What a page says of a scene, its concepts and its pictures, as the templates ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipeline.report.curves import Curve
from pipeline.report.facts import KEPT_ONCE, NOT_SCORED, ONCE, SCORE_LOST, SceneFacts, state_of
from pipeline.report.found import Found
from pipeline.report.thumbnails import colour_of, css_colour, ink_on
from pipeline.shards.reader import Row
from pipeline.wording import counted

_ESTIMATES = {"predicted_iou": "SAM IoU", "stability_score": "Stability", "score": "Score"}


@dataclass(frozen=True)
class ConceptView:
    """colour: CSS, the same in the masks, the legend and the prompts, under its number in `ink`. concept, handle: rows
    of the tables. place: where the number stands on the picture, (x, y) in percent."""

    index: int
    concept: Row
    handle: Row
    place: tuple[float, float] | None = None

    @property
    def colour(self) -> str:
        return css_colour(colour_of(self.index))

    @property
    def ink(self) -> str:
        return ink_on(colour_of(self.index))

    @property
    def token(self) -> str:
        return self.handle.get("token") or f"concept {self.index}"

    @property
    def word(self) -> str:
        return self.concept.get("word") or ""

    @property
    def name(self) -> str:
        """`0 <asset0> cat`, or without a word `0 <asset0>`."""
        return " ".join(part for part in (str(self.index), self.token, self.word) if part)


@dataclass(frozen=True)
class PictureView:
    """One variation. image: data URI, None if it cannot be read; score: as of `SceneFacts.score`; seen: what it
    shows, in words; found: the masks found in it, of the concepts in `shown`; None if they cannot be read."""

    row: Row
    image: str | None
    score: Row | None
    seen: str
    found: Found | None = None
    shown: Sequence[ConceptView] = ()

    @property
    def placed(self) -> str:
        """`in place of 1`, `added`, `into kitchen.jpg`, or nothing where the whole picture is new."""
        if self.row.get("mode") != "place":
            return ""
        if self.row.get("into"):
            return f"into {self.row['into'].rpartition('/')[2]}"
        return "added" if self.row["replaced"] is None else f"in place of {self.row['replaced']}"

    @property
    def lost_masks(self) -> bool:
        """Whether it has masks that cannot be read."""
        return bool(self.score and self.score.get("mask")) and self.found is None

    @property
    def state(self) -> str:
        return state_of(self.score)


@dataclass(frozen=True)
class PromptView:
    """Variations of one prompt. concepts: those that it asks for."""

    prompt: str
    text: str
    concepts: list[ConceptView]
    pictures: list[PictureView]


@dataclass
class SceneView:
    """All that the page says of one scene. small: the overlay (or picture) for the fold; tile: its
    picture on the contact sheet, with `tile_text` in words."""

    facts: SceneFacts
    name: str
    picture: str | None = None
    overlay: str | None = None
    concepts: list[ConceptView] = field(default_factory=list)
    prompts: list[PromptView] = field(default_factory=list)
    curves: list[tuple[Curve, Markup]] = field(default_factory=list)
    small: str | None = None
    tile: str | None = None
    tile_text: str = ""

    @property
    def row(self) -> Row:
        return next(iter(self.facts.rows.get("scenes", [])), {})

    @property
    def estimates(self) -> dict[str, str]:
        """Columns of the concepts that Segment Anything has filled -> their headings; none where masks were given."""
        known = {name for item in self.concepts for name, value in item.concept.items() if value is not None}
        return {name: title for name, title in _ESTIMATES.items() if name in known}

    @property
    def extracted(self) -> bool:
        return bool(self.facts.rows.get("handles"))

    @property
    def lost_curves(self) -> bool:
        """Whether it has loss curves that cannot be read."""
        return any(table == "handles" for table, _ in self.facts.spoilt)

    @property
    def shown(self) -> int:
        return sum(len(prompt.pictures) for prompt in self.prompts)

    @property
    def has_masks(self) -> bool:
        """Whether one of its variations has a mask to draw."""
        return any(made.image and made.shown for prompt in self.prompts for made in prompt.pictures)

    @property
    def seconds(self) -> float | None:
        return self.concepts[0].handle.get("seconds") if self.concepts else None

    @property
    def verdict(self) -> str:
        """`3 of 4 show every concept once`, or what stands in the way of saying so."""
        if self.facts.failure:
            return f"failed in {self.facts.failure['stage']}"
        if self.facts.unread("variations"):
            return "its pictures cannot be read"
        if self.facts.standing is None:
            made, lost = self.facts.variations, self.facts.unread("scores")
            how = "scores cannot be read" if lost else "not scored"
            return f"{counted(made, 'picture')}, {how}" if made else "no pictures yet"
        return f"{self.facts.states[KEPT_ONCE]} of {self.facts.variations} good"

    @property
    def besides(self) -> str:
        """`; 3 not kept: near-duplicates`: what its verdict leaves out of the states of its pictures, or nothing."""
        told = (KEPT_ONCE, NOT_SCORED, SCORE_LOST)
        return "".join(f"; {count} {name}" for name, count in self.facts.states.items() if name not in told)


def seen_text(score: Row | None, asked: Sequence[ConceptView]) -> str:
    """How the picture differs from one that shows every concept asked for once: `lacks <asset1>, 2 × <asset0>`."""
    if not score:
        return ""
    if score["complete"]:  # of a placed picture: once in its region, whatever stands beside it
        return ONCE
    found = dict(enumerate(score["found"]))
    wrong = [
        f"{found[item.index]} × {item.token}" if found.get(item.index) else f"lacks {item.token}"
        for item in asked
        if found.get(item.index) != 1
    ]
    return ", ".join(wrong) or ONCE
