"""Measure the judge itself: retrieval on scenes of held-out sprites, and how far apart right and wrong score.

python -m models.training.measure_clip --sprites assets --clip models/seedling/clip
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.backgrounds import BACKGROUNDS
from models.training.clip_pool import VISIBLE_PIXELS
from models.training.judge import prompt_of
from models.training.scores import print_errors, print_scores, retrieval, share
from models.training.sprites import HELD_OUT, TRAINING
from models.training.world import Scene, World, WorldSettings, world_settings
from schemas.evaluate import Evaluate
from stages.models.clip import ClipJudge, load_clip

GROUP = 100
"""Pictures and captions that retrieval chooses among."""


def retrieval_in_groups(clip: ClipJudge, scenes: list[Scene]) -> tuple[float, float, int]:
    """Mean of `retrieval` over groups of `GROUP` scenes of different captions, and how many groups there were."""
    texts = [prompt_of(scene.objects, scene.background) for scene in scenes]
    first = list({text: row for row, text in reversed(list(enumerate(texts)))}.values())[::-1]
    found = []
    for start in range(0, len(first) - GROUP + 1, GROUP):
        rows = first[start : start + GROUP]
        pictures = clip.image_features(np.stack([scenes[row].image for row in rows]))
        found.append(retrieval(pictures, clip.text_features([texts[row] for row in rows])))
    if not found:
        raise ValueError(f"--scenes: {len(first)} different captions are fewer than the {GROUP} to choose among")
    to_text, to_picture = np.mean(found, 0).tolist()
    return to_text, to_picture, len(found)


@dataclass(frozen=True)
class Concepts:
    """Objects of scenes, each masked on black: pictures uint8 [n, h, w, 3]; masks bool [n, h, w]; sprites int64 [n],
    their numbers in `HELD_OUT`."""

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    sprites: Tensor


def masked_concepts(scenes: list[Scene]) -> Concepts:
    """Every object of the scenes that is seen well enough."""
    pictures, masks, sprites = [], [], []
    for scene in scenes:
        for sprite, mask in zip(scene.objects, scene.masks, strict=True):
            if mask.sum() >= VISIBLE_PIXELS:
                pictures.append(scene.image * mask[..., None])
                masks.append(mask)
                sprites.append(HELD_OUT.index(sprite))
    return Concepts(np.stack(pictures), np.stack(masks), torch.tensor(sprites))


def identity_scores(clip: ClipJudge, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
    """Identity similarities of pairs of masked concepts, by what the pair is."""
    concepts = masked_concepts(scenes)
    features = clip.image_features(concepts.pictures)
    scores = features @ features.T
    first, second = torch.triu_indices(len(features), len(features), 1)
    pairs, same = scores[first, second], concepts.sprites[first] == concepts.sprites[second]
    noise = rng.integers(0, 256, concepts.pictures.shape, dtype=np.uint8) * concepts.masks[..., None]
    ground = np.stack([scene.image for scene in scenes])
    taken = np.stack([scene.masks.any(0) for scene in scenes])
    other = rng.integers(len(scenes), size=len(concepts.pictures))
    ground = ground[other] * (concepts.masks & ~taken[other])[..., None]
    return {
        "same sprite, other scene": pairs[same],
        "other sprite": pairs[~same],
        "ground in its shape": (features * clip.image_features(ground)).sum(1),
        "noise in its shape": (features * clip.image_features(noise)).sum(1),
    }


def prompt_scores(clip: ClipJudge, scenes: list[Scene], rng: np.random.Generator) -> dict[str, Tensor]:
    """Prompt similarities of pictures and prompts, by what the prompt is. Scenes of at least one object."""
    prompts: dict[str, list[str]] = {"right prompt": [], "one object wrong": [], "place wrong": [], "other scene's": []}
    for scene in scenes:
        there = {sprite.noun for sprite in scene.objects}
        strangers = [sprite for sprite in HELD_OUT if sprite.noun not in there]
        exchanged = [strangers[rng.integers(len(strangers))], *scene.objects[1:]]
        elsewhere = (scene.background + int(rng.integers(1, len(BACKGROUNDS)))) % len(BACKGROUNDS)
        others = [s for s in scenes if s.background != scene.background and not there & {o.noun for o in s.objects}]
        prompts["right prompt"].append(prompt_of(scene.objects, scene.background))
        prompts["one object wrong"].append(prompt_of(exchanged, scene.background))
        prompts["place wrong"].append(prompt_of(scene.objects, elsewhere))
        other = others[rng.integers(len(others))]
        prompts["other scene's"].append(prompt_of(other.objects, other.background))
    pictures = clip.image_features(np.stack([scene.image for scene in scenes]))
    scores = {what: (pictures * clip.text_features(texts)).sum(1) for what, texts in prompts.items()}
    noise = clip.image_features(rng.integers(0, 256, (len(scenes), *scenes[0].image.shape), dtype=np.uint8))
    return scores | {"noise picture": (noise * clip.text_features(prompts["right prompt"])).sum(1)}


def naming(clip: ClipJudge, scenes: list[Scene]) -> tuple[float, float]:
    """How often a masked concept's own noun is the nearest: of the held-out ones, and of all named sprites'."""
    concepts = masked_concepts(scenes)
    texts = clip.text_features([prompt_of((s,), None, colours=False) for s in (*HELD_OUT, *TRAINING)])
    scores = clip.image_features(concepts.pictures) @ texts.T
    return share(scores[:, : len(HELD_OUT)].argmax(1) == concepts.sprites), share(scores.argmax(1) == concepts.sprites)


def measure_clip(clip: ClipJudge, settings: WorldSettings, scenes: int = 1000, seed: int = 905) -> None:
    """Print everything, on scenes 0 to `scenes` - 1 of one to three held-out sprites in the world of `settings`;
    similarities on 300 of them."""
    world = World(replace(settings, roster=HELD_OUT, object_counts=(0, 0.5, 0.35, 0.15), seed=seed))
    shown, rng = [world.scene(i) for i in range(scenes)], np.random.default_rng(seed)
    to_text, to_picture, groups = retrieval_in_groups(clip, shown)
    print(f"clip: caption first of {GROUP}: {to_text:.3f}, picture first of {GROUP}: {to_picture:.3f}, "
          f"mean of {groups} groups of held-out scenes", flush=True)  # fmt: skip
    few, all_named = naming(clip, shown[:300])
    print(f"clip: masked concept named right of {len(HELD_OUT)} held-out nouns {few:.3f}, "
          f"of {len(HELD_OUT) + len(TRAINING)} nouns {all_named:.3f}", flush=True)  # fmt: skip
    identities = identity_scores(clip, shown[:300], rng)
    print_scores("identity", identities)
    print_errors(identities["same sprite, other scene"], identities["other sprite"], Evaluate().found_at)
    print_scores("prompt", prompt_scores(clip, shown[:300], rng))


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--clip", required=True, help="folder of the model")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--world", choices=("calm", "full"), default="calm", help="the one that the judge learned")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure_clip(load_clip(args.clip), world_settings(args.world, args.sprites), args.scenes)


if __name__ == "__main__":
    main()
