"""Whether an OUTPUT can be written, and whether its store refuses to make a file twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.commands.opening import open_job
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from schemas.errors import OutputError
from schemas.job import JobSpec
from tests.support.toy_stages import TOY_KINDS


class Careless(MemoryFileSystem):
    """A store that knows no conditions: it writes over what is there, and says that all is well."""

    protocol = "careless"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.removeprefix("careless://")))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        super().pipe_file(path, value)


@pytest.fixture
def careless() -> str:
    fsspec.register_implementation("careless", Careless, clobber=True)
    Careless.store.clear()
    return "careless://bucket/out"


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_good_store_passes_and_no_probe_is_left(kind: str, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out") if kind == "local" else f"memory://{tmp_path.name}")
    storage.delete_folder("")
    check_writable(storage)
    assert storage.names("") == {}


def test_a_store_that_ignores_the_condition_is_refused(careless: str) -> None:
    storage = Storage(careless)
    assert storage.create("x", b"first")
    assert storage.create("x", b"second"), "both attempts believe that they were first"
    with pytest.raises(OutputError, match=r"output: the store of careless://bucket/out ignores create-if-absent"):
        check_writable(storage)
    assert set(storage.names("")) == {"x"}


def test_no_job_opens_on_such_a_store(careless: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("a picture")
    spec = JobSpec.model_validate(
        {"source": {"uri": str(tmp_path)}, "output": careless, "models": {"base": str(tmp_path), "sam": str(tmp_path)}}
    )
    with pytest.raises(OutputError, match="ignores create-if-absent"):
        open_job(spec, TOY_KINDS)
    assert not Storage(careless).exists("run.json")


def test_no_permission_is_one_sentence(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write anywhere; nobody may not
    try:
        with pytest.raises(OutputError, match=r"output: cannot write under .*PermissionError"):
            check_writable(storage)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_output_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="output: cannot write under"):
        check_writable(Storage(str(tmp_path / "file" / "out")))
