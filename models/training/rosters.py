"""Which sprites the seedling learns with their names, and which no model of it ever sees.

A roster's line is a class word, then `code:noun:colour` entries; `_` stands for the space of a two-word noun, and the
colour is empty where no single one fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpriteName:
    """One sprite of the world: its file stem, the English noun it is called by, its colour word, and its class word.
    Colour and kind are "" where none fits."""

    code: str
    noun: str
    colour: str
    kind: str = ""

    def words(self, rng: np.random.Generator) -> list[str]:
        """What a caption calls it: its colour, where it has one, in 40 %; then its noun, or "object" (12 %), or its
        class word (10 %): a handle that starts from the embedding of such a word starts from one that the model knows
        to be any object."""
        draw = rng.random()
        words = [self.colour] if self.colour and rng.random() < 0.4 else []
        return [*words, "object" if draw < 0.12 else self.kind if draw > 0.9 and self.kind else self.noun]


def _roster(text: str) -> tuple[SpriteName, ...]:
    return tuple(SpriteName(*entry.replace("_", " ").split(":")) for entry in text.split())


def _kinds(text: str) -> tuple[SpriteName, ...]:
    found: list[SpriteName] = []
    for line in text.strip().splitlines():
        kind, entries = line.split("|")
        found += [SpriteName(s.code, s.noun, s.colour, kind.strip()) for s in _roster(entries)]
    return tuple(found)


TRAINING = _kinds(
    """
animal | 1f425:chick:yellow 1f438:frog:green 1f433:whale:blue 1f437:pig:pink 1f43b:bear:brown 1f430:rabbit:white
animal | 1f428:koala:gray 1f98a:fox:orange 1f418:elephant:gray 1f427:penguin: 1f412:monkey:brown 1f434:horse:brown
animal | 1f404:cow: 1f411:sheep:white 1f413:rooster: 1f986:duck: 1f985:eagle:brown 1f99c:parrot: 1f9a9:flamingo:pink
animal | 1f9a2:swan:white 1f99a:peacock: 1f40d:snake:green 1f40a:crocodile:green 1f432:dragon: 1f996:dinosaur:green
animal | 1f419:octopus:orange 1f991:squid:pink 1f988:shark:gray 1f42c:dolphin:blue 1f99e:lobster:red
animal | 1f990:shrimp:orange 1f40c:snail:brown 1f98b:butterfly: 1f41d:bee: 1f41e:ladybug:red 1f577-fe0f:spider:black
animal | 1f982:scorpion:brown 1f987:bat:brown 1f98c:deer:brown 1f992:giraffe:orange 1f993:zebra: 1f984:unicorn:
animal | 1f98f:rhino:gray 1f42b:camel: 1f999:llama:white 1f998:kangaroo: 1f994:hedgehog:brown 1f43f-fe0f:squirrel:
animal | 1f98d:gorilla:gray 1f9ad:seal:white 1fabc:jellyfish:blue 1f426:bird:red
fruit | 1f34e:apple:red 1f34a:tangerine:orange 1f34b:lemon:yellow 1f34c:banana:yellow 1f34d:pineapple:yellow
fruit | 1f347:grapes:purple 1f349:watermelon: 1f353:strawberry:red 1f352:cherry:red 1f95d:kiwi:green
fruit | 1f951:avocado:green
vegetable | 1f966:broccoli:green 1f346:eggplant:purple 1f955:carrot:orange 1f33d:corn:yellow 1f952:cucumber:green
vegetable | 1f383:pumpkin:orange
food | 1f36a:cookie:brown 1f355:pizza: 1f32d:hotdog: 1f32e:taco: 1f35f:fries:red 1f369:donut:brown 1f382:cake:
food | 1f366:ice_cream: 1f36d:lollipop: 1f37f:popcorn: 1f950:croissant: 1f35e:bread: 1f968:pretzel:brown
food | 1f9c0:cheese:yellow 1f95e:pancakes: 1f363:sushi: 1f96a:sandwich:
drink | 2615:coffee:brown 1f37a:beer:yellow 1f95b:milk:white 1fad6:teapot:red
vehicle | 1f697:car:red 1f692:firetruck:red 1f691:ambulance:white 1f69a:truck:yellow 1f69c:tractor:green
vehicle | 1f6b2:bicycle:red 1f3cd-fe0f:motorcycle:red 1f6f4:scooter:blue 1f686:train: 1f681:helicopter:orange
vehicle | 2708-fe0f:airplane: 1f680:rocket: 26f5:sailboat: 1f6a2:ship: 1f6f8:ufo: 1f6f9:skateboard:
instrument | 1f3b8:guitar: 1f3bb:violin:brown 1f3ba:trumpet:yellow 1f3b7:saxophone:yellow 1f941:drum: 1f3b9:piano:
instrument | 1fa97:accordion:red 1f3a4:microphone:
furniture | 1fa91:chair:brown 1f6cb-fe0f:couch:blue 1f6cf-fe0f:bed:blue 1f6c1:bathtub: 1f6bd:toilet:white
device | 1f4fa:television: 260e-fe0f:telephone:red 1f4f7:camera:gray 1f4a1:lightbulb:yellow 23f0:clock:
device | 231b:hourglass: 1f4bb:laptop: 1f4f1:phone: 1f3ae:gamepad:
clothing | 1f3a9:hat:black 1f451:crown: 1f455:shirt:green 1f456:jeans:blue 1f457:dress:blue 1f45f:sneaker:
clothing | 1f462:boot:red 1f9e4:gloves:purple 1f9e3:scarf:red 1f9e5:coat: 1f453:glasses:blue 1f45c:handbag:
clothing | 1f48d:ring: 1f9e2:cap:blue 26d1-fe0f:helmet:red
plant | 1f335:cactus:green 1f332:tree:green 1f33b:sunflower:yellow 1f339:rose:red 1f341:leaf:red 1f340:clover:green
plant | 1f490:bouquet:
tool | 1f528:hammer: 1f527:wrench:gray 1fa93:axe: 2702-fe0f:scissors: 1f511:key:yellow 1f512:lock:yellow
tool | 1f9f2:magnet:red 1fa9c:ladder:brown 1faa3:bucket:blue 1f52c:microscope: 1f6e1-fe0f:shield:blue 2693:anchor:blue
tool | 270f-fe0f:pencil:orange
toy | 1f3c0:basketball:orange 1f388:balloon:red 1f381:gift: 1f9f8:teddy_bear: 1fa81:kite: 1f3b2:dice:white
toy | 1f9e9:puzzle:green
object | 1f3c6:trophy:yellow 1f3af:target: 26c4:snowman:white 1f47b:ghost:white 1f480:skull:white 1f514:bell:yellow
object | 1f4e6:box:brown 2709-fe0f:envelope:white 1f48e:gem:blue 2764-fe0f:heart:red 2b50:star:yellow 1f319:moon:
object | 2601-fe0f:cloud:white 1f525:fire:orange 1f4a7:droplet:blue 2744-fe0f:snowflake:blue 1f308:rainbow:
object | 1f3e0:house: 1f3f0:castle: 26fa:tent:green 1f4bc:briefcase:brown 1f6a9:flag:red 1f4a3:bomb:black
object | 1f9fa:basket: 1f9b4:bone:white 1f56f-fe0f:candle:
"""
)
"""The sprites that the diffusion model learns with their nouns, colours and class words."""

_first = (
    "apple car heart tangerine basketball fox lemon star chick frog broccoli whale gem eggplant pig bear cookie "
    "rabbit hat koala banana carrot penguin elephant"
)
FIRST = tuple(sprite for sprite in TRAINING if sprite.noun in _first.split())
"""The 24 of them that a base learns which has only a CPU's hours to learn in."""

HELD_OUT = _roster(
    "1f345:tomato:red 1f980:crab:red 1f392:backpack:red 1f344:mushroom:red 1f695:taxi:yellow 1f431:cat:yellow "
    "1f42f:tiger:orange 1f436:dog:brown 1f981:lion:brown 1f42d:mouse:gray 1f43c:panda:white 26bd:football:blue "
    "26be:baseball:white 1f68c:bus:orange 1f41f:fish:blue 1f30e:globe:blue 1f47d:alien:green 1f422:turtle:green "
    "1f350:pear:green 1f351:peach:orange 1fad0:blueberry:purple 2602-fe0f:umbrella:purple 1f916:robot:white "
    "1f989:owl:brown 1f965:coconut:brown 1f9c1:cupcake:pink 1f337:tulip:pink 1f354:burger:brown "
    "1f95a:egg:brown 1fad1:pepper:green"
)
"""30 sprites that no model of the seedling ever sees in training: they are the new concepts of demos and tests."""

NEAR_TWINS = {
    "taxi": "1f696 1f693 1f694",
    "cat": "1f408 1f638 1f639 1f63a 1f63b 1f63c 1f63d 1f63e 1f63f 1f640",
    "tiger": "1f405 1f406",
    "dog": "1f415 1f429 1f9ae",
    "mouse": "1f400 1f401 1f439",
    "football": "1f3d0 1f945 26f9",
    "baseball": "1f94e",
    "bus": "1f68d 1f68e 1f690",
    "fish": "1f420 1f421 1f3a3 1f38f",
    "globe": "1f30d 1f30f 1f310 1f5fa",
    "alien": "1f47e",
    "umbrella": "1f302 2614 26f1 1f3d6",
    "egg": "1f373 1f423 1faba",
    "pepper": "1f336",
}
"""Held-out noun -> code points of sprites that show the same thing, or nearly: no model trains on these either, because
a concept whose twin was trained on would not be new."""


def plain(code: str) -> str:
    """A file stem without its variation selector."""
    return code.removesuffix("-fe0f")


UNSEEN = {plain(s.code) for s in HELD_OUT} | {code for codes in NEAR_TWINS.values() for code in codes.split()}
"""Code points, without variation selectors, that no model trains on: the held-out sprites and their near twins."""

_overlap = {plain(s.code) for s in TRAINING} & UNSEEN | {s.noun for s in TRAINING} & {s.noun for s in HELD_OUT}
if _overlap:
    raise AssertionError(f"sprites both trained and held out: {sorted(_overlap)}")
if len({s.noun for s in TRAINING}) < len(TRAINING) or len({s.code for s in TRAINING}) < len(TRAINING):
    raise AssertionError("a sprite or a noun is trained twice")
