"""Captions for the judge of toys: every toy named by some of its facts, and what a caption claims kept beside it.

Unlike the base's captions these never drop a toy; they leave out facts, the place and the articles at random. Beside
each stands one that is nearly right, most often by one fact of one toy: what a picture is most likely to get wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from models.training.judge.claims import FACTS, KINDS, MOST, NO_TOY, UNSAID
from models.training.world.places.backgrounds import BACKGROUNDS

ToyFacts = tuple[int, ...]
"""A toy's three numbers, see `claims.KINDS`; `UNSAID` where a caption leaves one open."""

SAID = (0.9, 0.75, 0.75)
"""How often a caption says a toy's silhouette, colour and pattern."""
WRONG_FACT, ONE_MORE = 0.70, 0.12
"""Shares of nearly right captions with wrong facts, and with a toy too many; the others name another place."""
_PLAIN = KINDS[2].index("plain")
_SUBSETS = tuple(said for said in product((True, False), repeat=3) if any(said))


@dataclass(frozen=True)
class Claim:
    """A caption, and what it says: its toys in its order, the place's index or `UNSAID`."""

    text: str
    toys: tuple[ToyFacts, ...]
    place: int

    @property
    def row(self) -> list[ToyFacts]:
        """The toys and `NO_TOY` in place of those that are missing: [3, 3]."""
        return [*self.toys, *[(NO_TOY,) * 3] * (MOST - len(self.toys))]


def name_of(toy: ToyFacts, article: bool) -> str:
    """ "a red striped star", "plain pink fish", "a spotted object": every fact that is not `UNSAID`."""
    noun, colour, pattern = (
        "" if number == UNSAID else words[number] for number, words in zip(toy, KINDS, strict=True)
    )
    adjectives = (pattern, colour) if toy[2] == _PLAIN else (colour, pattern)
    words = [word for word in (*adjectives, noun or "object") if word]
    if article:
        words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    return " ".join(words)


def describe(
    toys: Sequence[ToyFacts], place: int, rng: np.random.Generator, told: Collection[tuple[int, int]] = ()
) -> Claim:
    """A caption of all `toys` in random order at background `place`. Left out at random: facts (see `SAID`), unless
    `told` has them (the toy's position, the fact's); the place (15 %); articles (half of the captions)."""
    articles = bool(rng.random() < 0.5)
    claimed: list[ToyFacts] = []
    for toy in rng.permutation(len(toys)).tolist():
        dice = rng.random(3)
        claimed.append(
            tuple(
                number if dice[kind] < SAID[kind] or (toy, kind) in told else UNSAID
                for kind, number in enumerate(toys[toy])
            )
        )
    text = "a photo of " + " and ".join(name_of(toy, articles) for toy in claimed) if claimed else "a photo"
    place = place if rng.random() < 0.85 else UNSAID
    if place != UNSAID:
        phrases = BACKGROUNDS[place].phrases
        text += " " + phrases[0 if rng.random() < 0.7 else rng.integers(len(phrases))]
    return Claim(text, tuple(claimed), place)


def describe_wrongly(toys: Sequence[ToyFacts], place: int, rng: np.random.Generator) -> Claim:
    """A caption that is nearly right: of one toy one fact is exchanged, silhouette, colour and pattern alike often; or
    there is one toy more; or the place is another. Of several toys a wrong fact is in half of the cases another one's,
    and in half of these the two trade it. By chance a caption may still fit, so nothing but its claim may say whether
    it does."""
    toys, dice = list(toys), rng.random()
    told: set[tuple[int, int]] = set()
    if toys and (dice < WRONG_FACT or (dice < WRONG_FACT + ONE_MORE and len(toys) == MOST)):
        toy, kind = int(rng.integers(len(toys))), int(rng.integers(3))
        other = (toy + int(rng.integers(1, len(toys)))) % len(toys) if len(toys) > 1 else toy
        mine, theirs = toys[toy][kind], toys[other][kind]
        told.add((toy, kind))
        if mine == theirs or rng.random() < 0.5:
            theirs = (mine + int(rng.integers(1, len(KINDS[kind])))) % len(KINDS[kind])
        elif rng.random() < 0.5:
            toys[other] = exchanged(toys[other], kind, mine)
            told.add((other, kind))
        toys[toy] = exchanged(toys[toy], kind, theirs)
    elif dice < WRONG_FACT + ONE_MORE:
        toys.append(FACTS[rng.integers(len(FACTS))])
    else:
        place = (place + int(rng.integers(1, len(BACKGROUNDS)))) % len(BACKGROUNDS)
    return describe(toys, place, rng, told)


def describe_fully(toys: Sequence[ToyFacts], place: int) -> str:
    """ "a photo of a red striped star and a plain pink fish on grass": every fact, in order, by the usual phrase."""
    names = [name_of(toy, article=True) for toy in toys]
    words = ["a photo of " + " and ".join(names) if names else "a photo"]
    return " ".join(words + ([] if place == UNSAID else [BACKGROUNDS[place].phrases[0]]))


def exchanged(toy: ToyFacts, kind: int, number: int) -> ToyFacts:
    """The toy with another fact of the kind."""
    return (*toy[:kind], number, *toy[kind + 1 :])


def describe_alone(toy: ToyFacts, rng: np.random.Generator) -> Claim:
    """A caption of a toy by itself that says some of its facts, any of the seven ways alike often, and no place."""
    said = _SUBSETS[rng.integers(len(_SUBSETS))]
    claimed = tuple(number if say else UNSAID for number, say in zip(toy, said, strict=True))
    return Claim("a photo of " + name_of(claimed, bool(rng.random() < 0.5)), (claimed,), UNSAID)


def fact_captions() -> tuple[list[str], ...]:
    """Captions of one fact each, of every silhouette, colour and pattern: "a photo of a star", "a photo of a red
    object"; and of every place by its usual phrase: "a photo on grass". What a picture is read with."""
    alone = [
        [
            "a photo of " + name_of(exchanged((UNSAID,) * 3, kind, number), article=True)
            for number in range(len(KINDS[kind]))
        ]
        for kind in range(3)
    ]
    return (*alone, [f"a photo {place.phrases[0]}" for place in BACKGROUNDS])
