"""Whether the models that a spec names are ones that its job can use, before anything is started.

The driver asks, so nothing here imports torch. What only loading can tell, the loaders tell.
"""

from __future__ import annotations

from schemas.errors import Mistakes
from schemas.job import JobSpec
from stages.models.base.files import check_handles, check_parts
from stages.models.base.layout import check_base
from stages.models.distilled import check_distilled
from stages.models.judge_files import check_judge
from stages.models.place import bundled
from stages.models.sam_files import check_sam


def check_models(spec: JobSpec) -> int:
    """Raises a SpecError that names the field, the part and the remedy, of each model that will not do.

    Returns the side of the base's pictures. Unit: pixels.
    """
    models, learns, judges = spec.models, not spec.source.handles, spec.evaluate.enabled
    mistakes, side = Mistakes(), 0
    with mistakes.told_later():
        base = bundled(models.base, "models.base")
        side = check_base(spec)
        check_parts(base, models.revision)
        check_handles(base, spec.extract.placeholder, models.revision)
    with mistakes.told_later():
        check_distilled(spec)
    own = judges and spec.evaluate.sam is not None
    if (judges and not own) or (learns and (own or spec.source.masks == "none")):  # some pictures may lack masks
        with mistakes.told_later():
            check_sam(models.sam)
    if own:
        with mistakes.told_later():
            check_sam(*spec.judges_sam)
    if judges or (learns and spec.segment.vocabulary):
        with mistakes.told_later():
            check_judge(models.clip, "models.clip")
    if judges:
        with mistakes.told_later():
            check_judge(models.identity, "models.identity")
    mistakes.tell()
    return side
