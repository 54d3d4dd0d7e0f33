"""Mistakes at the command line: one clear sentence, exit code 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.finished_job import unscene

SPEC = "source: {uri: %s}\noutput: %s\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extract.phse1.steps": 3}, "unknown key `extract.phse1`; did you mean `phase1`?"),
        ({"source.uri": "/no/such/bucket"}, "source.uri: "),
        ({"output": "/proc/nowhere"}, "output: cannot write under /proc/nowhere"),
        ({"models.base": "models/training"}, "models.base"),
        ({"extract.attention_maps": 7}, "extract.attention_maps: the base model has no cross-attention maps of side 7"),
        ({"cluster.address": "127.0.0.1:1"}, "cluster.address: cannot reach Ray at 127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    done = unscene("run", "jobs/demo.yaml", **{"output": tmp_path / "out", **settings})
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("unscene: ")
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [["status"], ["report"], ["retry"], ["export", "--scene", "00", "--to", "x"], ["withdraw", "--scene", "00"]],
)
def test_a_folder_that_is_no_output_is_one_sentence(tmp_path: Path, command: list[str]) -> None:
    done = unscene(command[0], tmp_path, *command[1:])
    assert done.returncode == 2
    assert "no run.json there; name the output folder of an Unscene job" in done.stderr
    assert "Traceback" not in done.stderr
