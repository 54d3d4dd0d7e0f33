"""Captions for the seedling's judge: every object named, and what a caption claims kept beside its words.

The judge reads whole prompts, so unlike the base model's captions these never drop an object; they drop the place, the
colours and the articles, and now and then say "object" for a noun. What is claimed decides which pictures of a batch a
caption also fits, see `clip_losses`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.training.backgrounds import BACKGROUNDS
from models.training.captions import WITHOUT_ARTICLE
from models.training.sprites import SpriteName


@dataclass(frozen=True)
class Claim:
    """A caption and what it says: nouns by name, how many things it calls "object", the place's index or -1."""

    text: str
    nouns: tuple[str, ...]
    unnamed: int
    place: int


def name_of(sprite: SpriteName, articles: bool, colour: bool, noun: str) -> str:
    """ "a red tomato", "red tomato", "a tomato" or "tomato", with `noun` in the noun's place."""
    words = ([sprite.colour] if colour and sprite.colour else []) + [noun]
    if articles and noun not in WITHOUT_ARTICLE.split():
        words.insert(0, "an" if words[0][0] in "aeiou" and not words[0].startswith(("u", "eu")) else "a")
    return " ".join(words)


def describe(objects: list[SpriteName], place: int, rng: np.random.Generator) -> Claim:
    """A caption of all `objects` in random order at background `place` (-1: none). Left out at random: the place
    (15 %), articles (half of the captions), each colour (half); each noun is "object" in 6 % of its captions."""
    articles = bool(rng.random() < 0.5)
    parts, nouns = [], []
    for number in rng.permutation(len(objects)):
        sprite = objects[number]
        named = rng.random() >= 0.06
        nouns += [sprite.noun] if named else []
        parts.append(name_of(sprite, articles, bool(rng.random() < 0.5), sprite.noun if named else "object"))
    text = "a photo of " + " and ".join(parts) if parts else "a photo"
    place = place if rng.random() < 0.85 else -1
    if place >= 0:
        phrases = BACKGROUNDS[place].phrases
        text += " " + phrases[0 if rng.random() < 0.7 else rng.integers(len(phrases))]
    return Claim(text, tuple(nouns), len(objects) - len(nouns), place)


def describe_wrongly(
    objects: list[SpriteName], place: int, roster: tuple[SpriteName, ...], most: int, rng: np.random.Generator
) -> Claim:
    """A caption that is nearly right: one object exchanged (60 %), one too many (15 %, never more than `most`), or
    another place (25 %). By chance it may still fit, so nothing but its claim may say whether it does."""
    objects, dice = list(objects), rng.random()
    other = roster[rng.integers(len(roster))]
    if dice < 0.60 and objects:
        objects[rng.integers(len(objects))] = other
    elif dice < 0.75 and len(objects) < most:
        objects.append(other)
    else:
        place = int(rng.integers(len(BACKGROUNDS)))
    return describe(objects, place, rng)
