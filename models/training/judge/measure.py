"""Measure the judge of toys: retrieval, facts read apart, and how far apart right and wrong score.

python -m models.training.judge.measure --clip models/seedling/clip --vae models/seedling/base/vae
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.judge.captions import ToyFacts, describe_fully, exchanged
from models.training.judge.claims import FACTS, KINDS, NUMBER
from models.training.judge.reading import FactReader, facts_right, pairs_by_difference
from models.training.judge.scenes import VISIBLE_PIXELS, judged_world, through_autoencoder
from models.training.judge.scores import print_errors, print_scores, retrieval, share
from models.training.judge.train import FOUND_AT, GROUP
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import NEW_COMBINATIONS, NEW_SHAPES, TRAINED
from models.training.world.scene import Scene
from stages.models.clip import ClipJudge, load_clip

GROUPS = {"trained": TRAINED, "new combinations": NEW_COMBINATIONS, "new silhouettes": NEW_SHAPES}
"""Toys by what the models that draw have seen of them; the judge has seen all."""
SIMILAR = 400
"""Scenes that similarities are measured on."""


def facts_of(scene: Scene) -> list[ToyFacts]:
    """The facts of the scene's toys."""
    return [FACTS[NUMBER[toy]] for toy in scene.objects]


def retrieval_in_groups(clip: ClipJudge, scenes: Sequence[Scene]) -> tuple[float, float, int]:
    """Mean of `retrieval` over groups of `GROUP` scenes, and how many groups there were. Scenes of equal captions, one
    of a million, are not sorted out."""
    found = []
    for first in range(0, len(scenes) - GROUP + 1, GROUP):
        group = scenes[first : first + GROUP]
        captions = [describe_fully(facts_of(scene), scene.background) for scene in group]
        pictures = clip.image_features(np.stack([scene.image for scene in group]))
        found.append(retrieval(pictures, clip.text_features(captions)))
    if not found:
        raise ValueError(f"--scenes: {len(scenes)} are fewer than the {GROUP} to choose among")
    to_text, to_picture = np.mean(found, 0).tolist()
    return to_text, to_picture, len(found)


@dataclass(frozen=True)
class Concepts:
    """Toys of scenes, each masked on black: pictures uint8 [n, h, w, 3]; masks bool [n, h, w]; toys int64 [n], their
    numbers in `claims.ROSTER`."""

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    toys: Tensor

    @property
    def facts(self) -> Tensor:
        """int64 [n, 3]."""
        return torch.tensor(FACTS)[self.toys]


def masked_concepts(scenes: Sequence[Scene]) -> Concepts:
    """Every toy of the scenes that is seen well enough."""
    pictures, masks, toys = [], [], []
    for scene in scenes:
        for toy, mask in zip(scene.objects, scene.masks, strict=True):
            if mask.sum() >= VISIBLE_PIXELS:
                pictures.append(scene.image * mask[..., None])
                masks.append(mask)
                toys.append(NUMBER[toy])
    return Concepts(np.stack(pictures), np.stack(masks), torch.tensor(toys))


def identity_scores(clip: ClipJudge, scenes: Sequence[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
    """Identity similarities of pairs of masked toys, by what differs; of a toy and ground or noise in its shape."""
    concepts = masked_concepts(scenes)
    features = clip.image_features(concepts.pictures)
    noise = rng.integers(0, 256, concepts.pictures.shape, dtype=np.uint8) * concepts.masks[..., None]
    ground = np.stack([scene.image for scene in scenes])
    taken = np.stack([scene.masks.any(0) for scene in scenes])
    other = rng.integers(len(scenes), size=len(concepts.pictures))
    ground = ground[other] * (concepts.masks & ~taken[other])[..., None]
    return pairs_by_difference(features, concepts.facts) | {
        "ground in its shape": (features * clip.image_features(ground)).sum(1),
        "noise in its shape": (features * clip.image_features(noise)).sum(1),
    }


def prompt_scores(clip: ClipJudge, scenes: Sequence[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
    """Prompt similarities of pictures and prompts, by what the prompt is. Scenes of at least one toy; what is wrong is
    of their first."""
    prompts: dict[str, list[str]] = {}

    def ask(what: str, toys: Sequence[ToyFacts], place: int) -> None:
        prompts.setdefault(what, []).append(describe_fully(toys, place))

    for scene in scenes:
        toys, place = facts_of(scene), scene.background
        first, rest = toys[0], toys[1:]
        ask("right prompt", toys, place)
        for kind, name in enumerate(("silhouette", "colour", "pattern")):
            size = len(KINDS[kind])
            number = (first[kind] + int(rng.integers(1, size))) % size
            ask(f"one {name} wrong", [exchanged(first, kind, number), *rest], place)
        stranger = tuple(
            (number + int(rng.integers(1, len(words)))) % len(words) for number, words in zip(first, KINDS, strict=True)
        )
        ask("one toy wrong", [stranger, *rest], place)
        ask("place wrong", toys, (place + int(rng.integers(1, len(BACKGROUNDS)))) % len(BACKGROUNDS))
        others = [o for o in scenes if o.background != place and not set(facts_of(o)) & set(toys)]
        other = others[rng.integers(len(others))]
        ask("other scene's", facts_of(other), other.background)
    pictures = clip.image_features(np.stack([scene.image for scene in scenes]))
    scores = {what: (pictures * clip.text_features(texts)).sum(1) for what, texts in prompts.items()}
    noise = clip.image_features(rng.integers(0, 256, (len(scenes), *scenes[0].image.shape), dtype=np.uint8))
    return scores | {"noise picture": (noise * clip.text_features(prompts["right prompt"])).sum(1)}


def print_readings(clip: ClipJudge, scenes: Sequence[Scene], seen: str) -> None:
    """How often facts are read right, of masked toys by group and of whole scenes of one toy. seen: "crisp", or what
    else the scenes went through."""
    reader, concepts = FactReader(clip.text_features), masked_concepts(scenes)
    read = reader.read(clip.image_features(concepts.pictures))
    for name, toys in GROUPS.items():
        rows = torch.isin(concepts.toys, torch.tensor([NUMBER[toy] for toy in toys]))
        right = facts_right(read[rows], concepts.facts[rows])
        print(f"  facts, {seen}, {int(rows.sum())} masked toys, {name}: {right}", flush=True)
    alone = [scene for scene in scenes if len(scene.objects) == 1]
    read = reader.read(clip.image_features(np.stack([scene.image for scene in alone])))
    right = facts_right(read, torch.tensor([facts_of(scene)[0] for scene in alone]))
    place = share(read[:, 3] == torch.tensor([scene.background for scene in alone]))
    print(f"  facts, {seen}, {len(alone)} whole scenes of one toy: {right} place {place:.3f}", flush=True)


def blurred(scenes: Sequence[Scene], vae: Path) -> list[Scene]:
    """The scenes as the autoencoder in the folder `vae` gives them back."""
    images = np.stack([scene.image for scene in scenes])
    through_autoencoder(images, vae)
    return [replace(scene, image=image) for scene, image in zip(scenes, images, strict=True)]


def measure_clip(clip: ClipJudge, scenes: int = 1000, vae: Path | None = None, seed: int = 905) -> None:
    """Print everything, on scenes 0 to `scenes` - 1 of one to three toys; similarities and readings on the first
    `SIMILAR`, readings through the autoencoder in the folder `vae` too."""
    world = replace(judged_world(seed), toy_counts=(0, 0.5, 0.35, 0.15)).open()
    shown, rng = [world.scene(i) for i in range(scenes)], np.random.default_rng(seed)
    to_text, to_picture, groups = retrieval_in_groups(clip, shown)
    print(f"clip: caption first of {GROUP}: {to_text:.3f}, picture first of {GROUP}: {to_picture:.3f}, "
          f"mean of {groups} groups of scenes of all toys", flush=True)  # fmt: skip
    few = shown[:SIMILAR]
    print_readings(clip, few, "crisp")
    if vae:
        print_readings(clip, blurred(few, vae), "through the autoencoder")
    identities = identity_scores(clip, few, rng)
    print_scores("identity", identities)
    for what in ("other silhouette", "other colour", "other pattern"):
        print(f"  {what}:", end="")
        print_errors(identities["same toy"], identities[what], FOUND_AT)
    print_scores("prompt", prompt_scores(clip, few, rng))


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", required=True, help="folder of the model")
    parser.add_argument("--vae", type=Path, help="autoencoder's folder: facts are read through it too")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure_clip(load_clip(args.clip), args.scenes, args.vae)


if __name__ == "__main__":
    main()
