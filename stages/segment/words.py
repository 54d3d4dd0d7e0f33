"""Words for concepts: zero-shot by a CLIP against a vocabulary, as Radford et al. (2021) classify pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from schemas.errors import SceneError
from stages.masks.shapes import Mask
from stages.masks.views import filling, on_black
from stages.models.clip import ClipJudge


class Namer:
    """A CLIP with a vocabulary, read once."""

    def __init__(self, clip: ClipJudge, vocabulary: Sequence[str]) -> None:
        self._clip, self._words = clip, list(dict.fromkeys(vocabulary))
        self._texts = clip.text_features([caption(word) for word in self._words])

    def name(self, picture: NDArray[np.uint8], masks: Sequence[Mask]) -> list[tuple[str, float]]:
        """For each mask [h, w] of an RGB picture [h, w, 3] the likeliest word, and its cosine similarity.

        The concept is seen twice on black, in its place and filling the picture, and the mean of both is compared:
        most things of a picture are too small for a CLIP where they stand.
        """
        if not masks:
            return []
        views = np.stack([view(picture, mask) for view in (on_black, filling) for mask in masks])
        seen = self._clip.image_features(views).unflatten(0, (2, len(masks))).mean(0)
        best = (functional.normalize(seen, dim=-1) @ self._texts.T).max(dim=1)
        if not best.values.isfinite().all():
            raise SceneError("models.clip gives no finite similarity for a concept; name another CLIP")
        return [
            (self._words[number], float(score))
            for score, number in zip(best.values, best.indices.tolist(), strict=True)
        ]


def caption(word: str) -> str:
    """What a picture of the word's thing would be called."""
    return f"a photo of {'an' if word[:1].lower() in tuple('aeiou') else 'a'} {word}"
