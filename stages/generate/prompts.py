"""Which pictures a scene gets: every template with every wanted subset of its handles, or with the concepts that it
names. No models here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from schemas.job import Generate
from schemas.templates import fill_names, fill_template, named_concepts, named_in


@dataclass(frozen=True)
class Variation:
    """One picture to make. number: in its scene, from 0; repeat: among those of the same prompt; text: the
    prompt with words for handles; placed: whether it is drawn into a real picture; replaced: the concept in whose
    place, if in one's."""

    scene_id: str
    number: int
    template: str
    concepts: tuple[int, ...]
    repeat: int
    prompt: str
    text: str
    placed: bool = False
    replaced: int | None = None

    @property
    def key(self) -> str:
        return f"{self.scene_id}-{self.number:04d}"

    @property
    def purpose(self) -> str:
        """Name of its random stream: what it shows, not its place in the list."""
        kind = "place" if self.placed else "variation"
        return f"{kind}/{self.template}/{','.join(map(str, self.concepts))}/{self.repeat}"


def pick_subsets(concepts: int, wanted: Sequence[str] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Subsets of range(concepts) in the order asked for, each once. One that asks for a concept that the scene does not
    have is none of them: a picture of the rest would not show what was asked for.
    """
    everything = tuple(range(concepts))
    found: list[tuple[int, ...]] = []
    for item in wanted:
        if item == "singles":
            found += [(i,) for i in everything]
        elif item == "pairs":
            found += combinations(everything, 2)
        elif item == "union":
            found.append(everything)
        elif item == "all":
            found += [subset for size in range(1, concepts + 1) for subset in combinations(everything, size)]
        elif concepts_needed(item) <= concepts:
            found.append(tuple(int(i) for i in item))
    return [subset for subset in dict.fromkeys(found) if subset]


def drawn_subsets(concepts: int, settings: Generate, background: int | None) -> list[tuple[int, ...]]:
    """Of the subsets asked for those of which a scene gets pictures."""
    return _drawn(pick_subsets(concepts, settings.subsets), concepts, settings, background)


def drawn_named(
    template: str, words: Sequence[str], settings: Generate, background: int | None
) -> list[tuple[int, ...]]:
    """The concepts that a template names, in its order; none where the scene, with a word a concept, lacks one."""
    found = named_concepts(template, words)
    return _drawn([tuple(found.values())] if found else [], len(words), settings, background)


def _drawn(
    found: Sequence[tuple[int, ...]], concepts: int, settings: Generate, background: int | None
) -> list[tuple[int, ...]]:
    """`mode: place` draws nothing where no other thing is left whose place it could take, and not the background alone,
    which is everywhere already."""
    if settings.replaces:
        return [subset for subset in found if _replaceable(concepts, subset, background)]
    return [subset for subset in found if settings.mode != "place" or subset != (background,)]


def _replaceable(concepts: int, subset: Sequence[int], background: int | None) -> list[int]:
    """The things of a scene that a picture of the subset does not ask for."""
    return [i for i in range(concepts) if i not in subset and i != background]


def concepts_needed(wanted: str | Sequence[int], spare: int = 0) -> int:
    """How many concepts a scene must have for an item of `generate.subsets` to give it a picture. spare: how many of
    them the picture must not ask for; no `union` leaves any."""
    if isinstance(wanted, str):
        return (2 if wanted == "pairs" else 1) + spare
    return max(max(wanted) + 1, len(wanted) + spare)


def subset_sizes(concepts: int, wanted: Sequence[str] | Sequence[Sequence[int]], spare: int = 0) -> list[int]:
    """How many handles stand together in the pictures of scenes with at most so many concepts, ascending. spare: as for
    `concepts_needed`."""
    sizes: set[int] = set()
    for item in wanted:
        if concepts_needed(item, spare) > concepts or (spare and item == "union"):
            continue
        if isinstance(item, str):
            most = concepts - spare
            sizes.update({"singles": range(1, 2), "pairs": range(2, 3)}.get(item, range(1, most + 1)))
        else:
            sizes.add(len(item))
    return sorted(sizes)


def list_variations(
    scene_id: str,
    tokens: Sequence[str],
    words: Sequence[str],
    settings: Generate,
    background: int | None = None,
) -> list[Variation]:
    """All pictures of a scene; tokens and words: one a handle, by index; background: the index of its background, if
    that is a concept."""
    placed, pictures = settings.mode == "place", list[Variation]()
    for template in dict.fromkeys(settings.prompts):
        named = named_in(template)
        subsets = (
            drawn_named(template, words, settings, background)
            if named
            else drawn_subsets(len(tokens), settings, background)
        )
        for subset in subsets:
            shown = [[names[i] for i in subset] for names in (tokens, words)]
            prompt, text = (
                fill_names(template, dict(zip(named, own, strict=True))) if named else fill_template(template, own)
                for own in shown
            )
            others = _replaceable(len(tokens), subset, background)
            for repeat in range(settings.images_per_prompt):
                replaced = others[repeat % len(others)] if settings.replaces else None
                number = len(pictures)
                pictures.append(Variation(scene_id, number, template, subset, repeat, prompt, text, placed, replaced))
    return pictures
