"""What no field takes, wherever it stands: a truth for a number, a number that is none, an empty address."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import SpecError
from schemas.spec_file import spec_from


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"extract": {"phase1": {"steps": True}}},
            "extract.phase1.steps: neither true nor false .*yes, no, on and off",
        ),
        ({"cluster": {"ingest": {"workers": True}}}, "cluster.ingest.workers: neither true nor false"),
        ({"extract": {"init_word": False}}, "extract.init_word: neither true nor false .*quotes"),
        ({"extract": {"phase1": {"lr": float("inf")}}}, "extract.phase1.lr: .*finite"),
        ({"generate": {"guidance": float("nan")}}, "generate.guidance: .*finite"),
        ({"generate": {"guidance": "nan"}}, "generate.guidance: .*finite"),
        ({"source": {"uri": ""}}, "source.uri: .*at least 1 character"),
        ({"source": {"handles": ""}}, "source.handles: .*at least 1 character"),
        ({"source": {"uri": "b", "masks": "coco", "coco": ""}}, "source.coco: .*at least 1 character"),
    ],
)
def test_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec_from({"source": {"uri": "bucket"}, "output": "out", **section}, "here")


def test_and_a_truth_is_taken_where_one_is_meant() -> None:
    spec = spec_from(
        {"source": {"uri": "b"}, "output": "o", "extract": {"flip": False}, "evaluate": {"enabled": "on"}}, "x"
    )
    assert (spec.extract.flip, spec.evaluate.enabled) == (False, True)
