"""A submitted job's command line is read by many: no credential stands on it, and the job has them all the same."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import submit
from schemas.spec_file import load_spec


class Cluster:
    """Stands in for the Jobs API: keeps what it was given, and the files as they were when it was."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def submit_job(self, **given: Any) -> str:
        self.given = given
        folder = Path(given["runtime_env"]["working_dir"])
        self.files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()
        }
        return "raysubmit_1"


def test_credentials_go_into_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.yaml").write_text(
        "source: {uri: 's3://b/in'}\noutput: 'sftp://ann:hunter2@host/out'\ngenerate: {prompts: ['a {handles} – 1']}\n"
    )
    cluster, said = Cluster(), list[str]()
    monkeypatch.setattr(submit, "_client", lambda address: cluster)
    monkeypatch.chdir(tmp_path)
    sets = ["seed=7", "source.storage_options.secret=hunter2", "source.uri=https://ann:hunter2@host/in"]
    assert submit.submit_job(Path("job.yaml"), sets, "http://127.0.0.1:1", False, said.append) == 0
    assert "hunter2" not in str({**cluster.given, "runtime_env": cluster.given["runtime_env"]["env_vars"]})
    assert cluster.given["metadata"] == {"output": "sftp://ann:***@host/out"}
    assert (
        "sent inside the spec, as a job's command line is read by many: source.storage_options.secret, source.uri"
    ) in said
    sent = tmp_path / "sent.yaml"
    sent.write_bytes(cluster.files["submitted/job.yaml"])
    words = shlex.split(cluster.given["entrypoint"])
    rest = [value for option, value in itertools.pairwise(words) if option == "--set"]
    assert rest == ["seed=7", "cluster.address=auto"]
    there, here = load_spec(sent, rest), load_spec("job.yaml", [*sets, "cluster.address=auto"])
    assert there == here, "the job is the same"


def test_without_credentials_the_spec_goes_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "source: {uri: 's3://b/in'}  # mine\noutput: s3://b/out\n"
    (tmp_path / "job.yaml").write_text(text)
    (tmp_path / ".env").write_text("KEY=hunter2")
    cluster = Cluster()
    monkeypatch.setattr(submit, "_client", lambda address: cluster)
    monkeypatch.chdir(tmp_path)
    submit.submit_job(Path("job.yaml"), ["seed=7"], "http://127.0.0.1:1", False, lambda line: None)
    assert cluster.files["submitted/job.yaml"].decode() == text
    assert not [name for name in cluster.files if name.startswith(".") or "tests/" in name or "jobs/" in name]
