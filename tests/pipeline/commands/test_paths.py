"""Paths of a spec that cannot be made absolute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
        ({"evaluate": {"sam": NOBODY}}, "evaluate.sam"),
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


@pytest.mark.parametrize("read", [anchored, local_paths])
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"output": "$HOME/out"},
            "output: $HOME/out: variables such as $HOME are not read in a spec; write ~ in its pl",
        ),
        (
            {"output": "out-${USER}"},
            "output: out-${USER}: variables such as ${USER} are not read in a spec; write its ",
        ),
        ({"source": {"uri": "$DATA/*.jpg"}}, 'or have the shell do it: --set "source.uri=$DATA/*.jpg"'),
        ({"source": {"uri": "s3://${BUCKET}/x"}}, "source.uri: s3://${BUCKET}/x: variables such as ${BUCKET} are"),
        ({"source": {"uri": "s3://$HOME/x"}}, "source.uri: s3://$HOME/x: variables such as $HOME are not read"),
        ({"models": {"base": "$HOME/sd"}}, "models.base: $HOME/sd: variables such as $HOME are not read in a spec"),
    ],
)
def test_a_variable_of_the_shell_is_no_folder(
    fields: dict[str, Any], sentence: str, read: Callable[[JobSpec], object]
) -> None:
    with pytest.raises(SpecError) as caught:
        read(JobSpec.model_validate({"source": {"uri": "bucket"}, "output": "out", **fields}))
    assert sentence in str(caught.value)


def test_a_folder_that_is_called_so_means_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "$raw").mkdir()
    for uri, found in (("$raw", str(tmp_path / "$raw")), ("s3://b/$RECYCLE.BIN/x", "s3://b/$RECYCLE.BIN/x")):
        assert anchored(JobSpec.model_validate({"source": {"uri": uri}, "output": "out"})).source.uri == found


def test_home_is_read_and_the_seedling_is_no_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "seedling").mkdir()
    (tmp_path / "sd").mkdir()
    spec = JobSpec.model_validate({"source": {"uri": "~/a"}, "output": "~/out", "models": {"clip": "~/sd"}})
    found = anchored(spec)
    assert (found.source.uri, found.output) == (str(tmp_path / "a"), str(tmp_path / "out"))
    assert (found.models.base, found.models.clip) == ("seedling", str(tmp_path / "sd"))


def test_every_path_that_is_wrong_is_told_at_once() -> None:
    spec = JobSpec.model_validate({"source": {"uri": "$A/b"}, "output": NOBODY, "models": {"sam": "$B/x"}})
    with pytest.raises(SpecError, match=r"^3 mistakes: \(1\) source.uri: .* \(2\) models.sam: .* \(3\) output: "):
        anchored(spec)
