"""What a segmenter is, and the one place that builds the one a job asks for.

Another kind of segmenter comes in by this door: a loader under stages/models, a folder beside `sam/` with the class
that turns its answers into proposals, and the choice between them here. What reads proposals does not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.job import JobSpec
from stages.models.device import pick_device
from stages.models.place import bundled
from stages.models.sam import load_sam
from stages.segment.proposal import Proposals
from stages.segment.sam.proposer import Proposer


class Segmenter(Protocol):
    """Offers masks of whole pictures, unprompted; which of them are concepts is for `selection` to say."""

    def propose_all(self, pictures: Sequence[NDArray[np.uint8]]) -> Iterator[Proposals | Exception]:
        """One item a picture, in order: its proposals, [] where it shows nothing good enough, or what went wrong with
        it, so that one bad picture costs no other.

        pictures: RGB, uint8 [h, w, 3], of any sizes; a proposal's mask is of its picture's size. A picture's proposals
        do not depend on the company it is in.
        """


def load_segmenter(spec: JobSpec) -> Segmenter:
    """The segmenter of `models.sam` with the settings of `segment`, in float32 on the GPU if there is one.

    Raises SpecError where the model is not there or is no Segment Anything.
    """
    sam = load_sam(bundled(spec.models.sam, "models.sam"), str(pick_device()))
    return Proposer(sam, spec.segment)


def load_judges_segmenter(spec: JobSpec) -> Segmenter:
    """The same for variations: of `evaluate.sam`, if it is named, and with the judges' grid."""
    name, field = spec.judges_sam
    return Proposer(load_sam(bundled(name, field), str(pick_device()), field), spec.judging)
