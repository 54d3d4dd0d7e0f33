"""`unscene submit` against a real Ray head of one core, with token authentication on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from pipeline.commands.paths import local_paths
from pipeline.commands.submit import again
from pipeline.ledger.plan import extend_plan
from pipeline.ledger.run_record import start_record
from pipeline.shards.pack import pack_rows
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from schemas.spec_file import load_spec
from stages.ingest.census import read_picked, take_census
from tests.support import ROOT
from tests.support.ray_head import Head, free_ports, ray_head


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head() as started:
        yield started


def test_a_wrong_source_fails_on_the_cluster_with_its_one_sentence(head: Head, tmp_path: Path) -> None:
    """The spec is valid, so only the cluster can see that its folder is missing."""
    spec = tmp_path / "elsewhere.yaml"
    spec.write_text(f"source: {{uri: {tmp_path}/nothing-here}}\noutput: {tmp_path}/out\n")
    done = _submit(head, str(spec), "--wait")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "submitted raysubmit_" in done.stdout
    assert f"source.uri: no images under {tmp_path}/nothing-here" in _unwrapped(done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_finished_job_runs_to_its_end(head: Head, tmp_path: Path) -> None:
    """Driver, spec, overrides and relative paths arrive: the job finds its OUTPUT finished and says so."""
    _finished_job(tmp_path)
    done = _submit(head, "job.yaml", "--set", "cluster.max_attempts=2", "--wait", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to do" in done.stdout
    assert f"output: {tmp_path / 'out'}" in _unwrapped(done.stdout)
    for name in ("source.uri", "output", "models.base"):
        assert f"warning: {name} is a local path" in _unwrapped(done.stdout)


def test_the_job_joins_the_cluster_and_its_workers_have_the_code(head: Head, tmp_path: Path) -> None:
    """A new picture is read, segmented and accounted for by workers on the cluster; plain blue holds no concept."""
    _finished_job(tmp_path)
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "bucket" / "b.png")
    done = _submit(head, "job.yaml", "--wait", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr  # as every scene failed
    assert "b.png: the only mask is no concept (1 too large)" in _unwrapped(done.stdout)
    assert "made 0 of 1 scene, " in done.stdout
    for stage in ("ingest", "segment", "extract", "generate", "failures"):
        assert (tmp_path / "out" / "_commits" / stage / "000001.json").exists()


@pytest.mark.parametrize(
    ("environment", "given"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "no token (RAY_AUTH_MODE is disabled)"),
        ({"RAY_AUTH_TOKEN": "b" * 64}, "the token in RAY_AUTH_TOKEN"),
    ],
)
def test_without_the_token_nothing_is_submitted(
    head: Head, tmp_path: Path, environment: dict[str, str], given: str
) -> None:
    _finished_job(tmp_path)
    done = _submit(Head(head.address, {**head.env, **environment}), "job.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert f"the cluster wants its token, and is given {given}; set" in done.stderr
    assert "submitted" not in done.stdout


def test_only_local_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "job.yaml").write_text(
        "source: {uri: night, masks: coco, coco: 's3://bucket/instances.json'}\n"
        "output: file:///data/out\nmodels: {base: model, sam: https://host/sam.pth}\n"
    )
    assert local_paths(load_spec("job.yaml")) == {
        "source.uri": f"{tmp_path}/night",
        "output": "/data/out",
        "models.base": f"{tmp_path}/model",
    }


def test_the_command_that_goes_on_is_what_was_typed_without_its_secrets() -> None:
    """A job's environment is read by whoever reads its command line."""
    said = again(Path("my job.yaml"), ["seed=3", "source.storage_options.secret=hunter2"], "http://h:8265")
    assert said.startswith("unscene submit 'my job.yaml' --address http://h:8265 --set seed=3 --set ")
    assert "hunter2" not in said


def test_no_answer_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("source: {uri: s3://bucket/night}\noutput: s3://bucket/out\n")
    port = free_ports(1)[0]
    done = _submit(Head(f"http://127.0.0.1:{port}", dict(os.environ)), "job.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert f"--address http://127.0.0.1:{port}: no Ray dashboard answers there" in done.stderr
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stdout, "buckets are no local paths"


def test_a_wrong_spec_never_leaves_this_machine(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("source: {uri: s3://bucket/night}\noutput: s3://bucket/out\nsede: 3\n")
    done = _submit(Head("http://127.0.0.1:1", dict(os.environ)), "job.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "job.yaml:3: unknown key `sede`; did you mean `seed`?" in done.stderr


def _submit(head: Head, spec: str, *options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**head.env, "PYTHONPATH": str(ROOT), "COLUMNS": "500"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "submit", spec, "--address", head.address, *options],
        env=env,
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _finished_job(folder: Path) -> Path:
    """A job of one picture whose shards are all committed, with relative paths in its spec."""
    (folder / "bucket").mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "bucket" / "a.png")
    shutil.copytree(ROOT / "models" / "seedling" / "base", folder / "model")
    spec_file = folder / "job.yaml"
    spec_file.write_text("source: {uri: bucket, masks: beside}\noutput: out\nmodels: {base: model}\n")
    spec = load_spec(spec_file, [f"source.uri={folder}/bucket", f"output={folder}/out", f"models.base={folder}/model"])
    storage = Storage(spec.output)
    start_record(storage, spec, [kind.name for kind in kinds_of(spec)])
    extend_plan(storage, take_census(spec).pictures, 5, partial(read_picked, spec=spec))
    for kind in kinds_of(spec):
        pack_rows(storage, kind.name, 0, 0, {kind.table: []})
    pack_rows(storage, "failures", 0, 0, {"failures": []})
    return spec_file


def _unwrapped(text: str) -> str:
    return " ".join(text.split())
