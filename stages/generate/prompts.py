"""Which pictures a scene gets: every template with every wanted subset of its handles. No models here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from schemas.job import Generate


@dataclass(frozen=True)
class Variation:
    """One picture to make. number: in its scene, from 0; repeat: among those of the same prompt; text: the
    prompt with words for handles."""

    scene_id: str
    number: int
    template: str
    concepts: tuple[int, ...]
    repeat: int
    prompt: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.scene_id}-{self.number:04d}"

    @property
    def purpose(self) -> str:
        """Name of its random stream: what it shows, not its place in the list."""
        return f"variation/{self.template}/{','.join(map(str, self.concepts))}/{self.repeat}"


def pick_subsets(concepts: int, wanted: Sequence[str] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Subsets of range(concepts) in the order asked for, each once. Indices that the scene does not have are
    skipped.
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
        else:
            found.append(tuple(dict.fromkeys(int(i) for i in item if 0 <= int(i) < concepts)))
    return [subset for subset in dict.fromkeys(found) if subset]


def list_variations(scene_id: str, tokens: Sequence[str], words: Sequence[str], settings: Generate) -> list[Variation]:
    """All pictures of a scene; tokens and words: one a handle, by index."""
    pictures: list[Variation] = []
    for template in dict.fromkeys(settings.prompts):
        for subset in pick_subsets(len(tokens), settings.subsets):
            prompt, text = (
                template.replace("{handles}", " and ".join(names[i] for i in subset)) for names in (tokens, words)
            )
            for repeat in range(settings.images_per_prompt):
                pictures.append(Variation(scene_id, len(pictures), template, subset, repeat, prompt, text))
    return pictures
