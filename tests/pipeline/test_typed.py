"""Commands as people mistype them: one sentence, exit code 2, at once and without a shell of their own."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.cli import app, main
from tests.support.sample_output import SampleOutput

EVERY_OUTPUT = [
    ["status"],
    ["report"],
    ["retry"],
    ["withdraw", "--scene", "00"],
    ["export", "--scene", "00", "--to", "x"],
    ["dataset", "--to", "coco", "--into", "x"],
    ["scenes"],
    ["scenes", "--json"],
    ["status", "--json"],
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a job, a folder of pictures, an empty one, an OUTPUT of another version."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "job.yaml").write_text("source: {uri: photos}\noutput: out\n")
    (tmp_path / "sam").mkdir()
    (tmp_path / "sam" / "sam_vit_b_01ec64.pth").touch()
    return tmp_path


def typed(words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `unscene WORDS`."""
    monkeypatch.setattr(sys, "argv", ["unscene", *words])
    with pytest.raises(SystemExit) as left:
        main()
    shown = capfd.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("rnu job.yaml", "there is no command `rnu`; did you mean `unscene run`?"),
        ("frobnicate", "there is no command `frobnicate`; there are init, check, plan, run, "),
        ("job.yaml", "there is no command `job.yaml`; did you mean `unscene run job.yaml`?"),
        ("run job.yaml --sett seed=1", "`unscene run` has no option --sett; did you mean --set?"),
        ("run job.yaml --set", "--set needs a value after it"),
        ("run job.yaml --refresh=yes", "--refresh takes no value"),
        (
            "run",
            "`unscene run` needs SPEC (Job spec: a YAML file, or the name of one that ships (`unscene jobs`)); type",
        ),
        ("status", "`unscene status` needs OUTPUT ("),
        ("status my out", "`unscene status` has no place for `out`; type `unscene status OUTPUT`, with quotes around"),
        ("export out --to x", "export: name one scene by `--scene birds.jpg` (or its id), or all of them by `--all`"),
        (
            "dataset out --into x",
            "`unscene dataset` needs --to (Format); type `unscene dataset out --to TO --into x`",
        ),
        (
            "dataset out --to cocoa --into x",
            "`unscene dataset`: invalid value for '--to': 'cocoa' is not one of 'coco'",
        ),
        (
            "dataset out --to coco --into x --validation 1",
            "--validation 1: a share of the scenes is asked for, such as 0.1",
        ),
        (
            "dataset out --to coco --into x --scenes only --ratio 2",
            "--ratio 2: it counts new pictures to each real one",
        ),
        (
            "dataset out --to coco --into x --classes job.yaml",
            "--classes job.yaml:1: source: a class is one text, and no list or section; write a line for each word",
        ),
        ("dataset out --to coco --into x --classes no.yaml", "--classes no.yaml: it cannot be read ("),
        ("withdraw out", "`unscene withdraw` needs --scene ("),
        ("export out --all", "; type `unscene export out --to TO --all`"),
        ("export --all --to x", "; type `unscene export OUTPUT --to x --all`"),
        (
            "submit job.yaml --set seed=1 --set output=o --wait",
            "`unscene submit job.yaml --address ADDRESS --set seed=1 --set output=o --wait`",
        ),
        ("run --limit 2", "; type `unscene run SPEC --limit 2`"),
        ("submit job.yaml", "`unscene submit` needs --address ("),
        ("run jbo.yaml", "jbo.yaml: cannot read the job spec (No such file or directory); did you mean job.yaml?"),
        ("plan photos", "photos: cannot read the job spec (Is a directory); it is a folder; name a YAML file"),
        ("status photos", "photos: no run.json there; name the output folder of an Unscene job"),
        ("status nothing", "nothing: no run.json there; name the output folder of an Unscene job"),
        ("status photos/a.png", "photos/a.png is a file; name the output folder of an Unscene job"),
        ("status job.yaml", "out holds no job yet; `unscene run job.yaml` begins it"),
        ("scenes job.yaml --json", "out holds no job yet; `unscene run job.yaml` begins it"),
        ("status jbo.yaml", "jbo.yaml: cannot read the job spec (No such file or directory); did you mean job.yaml?"),
        ("run job.yaml --set seed", "--set seed: write it as --set section.field=value"),
        ("run job.yaml --set output=", "--set output=: no value; write `null` for none"),
        (
            "run job.yaml --set output=$HOME/x",
            "output: $HOME/x: variables such as $HOME are not read in a spec; write ~",
        ),
        ("run job.yaml --set source.uri=phtos", "phtos, which is not there; did you mean "),
        ("run job.yaml --set source.uri=empty", "empty, a folder without a file (looked for .jpg "),
        ("run job.yaml --set source.uri=job.yaml", "job.yaml names a list or a table"),
        ("run job.yaml --set models.base=sedling", "models.base: there is no model sedling; did you mean `seedling`?"),
        ("plan job.yaml --set models.base=sedling", "models.base: there is no model sedling; did you mean `seedling`?"),
        (
            "run job.yaml --set models.sam=sedling",
            "models.sam: sedling: no such file or folder; did you mean `seedling`?",
        ),
        ("plan job.yaml --set models.sam=sam/sam_vit_b.pth", "did you mean `sam/sam_vit_b_01ec64.pth`?"),
        (
            "run job.yaml --set models.sam=vit_b",
            "check the path or give a URL, such as https://dl.fbaipublicfiles.com/",
        ),
        (
            "run job.yaml --set models.base=sd-v1-5",
            "models.base: there is no directory sd-v1-5; give a directory in Sta",
        ),
        ("evaluate job.yaml --only tim", "--only tim: not in protocol.methods; it has break_a_scene, "),
        (
            "run job.yaml --until segmnt",
            "--until segmnt: this job has no stage of that name; it has ingest, segment, extr",
        ),
        ("run job.yaml --until evaluate", "scores are made with evaluate.enabled: true"),
        (
            "run job.yaml --limit 0",
            "equal to 1; type `unscene run SPEC --limit LIMIT`",
        ),
        ("run augment --limit 2", "--limit 2: this job draws all scenes of source.handles; leave it out"),
        ("plan augment --limit 2", "--limit 2: this job draws all scenes of source.handles; leave it out"),
        ("plan protocol --json", "--json: protocol compares methods; plan it without --json"),
        ("plan protocol --probe", "--probe: protocol compares methods; plan it without --probe"),
        ("init", "init: name the folder of the pictures, `unscene init photos`, or take --example demo"),
        ("init phtos", "phtos, which is not there; did you mean "),
        (
            "init photos --to job.yaml",
            "init: job.yaml is there already, and nothing is written over; name another: --to",
        ),
        ("init photos --source empty", "--source empty: FOLDER says photos already; give one of the two"),
        ("init photos --example demo", "--example demo: it is written as it ships; leave photos out, and edit it"),
        ("init --example dmeo", "--example dmeo: no job of that name ships with Unscene; there are augment, demo"),
        ("check jbo.yaml", "jbo.yaml: cannot read the job spec (No such file or directory); did you mean job.yaml?"),
        ("check job.yaml --set models.base=sedling", "models.base is wrong; its line above says what to do"),
        (
            "fields extract.steps",
            "no field or section of that name; did you mean extract.phase1.steps or extract.phase2",
        ),
        (
            "fields frobnicate",
            "fields frobnicate: a job has no field or section of that name; there are source, models, ",
        ),
        ("submit job.yaml --address 127.0.0.1", "--address 127.0.0.1: give the URL of the cluster's dashboard"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_mistake_is_one_sentence(
    line: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, said = typed(line.split(), monkeypatch, capfd)
    assert sentence in said
    assert (code, said.count("\n"), said.startswith("unscene: ")) == (2, 1, True)
    assert not Path("out").exists()


@pytest.mark.usefixtures("here")
def test_wrong_models_and_a_wrong_source_are_told_together(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = {"models.base": "sedling", "models.sam": "vit_h", "source.uri": "phtos"}
    words = [word for name, value in wrong.items() for word in ("--set", f"{name}={value}")]
    for command in ("run", "plan"):
        code, _, said = typed([command, "job.yaml", *words], monkeypatch, capfd)
        assert code == 2
        assert said.startswith("unscene: 3 mistakes: (1) source.uri: ")
        assert "(2) models.base: there is no model sedling" in said
        assert "(3) models.sam: vit_h: no such file or folder" in said


@pytest.mark.parametrize(
    "command",
    [
        ["run", "job.yaml"],
        ["plan", "job.yaml"],
        ["plan", "job.yaml", "--json"],
        ["evaluate", "job.yaml"],
        *EVERY_OUTPUT,
    ],
)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spec": {"source": {"uri": "photos"}, "output": "out", "later": 1}}, "spec: unknown key `later`"),
        ({"spec": None}, "`spec` is a NoneType"),
    ],
)
def test_an_output_of_another_version_is_named_by_every_command(
    command: list[str],
    changes: dict[str, Any],
    why: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = here / "out" / "scenes" if command[0] == "evaluate" else here / "out"
    (out / "_commits" / "ingest").mkdir(parents=True)
    record = {"fingerprint": "0", "fields": {}, "versions": {"unscene": "9.1"}, **changes}
    (out / "run.json").write_text(json.dumps(record))
    words = command if "job.yaml" in command else [command[0], "out", *command[1:]]
    code, _, said = typed(words, monkeypatch, capfd)
    assert f"{out}/run.json was written by Unscene 9.1, and 0.1.0 cannot read it ({why}); use the version" in said
    assert (code, said.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", EVERY_OUTPUT)
@pytest.mark.usefixtures("here")
def test_a_spec_stands_for_the_output_that_it_names(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, said = typed([command[0], "job.yaml", *command[1:]], monkeypatch, capfd)
    assert (code, said) == (
        2,
        f"unscene: job.yaml: its output {tmp_path}/out holds no job yet; `unscene run job.yaml` begins it\n",
    )


def test_a_spec_shows_the_status_of_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sample = SampleOutput(tmp_path / "out", scenes=1)
    (tmp_path / "job.yaml").write_text("source: {uri: photos}\noutput: out\n")
    monkeypatch.chdir(tmp_path)
    by_address, by_spec = (typed(["status", named], monkeypatch, capfd) for named in (sample.storage.url, "job.yaml"))
    assert by_address == by_spec
    assert by_spec[0] == 0
    assert "2 scenes of 3 files" in by_spec[1]


@pytest.mark.usefixtures("here")
def test_the_name_of_a_job_that_ships_stands_for_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, said = typed(["status", "demo"], monkeypatch, capfd)
    assert (code, said.partition(":")[2]) == (
        2,
        f" demo: its output {tmp_path}/out/demo holds no job yet; `unscene run demo` begins it\n",
    )


def test_no_words_at_all_show_the_help_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, said = typed([], monkeypatch, capfd)
    assert code == 2
    assert "Usage: " in out + said
    assert "unscene: " not in said


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_every_help_has_examples_that_are_such_commands(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = typed([command, "--help"], monkeypatch, capfd)
    assert code == 0
    shown = [line.strip() for line in out.partition("Examples:")[2].splitlines() if line.strip()]
    assert shown
    for line in shown:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:2] == ["unscene", command], line
        assert len(line) <= 78, f"a terminal of 80 columns breaks it: {line}"
        assert {word for word in words[2:] if word.startswith("--")} <= set(
            re.findall(r"--[a-z-]+", out.partition("Exa")[0])
        )


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # may be none
    code, out, _ = typed(["--show-completion", "bash"], monkeypatch, capfd)
    assert (code, "_UNSCENE_COMPLETE=complete_bash" in out) == (0, True)


@pytest.mark.usefixtures("here")
def test_a_check_tells_each_thing_once_and_ends_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, said = typed(["check", "job.yaml"], monkeypatch, capfd)
    assert (code, said) == (0, "")
    assert out.endswith("nothing keeps it from running: unscene run job.yaml\n")
    code, out, said = typed(
        ["check", "job.yaml", "--set", "models.base=sedling", "--set", "output=job.yaml/x"], monkeypatch, capfd
    )
    assert code == 2
    assert [line.split()[0] for line in out.splitlines() if line[0] != " "] == ["ok", "wrong", "ok", "wrong"]
    assert said == "unscene: 2 things are wrong, models.base, output; their lines above say what to do\n"
    assert (out + said).count("there is no model sedling; did you mean `seedling`?") == 1
    assert not Path("out").exists()


@pytest.mark.usefixtures("here")
def test_a_check_ends_with_the_command_that_runs_what_was_checked(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = typed(["check", "job.yaml", "--set", "output=my out", "--set", "seed=3"], monkeypatch, capfd)
    assert code == 0
    assert out.endswith(" it from running: unscene run job.yaml --set 'output=my out' --set seed=3\n")
