"""The search for the method's settings: one after another, the best stays, and what was tried is not tried again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from models.training.base import choose
from models.training.base.measure_personalised import settings_of
from models.training.base.personalised import spec_of


def test_every_value_that_is_tried_is_one_of_the_spec() -> None:
    for name, values in choose.TRIED.items():
        for value in values:
            spec_of({"base": "base", "sam": "sam"}, "break_a_scene", settings_of([f"{name}={value}"]), 1)


def test_the_best_value_of_each_setting_stays_and_a_second_run_tries_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, str]] = []
    revisions = {"b": "first", "s": "mask model"}

    def score(models: Any, chosen: Mapping[str, str], args: Any, processes: Any) -> dict[str, float]:
        asked.append(dict(chosen))
        # low guidance is better, and many steps only where guidance is low
        low = chosen["generate.guidance"] == "2.0"
        return {"score": 0.5 + 0.2 * low + (0.1 if low else -0.1) * (chosen["extract.phase1.steps"] == "500")}

    tried = {"generate.guidance": ("3.0", "2.0"), "extract.phase1.steps": ("300", "500")}
    monkeypatch.setattr(choose, "TRIED", tried)
    monkeypatch.setattr(choose, "score", score)
    monkeypatch.setattr(choose, "model_revision", lambda folder, field, revision: revisions[folder])
    command = ["choose", "--base", "b", "--sam", "s", "--reader", "r", "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    choose.main()
    best = "0.800: generate.guidance=2.0 extract.phase1.steps=500"
    assert capsys.readouterr().out.splitlines()[-1] == best
    assert len(asked) == 3 == len(json.loads((tmp_path / "tried.json").read_text(encoding="utf-8")))
    choose.main()
    assert capsys.readouterr().out.splitlines()[-1] == best
    assert len(asked) == 3
    revisions["b"] = "another base"
    choose.main()
    assert len(asked) == 6
