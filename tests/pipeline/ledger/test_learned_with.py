"""Handles are drawn with on the base they were learned on, and an OUTPUT goes on with the models it began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger.run_record import NAME, read_record, revisions, start_record
from pipeline.storage.folder import Storage
from schemas.errors import OutputError, SpecError
from schemas.job import JobSpec

MIB = 1 << 20


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return weights(tmp_path / "base", 0)


def weights(folder: Path, byte: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "unet.safetensors").write_bytes(bytes(MIB + 7) + bytes([byte]) + bytes(MIB + 7))
    return folder


def learning(base: Path, output: Path, **sections: Any) -> JobSpec:
    models = {"base": str(base), "sam": str(base)}
    return JobSpec.model_validate({"source": {"uri": "/p"}, "output": str(output), "models": models, **sections})


def learned(base: Path, output: Path, **sections: Any) -> Storage:
    """An OUTPUT with a record and something committed."""
    storage = Storage(str(output))
    start_record(storage, learning(base, output, **sections), ["extract"])
    storage.write("_commits/extract/000000.json", b"{}")
    return storage


def drawing(handles: Storage, base: Path | str, **sections: Any) -> JobSpec:
    models = {"base": str(base)} | sections.pop("models", {})
    source = {"handles": handles.url}
    return JobSpec.model_validate({"source": source, "output": "/more", "models": models, **sections})


def as_before(storage: Storage, *names: str) -> None:
    """Makes the record one of the first version, which read the ends of files."""
    record = read_record(storage)
    record["fields"] |= dict.fromkeys(names, "sha256:" + "a" * 32)
    record["fingerprint"] = "f1" * 32
    storage.write(NAME, json.dumps(record).encode())


def refusal(spec: JobSpec) -> str:
    with pytest.raises(SpecError, match=r"^source\.handles: ") as caught:
        revisions(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_same_base_draws_wherever_it_lies(tmp_path: Path, base: Path) -> None:
    handles = learned(base, tmp_path / "out")
    fingerprint = revisions(drawing(handles, base))["source.handles"]
    assert len(fingerprint) == 64
    assert revisions(drawing(handles, weights(tmp_path / "copy", 0)))["source.handles"] == fingerprint


def test_another_base_is_refused_with_the_one_to_name(tmp_path: Path, base: Path) -> None:
    handles = learned(base, tmp_path / "out")
    text = refusal(drawing(handles, weights(tmp_path / "other", 1)))
    assert "models.base: sha256:" in text
    assert f"set models.base={base}, or learn them again" in text


def test_a_base_that_changed_in_the_middle_is_refused(tmp_path: Path, base: Path) -> None:
    handles = learned(base, tmp_path / "out")
    weights(base, 1)
    assert "put the files of models.base back as they were, or learn them again" in refusal(drawing(handles, base))


def test_another_commit_of_the_hub_is_refused_with_the_revision(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.models.place.model_revision", lambda name, field, revision=None: f"{name}@{revision}")
    handles = learned(Path("owner/sd"), tmp_path / "out", models={"base": "owner/sd", "revision": "v1"})
    assert revisions(drawing(handles, "owner/sd", models={"revision": "v1"}))
    text = refusal(drawing(handles, "owner/sd"))
    assert "models.revision: 'v1' -> None" in text
    assert "set models.revision=v1, or" in text
    assert "set models.base=owner/sd with models.revision=v1, or" in refusal(drawing(handles, base))


def test_other_names_of_the_handles_are_refused_before_every_scene_fails(tmp_path: Path, base: Path) -> None:
    handles = learned(base, tmp_path / "out", extract={"placeholder": "<thing{index}>"})
    assert "set extract.placeholder=<thing{index}>, or" in refusal(drawing(handles, base))
    assert revisions(drawing(handles, base, extract={"placeholder": "<thing{index}>"}))


def test_handles_whose_base_was_known_in_part_are_refused(tmp_path: Path, base: Path) -> None:
    handles = learned(base, tmp_path / "out")
    as_before(handles, "models.base")
    assert "older Unscene" in refusal(drawing(handles, base))


def test_an_output_of_the_first_version_does_not_go_on_and_says_why(tmp_path: Path, base: Path) -> None:
    spec, storage = learning(base, tmp_path / "out"), learned(base, tmp_path / "out")
    start_record(storage, spec, ["extract"])
    as_before(storage, "models.base", "models.sam")
    with pytest.raises(
        OutputError, match=r"older Unscene, which knew models\.base and models\.sam by a part .* or give"
    ):
        start_record(storage, spec, ["extract"])
    with pytest.raises(OutputError, match=r"made with other settings \(.*seed: 0 -> 4"):
        start_record(storage, learning(base, tmp_path / "out", seed=4), ["extract"])


def test_a_model_that_changed_in_the_middle_does_not_go_on(tmp_path: Path, base: Path) -> None:
    spec, storage = learning(base, tmp_path / "out"), learned(base, tmp_path / "out")
    weights(base, 1)
    with pytest.raises(
        OutputError, match=r"made with other settings \(models\.base: 'sha256:.*; models\.sam: 'sha256:"
    ):
        start_record(storage, spec, ["extract"])
