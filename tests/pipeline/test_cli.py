"""Mistakes at the command line: one clear sentence, exit code 2, no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import ROOT
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


@pytest.mark.parametrize("command", [["status", "s3://no-such-bucket/out"], ["check", "night.yaml"]])
def test_a_bucket_without_credentials_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = tmp_path / "night.yaml"
    spec.write_text(SPEC % (ROOT / "demo" / "bucket", "s3://no-such-bucket/out"))
    done = unscene(command[0], str(spec) if command[1] == "night.yaml" else command[1])
    assert done.returncode == 2, done.stdout + done.stderr
    assert "does not let this command in (NoCredentialsError: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [["status"], ["report"], ["retry"], ["export", "--scene", "00", "--to", "x"], ["withdraw", "--scene", "00"]],
)
def test_a_folder_that_is_no_output_is_one_sentence(tmp_path: Path, command: list[str]) -> None:
    done = unscene(command[0], tmp_path, *command[1:])
    assert done.returncode == 2
    assert "no run.json there; name the output folder of an Unscene job" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_jobs_that_ship_are_listed_and_printed() -> None:
    listed = unscene("jobs")
    assert listed.returncode == 0, listed.stderr
    assert [line.partition(":")[0] for line in listed.stdout.splitlines()] == [
        "augment",
        "demo",
        "overnight",
        "own_masks",
        "parts",
        "place",
        "protocol",
        "one of your own",
    ]
    printed = unscene("jobs", "augment").stdout
    assert printed == (ROOT / "jobs" / "augment.yaml").read_text()
    strange = unscene("jobs", "dmeo")
    assert (strange.returncode, strange.stdout) == (2, "")
    assert strange.stderr.startswith("unscene: dmeo: no job of that name ships with Unscene; there are augment, demo,")


def test_it_says_its_version() -> None:
    said = unscene("--version")
    assert said.returncode == 0, said.stderr
    assert re.fullmatch(r"unscene \d+\.\d+\.\d+\S*\n", said.stdout)


@pytest.mark.parametrize("scenes", [[], ["--all", "--scene", "birds"]])
def test_an_export_is_of_one_scene_or_of_all(tmp_path: Path, scenes: list[str]) -> None:
    done = unscene("export", tmp_path, "--to", tmp_path / "to", *scenes)
    assert done.returncode == 2
    assert done.stderr == (
        "unscene: export: name one scene by `--scene birds.jpg` (or its id), or all of them by `--all`\n"
    )
