"""Who is told that a run has ended: once, whatever its end, with nothing of an address but its host."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.check import check_job
from pipeline.commands.notified import Ending, notified
from pipeline.ledger.run_record import NAME, start_record
from pipeline.report.settings import changed_settings
from pipeline.storage.folder import Storage
from pipeline.watching.counts import JobCounts
from pipeline.watching.run_log import RunLog
from pipeline.watching.snapshot import write_snapshot
from schemas.errors import JobError, SpecError
from schemas.job import JobSpec
from schemas.secrets import masked, masked_setting
from tests.support.finished_job import unscene
from tests.support.listener import Listener, listening

KEYS = ["text", "output", "state", "seconds", "scenes", "failed", "report", "error"]


@pytest.fixture
def server() -> Iterator[Listener]:
    with listening() as found:
        yield found


def spec_of(folder: Path, **notify: Any) -> JobSpec:
    return JobSpec.model_validate({"source": {"uri": "in"}, "output": str(folder / "out"), "notify": notify})


def end(spec: JobSpec, said: list[str], ending: Ending | None = None, error: BaseException | None = None) -> None:
    with notified(spec, said.append) as found:
        if ending is not None:
            vars(found).update(vars(ending))
        if error is not None:
            raise error


def test_a_finished_run_is_told_with_its_counts(server: Listener, tmp_path: Path) -> None:
    said: list[str] = []
    spec = spec_of(tmp_path, url=f"{server.url}/T0SECRET")
    end(spec, said, Ending({"ingest": (14, 1), "extract": (12, 2)}, report="out/report/index.html"))
    ((_, _, told),) = server.heard
    assert list(told) == KEYS
    assert (told["state"], told["failed"], told["error"]) == ("finished", 3, None)
    assert told["scenes"] == {"ingest": {"done": 14, "failed": 1}, "extract": {"done": 12, "failed": 2}}
    assert told["report"] == "out/report/index.html"
    assert told["output"] == str(tmp_path / "out")
    assert told["text"] == f"unscene finished: {tmp_path / 'out'}, 0 s, 3 scenes failed"
    assert said == ["notify.url: 127.0.0.1 was told"]


@pytest.mark.parametrize(
    ("ending", "error", "state", "why"),
    [
        (Ending({}, complete=False), RuntimeError("typer's Exit"), "stopped", None),
        (None, KeyboardInterrupt(), "stopped", None),
        (None, JobError("models.base: there is no such folder"), "failed", "models.base: there is no such folder"),
        (None, OSError("disk full"), "failed", "OSError: disk full"),
        (Ending({}, wrong="extract made nothing"), RuntimeError("typer's Exit"), "failed", "extract made nothing"),
    ],
)
def test_a_run_that_ends_otherwise_is_told_once_and_ends_as_it_would(
    server: Listener, tmp_path: Path, ending: Ending | None, error: BaseException, state: str, why: str | None
) -> None:
    with pytest.raises(type(error)):
        end(spec_of(tmp_path, url=server.url), [], ending, error)
    ((_, _, told),) = server.heard
    assert list(told) == KEYS
    assert (told["state"], told["error"]) == (state, why)


def test_a_run_that_is_terminated_before_it_works_is_told_of(server: Listener, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, notified(spec_of(tmp_path, url=server.url), [].append):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert ended.value.code == 128 + signal.SIGTERM
    assert server.heard[0][2]["state"] == "stopped"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_that_came_to_no_result_is_told_as_it_last_was(server: Listener, tmp_path: Path) -> None:
    counts = JobCounts(["ingest", "extract"], 9)
    counts.add("ingest", 7, 2)
    write_snapshot(Storage(str(tmp_path / "out")), counts)
    with pytest.raises(OSError, match="disk"):
        end(spec_of(tmp_path, url=server.url), [], error=OSError("disk full"))
    told = server.heard[0][2]
    assert told["scenes"] == {"ingest": {"done": 7, "failed": 2}, "extract": {"done": 0, "failed": 0}}
    assert told["failed"] == 2


def test_an_address_that_does_not_answer_costs_a_line(server: Listener, tmp_path: Path) -> None:
    said: list[str] = []
    end(spec_of(tmp_path, url=f"{server.url}/T0SECRET/silent", timeout_s=0.5), said, Ending({}))
    assert said == ["notify.url: 127.0.0.1 has not answered within 0.5 s; the job is none the worse for it"]


def test_a_program_is_told_beside_it(server: Listener, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "told.json"
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", str(out)]
    end(spec_of(tmp_path, url=f"{server.url}/500", command=command), said, Ending({}))
    assert json.loads(out.read_text()) == server.heard[0][2]
    assert said[0].startswith("notify.url: 127.0.0.1 answered 500; ")
    assert said[1] == f"notify.command: {sys.executable} was told"


def test_nobody_is_told_where_nobody_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    end(spec_of(tmp_path), said, Ending({}))
    assert said == []


@pytest.mark.parametrize(
    ("notify", "sentence"),
    [
        ({"url": "hooks.example.com/T0SECRET"}, "notify.url: this is no web address"),
        ({"url": "file:///etc/T0SECRET"}, "notify.url: this is no web address"),
        ({"url": "http:///T0SECRET"}, "notify.url: this is no web address"),
        ({"url": "http://host:99999/T0SECRET"}, "notify.url: this is no web address"),
        ({"url": "http://host/T0SECRET\r\nX: y"}, "notify.url: this is no web address"),
        ({"url": "https://me:T0SECRET@host/"}, "notify.url: a user or password before the host is not sent"),
        ({"url": "env:NOT_SET_HERE"}, "notify.url: env:NOT_SET_HERE: there is no variable NOT_SET_HERE"),
        ({"url": "env:"}, "notify.url: env:: there is no variable without a name"),
        ({"url": "env:UNSCENE_BAD"}, "notify.url: this is no web address"),
        ({"command": ["no-such-program", "T0SECRET"]}, "notify.command: there is no program no-such-program"),
        ({"command": ["mail me T0"]}, "notify.command: there is no program mail me T0"),
        ({"command": [""]}, "notify.command: there is no program without a name"),
    ],
)
def test_what_nobody_could_tell_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notify: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setenv("UNSCENE_BAD", "T0SECRET")
    spec = spec_of(tmp_path, **notify)
    with pytest.raises(SpecError) as refused, notified(spec, print):
        raise AssertionError("work has begun")
    assert str(refused.value).startswith(sentence)
    assert "T0SECRET" not in str(refused.value)
    assert "; " in str(refused.value), "and what to do"
    (checked,) = [one for one in check_job(spec, {}) if one.what == "notify"]
    assert checked.wrong == str(refused.value)


def test_an_address_in_the_environment_is_found_there(
    server: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSCENE_HOOK", f"{server.url}/hook\n")
    spec = spec_of(tmp_path, url="env:UNSCENE_HOOK")
    end(spec, [], Ending({}))
    assert server.heard[0][0] == "/hook"
    (checked,) = [one for one in check_job(spec, {}) if one.what == "notify"]
    assert checked.said == ["POST to 127.0.0.1"]


def test_no_file_of_the_output_holds_an_address(tmp_path: Path) -> None:
    """Who reads results reads run.json; only the name of a variable may stand there."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    for number, url in enumerate(("https://example.com/T0SECRET", "env:UNSCENE_HOOK")):
        storage = Storage(str(tmp_path / f"out{number}"))
        spec = spec_of(tmp_path, url=url, command=["true"])
        spec.models.base = spec.models.sam = str(model)
        start_record(storage, spec, ["ingest"])
        assert "T0SECRET" not in storage.read(NAME).decode()
        assert ("env:UNSCENE_HOOK" in storage.read(NAME).decode()) == (number == 1)
        assert not [name for name, _, _ in changed_settings(spec) if name.startswith("notify")], "nor the report"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("notify.url=https://host/T0SECRET", "notify.url=***"),
        ("--set=notify.url=https://host/T0SECRET", "--set=notify.url=***"),
        ("notify={url: https://host/T0SECRET, timeout_s: 3}", "notify=***"),
        ("notify.url=env:HOOK", "notify.url=env:HOOK"),
        ("notify.command=[true]", "notify.command=[true]"),
        ("output=out/notify.url", "output=out/notify.url"),
    ],
)
def test_a_command_line_is_repeated_without_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, told: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["unscene", "run", "demo", "--set", word])
    with RunLog(Storage(str(tmp_path))) as log:
        pass
    text = (tmp_path / log.name).read_text()
    assert f"unscene run demo --set {told} in " in text.replace("'", "")
    assert "T0SECRET" not in text + masked(f"go on with: unscene run demo --set {shlex.quote(word)} --limit 3")


def test_a_submitted_job_carries_the_address_inside_its_spec() -> None:
    """A job's command line is read by many; `submit` takes out of it what `masked_setting` changes."""
    assert masked_setting("notify.url=https://host/T0SECRET") == "notify.url=***"
    assert masked_setting("notify={url: 'https://host/T0SECRET'}") == "notify=***"
    assert masked_setting("notify.timeout_s=3") == "notify.timeout_s=3"


def test_a_command_that_is_typed_tells_of_a_job_that_cannot_start(server: Listener, tmp_path: Path) -> None:
    url = f"{server.url}/T0SECRET"
    done = unscene(
        "run", "jobs/demo.yaml", **{"output": tmp_path / "out", "source.uri": "/no/such/bucket", "notify.url": url}
    )
    assert done.returncode == 2
    ((path, _, told),) = server.heard
    assert path == "/T0SECRET"
    assert told["state"] == "failed"
    assert told["error"].startswith("source.uri: ")
    assert f"unscene: {told['error']}" in done.stderr
    assert "notify.url: 127.0.0.1 was told" in done.stdout
    assert "T0SECRET" not in done.stdout + done.stderr
