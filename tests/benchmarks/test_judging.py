"""What thinner grids of prompts save and lose: counted right, and run to its end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judging import Shown, compared, main, pictures, spot


def square(top: int, left: int, side: int = 16) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_what_is_missed_and_what_is_no_toy_are_counted_by_toys() -> None:
    """Two pictures of two toys: one found half a row off, one missed, both found; and once a thing that is none."""
    one, other, far = square(0, 0), square(40, 40), square(0, 40)
    shown = [Shown(np.zeros((64, 64, 3), np.uint8), [one, other])] * 2
    near = square(1, 0)
    first = [[one, other], [one, other]]
    missing, more, iou, same = compared(shown, [[near, far], [one, other]], first)
    assert (missing, more, same) == (0.25, 0.25, 0.5)
    assert iou == pytest.approx((15 / 17 + 2) / 3)
    assert compared(shown, first, first) == [0, 0, 1, 1]


def test_a_map_tells_the_middle_of_the_cell_where_a_toy_is_thickest() -> None:
    tail = square(24, 8, 17)  # its middle is in row 32, column 16 of 64
    tail[0:24, 8] = True
    assert spot(tail) == ((4 + 0.5) / 16, (8 + 0.5) / 16)


def test_it_runs_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [len(shown.masks) for shown in pictures(1, 3)] == [1, 2, 3]
    out = tmp_path / "judging.json"
    main(["--pictures", "1", "--grids", "4", "2", "--out", str(out)])
    rows = json.loads(out.read_text())["rows"]
    assert [row[0] for row in rows["two"]] == ["4 x 4", "2 x 2", "one a toy"]
    assert all(row[1] > 0 for row in rows["two"])
    assert rows["two"][0][-1] == 1, "the first row is what others are compared with"
    assert "three, pictures: 1" in capsys.readouterr().out
