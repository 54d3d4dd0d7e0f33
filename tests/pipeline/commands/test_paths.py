"""Paths of a spec that cannot be made absolute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.commands.paths import anchored, local_paths
from schemas.errors import SpecError
from schemas.job import JobSpec

NOBODY = "~no-such-user/x"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"output": NOBODY}, "output"),
        ({"source": {"uri": NOBODY}}, "source.uri"),
        ({"source": {"uri": f"{NOBODY}::y"}}, "source.uri"),
        ({"source": {"handles": NOBODY}}, "source.handles"),
        ({"source": {"uri": "a", "masks": "coco", "coco": NOBODY}}, "source.coco"),
        ({"models": {"sam": NOBODY}}, "models.sam"),
    ],
)
@pytest.mark.parametrize("read", [anchored, local_paths])
def test_the_home_of_nobody_is_one_sentence(
    fields: dict[str, Any], field: str, read: Callable[[JobSpec], object]
) -> None:
    spec = JobSpec.model_validate({"source": {"uri": "bucket"}, "output": "out", **fields})
    with pytest.raises(SpecError, match=rf"^{field}: ~no-such-user/x\S*: there is no home folder ~no-such-user here"):
        read(spec)


def test_an_archive_below_the_home_of_nobody_too() -> None:
    spec = JobSpec.model_validate({"source": {"uri": f"zip://*.png::{NOBODY}.zip"}, "output": "out"})
    with pytest.raises(SpecError, match=r"^source.uri: ~no-such-user/x.zip: there is no home folder"):
        anchored(spec)
