"""The end of a run: what is said of subsets that scenes lack, and a job that made nothing is not a success."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline import cli
from pipeline.commands import run
from pipeline.commands.closing import closing_lines, nothing_made
from pipeline.commands.opening import JobState
from pipeline.commands.planning import write_source_account
from pipeline.commands.run import JobResult, run_opened
from pipeline.commands.submit import AGAIN
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.rounds import Ledger
from pipeline.report.card import write_card
from pipeline.shards.pack import PackOrder, pack, pack_rows
from pipeline.shards.parts import part_name, write_part
from pipeline.stage_kinds import EXTRACT, GENERATE, INGEST, SEGMENT, StageKind
from pipeline.storage.folder import Storage
from pipeline.wording import within
from schemas.job import JobSpec
from schemas.outcomes import BEYOND, AccountLine, Failure, SceneOutput
from schemas.records import PLAN
from tests.support.sample_output import SampleOutput, extracted, write_record

KINDS = [INGEST, SEGMENT, EXTRACT, GENERATE]
QUIET = Console(quiet=True)


def output_of(folder: Path, failing: dict[str, str], scenes: tuple[str, ...] = ("aa", "bb")) -> tuple[Storage, JobSpec]:
    """One committed shard. failing: stage -> error of all scenes in it; a stage that does not fail makes a row a scene,
    but for generate, which makes none."""
    spec = JobSpec.model_validate({"source": {"uri": "/photos"}, "output": str(folder), "generate": {"subsets": [[2]]}})
    storage, ready = Storage(str(folder)), scenes
    write_record(storage, spec)
    rows = [{"scene_id": one, "uri": f"/photos/{one}", "shard": 0, "position": n} for n, one in enumerate(scenes)]
    plan = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=PLAN), plan)
    storage.write("_plan/000000.parquet", plan.getvalue())
    for kind in KINDS:
        for scene in ready:
            write_part(storage, part_name(kind.name, 0, 0, scene), made(kind, scene, failing.get(kind.name)))
        ready = tuple(pack(storage, PackOrder(kind.name, kind.table, kind.tar, 0, 0, ready, ready)).done)
    pack_rows(storage, "failures", 0, 0, {"failures": []})
    return storage, spec


def made(kind: StageKind, scene: str, error: str | None) -> SceneOutput:
    if error:
        return SceneOutput(scene, failure=Failure(scene, error, "because"))
    if kind is INGEST:
        return SceneOutput(scene, [{"scene_id": scene, "uri": f"/photos/{scene}", "status": "ok"}])
    if kind is EXTRACT:
        return extracted(scene)
    return SceneOutput(scene)


def ended(storage: Storage) -> JobResult:
    return JobResult(True, True, committed_counts(storage, KINDS), 1.0)


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        ({"ingest": "NotAPicture"}, "ingest made nothing, as every scene failed (2); mend what failures/ names, then"),
        ({"extract": "SceneError"}, "extract made nothing, as every scene failed (2)"),
        ({"generate": "SceneError"}, "generate made nothing, as every scene failed (2)"),
        ({}, "generate made nothing of 2 scenes, which do not have the concepts of generate.subsets; ask"),
    ],
)
def test_a_job_that_made_nothing_says_so(tmp_path: Path, failing: dict[str, str], message: str) -> None:
    storage, _ = output_of(tmp_path / "out", failing)
    found = nothing_made(storage, ended(storage))
    assert found is not None
    assert found.startswith(f"{storage.url}: {message}")


def test_a_job_that_made_something_or_was_to_make_nothing_has_not_failed(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "some")
    assert nothing_made(sample.storage, JobResult(True, True, committed_counts(sample.storage, KINDS), 1.0)) is None
    withdrawn, _ = output_of(tmp_path / "out", {"extract": "Withdrawn"})
    assert nothing_made(withdrawn, ended(withdrawn)) is None


def test_scenes_without_a_subset_are_counted_at_the_end(tmp_path: Path) -> None:
    storage, _ = output_of(tmp_path / "out", {})
    assert "generate.subsets: [2] needs 3 concepts; 2 of 2 scenes have fewer, and no picture of it" in closing_lines(
        storage, ended(storage)
    )


def test_the_command_ends_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, _ = output_of(tmp_path / "out", {"ingest": "NotAPicture"})
    job = tmp_path / "job.yaml"
    job.write_text(f"source: {{uri: /photos}}\noutput: {tmp_path / 'out'}\n")
    monkeypatch.setattr(run, "run_job", lambda spec, console, **how: ended(storage))
    monkeypatch.setattr("sys.argv", ["unscene", "run", str(job)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"unscene: {storage.url}: ingest made nothing")
    assert len(said.err.strip().splitlines()) == 1


def test_what_this_run_made_and_what_there_is_in_all_are_told_apart(tmp_path: Path) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    counts = committed_counts(storage, KINDS)
    whole = closing_lines(storage, JobResult(True, True, counts, 60.0, made=dict(counts)))
    assert whole[0] == "made 3 of 5 scenes, 6 handles, 12 variations of 3 scenes in 60 s"
    made = {"ingest": (1, 0), "segment": (1, 0), "extract": (1, 1), "generate": (0, 0)}
    later = closing_lines(storage, JobResult(True, True, counts, 60.0, made=made))
    assert later[:2] == [
        "this run: ingest 1, segment 1, extract 1 and 1 failed, in 60 s",
        "in all: 3 of 5 scenes, 6 handles, 12 variations of 3 scenes",
    ]
    nothing = closing_lines(storage, JobResult(True, False, counts, 0.1))
    assert nothing[0] == "in all: 3 of 5 scenes, 6 handles, 12 variations of 3 scenes"


def test_files_are_named_from_the_source_on(tmp_path: Path) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    lines = closing_lines(storage, JobResult(True, False, committed_counts(storage, KINDS), 0.1))
    assert not any(line.startswith("  ") and "/photos" in line for line in lines)
    assert any(line.startswith("  ingest broken.jpg: ") for line in lines)


@pytest.mark.parametrize(
    ("text", "folder", "short"),
    [
        ("/photos/a/b.jpg: it is empty", "/photos", "a/b.jpg: it is empty"),
        ("as /photos/a.jpg; see '/photos/b.jpg'", "/photos/", "as a.jpg; see 'b.jpg'"),
        ("/old/photos/a.jpg", "/photos", "/old/photos/a.jpg"),
        ("/photos/ is empty", "/photos", "/photos/ is empty"),
        ("/photos2/a.jpg", "/photos", "/photos2/a.jpg"),
        ("/a.jpg", "/", "/a.jpg"),
        ("s3://photos/x/a.jpg: gone", "s3://photos/x", "a.jpg: gone"),
        ("/photos/a.jpg", None, "/photos/a.jpg"),
    ],
)
def test_a_path_is_short_where_its_folder_is_known(text: str, folder: str | None, short: str) -> None:
    assert within(text, folder) == short


@pytest.mark.parametrize("submitted", [None, "unscene submit 'my job.yaml' --address http://h:8265"])
def test_an_interrupted_run_says_the_whole_command_that_goes_on(
    submitted: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --until it would train what was to be looked at first; on a cluster's head it is not what was typed."""
    monkeypatch.setenv(AGAIN, submitted) if submitted else monkeypatch.delenv(AGAIN, raising=False)
    storage, _ = output_of(tmp_path / "out", {})
    job = tmp_path / "my job.yaml"
    job.write_text(f"source: {{uri: /photos}}\noutput: {tmp_path / 'out'}\n")
    asked: list[tuple[int | None, str | None, str]] = []

    def stopped(spec: JobSpec, console: Console, **how: Any) -> JobResult:
        asked.append((spec.source.limit, how["until"], how["command"]))
        return JobResult(False, True, committed_counts(storage, KINDS[:2]), 1.0, until="segment")

    monkeypatch.setattr(run, "run_job", stopped)
    monkeypatch.setattr(
        "sys.argv", ["unscene", "run", str(job), "--limit", "2", "--until", "segment", "--set", "seed=3"]
    )
    with pytest.raises(SystemExit) as ended_with:
        cli.main()
    whole = f"unscene run '{job}' --set seed=3 --limit 2"
    assert (ended_with.value.code, asked) == (130, [(2, "segment", submitted or whole)])
    assert f"Go on with: {submitted or f'{whole} --until segment'}\n" in capsys.readouterr().out


def test_a_run_of_the_first_stages_says_what_they_made_and_how_to_go_on(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", stages=KINDS[:2])
    counts = committed_counts(sample.storage, KINDS[:2])
    write_source_account(sample.storage, [AccountLine("file", "/photos/NOTICE", "left out", "no suffix")])
    lines = closing_lines(sample.storage, JobResult(True, True, counts, 1.0, until="segment"))
    assert lines[0] == "made 4 of 5 scenes, 8 concepts in 1 s"
    assert lines[-1] == "stopped after segment, as asked; the same command without --until goes on from there"
    assert not any("variation" in line for line in lines)
    at = lines.index("account of 7 files so far: 1 duplicate, 1 left out, 5 scenes (1 failed)")
    assert set(lines[at + 1 : at + 4]) == {"  failed in ingest: 1", "  no suffix: 1", "  same bytes: 1"}


def test_scenes_that_failed_before_the_last_stage_asked_for_are_not_made(tmp_path: Path) -> None:
    storage, _ = output_of(tmp_path / "out", {"segment": "NoConcept"})
    counts = committed_counts(storage, KINDS[:2])
    lines = closing_lines(storage, JobResult(True, True, counts, 21.0, until="segment"))
    assert lines[0] == "made 0 of 2 scenes in 21 s"


def test_the_scenes_of_the_account_are_those_that_were_made_and_those_that_failed(tmp_path: Path) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    lines = closing_lines(storage, JobResult(True, False, committed_counts(storage, KINDS), 1.0))
    assert lines[0].startswith("in all: 3 of 5 scenes, ")
    at = lines.index("account of 6 files: 1 duplicate, 5 scenes (2 failed)")
    assert set(lines[at + 1 : at + 4]) == {"  failed in ingest: 1", "  failed in extract: 1", "  same bytes: 1"}


@pytest.mark.parametrize("stages", [KINDS[:2], KINDS[:3], KINDS])
def test_a_run_that_goes_no_further_tells_of_failures_as_the_account_does(
    tmp_path: Path, stages: list[StageKind]
) -> None:
    """Of stages after --until too, which an earlier run went through."""
    storage = SampleOutput(tmp_path / "out", stages=stages).storage
    counts = committed_counts(storage, KINDS[:2])
    lines = closing_lines(storage, JobResult(True, False, counts, 1.0, until="segment"))
    failed = 1 + (EXTRACT in stages)
    assert f"account of 6 files so far: 1 duplicate, 5 scenes ({failed} failed)" in lines
    at = lines.index(f"{failed} failed, of the files under /photos:")
    assert [line.split()[0] for line in lines[at + 1 :] if line.startswith("  ")] == ["ingest", "extract"][:failed]


def test_nothing_goes_on_from_where_every_scene_failed(tmp_path: Path) -> None:
    storage, _ = output_of(tmp_path / "out", {"segment": "SceneError"})
    counts = {"ingest": (2, 0), "segment": (0, 2)}
    lines = closing_lines(storage, JobResult(True, True, counts, 1.0, until="segment"))
    assert lines[0].startswith("made 0 of 2 scenes")
    assert not any("goes on from there" in line for line in lines)


@pytest.mark.parametrize("until", ["segment", "generate", None])
def test_a_finished_job_is_not_stopped_anywhere(until: str | None, tmp_path: Path) -> None:
    """Nor does it hide what later stages have made."""
    sample = SampleOutput(tmp_path / "out")
    ledger = Ledger(sample.storage, [kind.name for kind in KINDS])
    result = run_opened(JobState(sample.spec, sample.storage, KINDS, sample.plan, ledger, None, []), QUIET, until)
    assert (result.until, result.worked, list(result.counts)) == (None, False, [kind.name for kind in KINDS])
    lines = closing_lines(sample.storage, result)
    assert lines[0].startswith("in all: 3 of 5 scenes, 6 handles, 12 variations of 3 scenes")
    assert not any("--until" in line or "so far" in line for line in lines)


def test_a_job_that_is_past_the_stage_has_not_stopped_after_it(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", stages=KINDS[:3])
    ledger = Ledger(sample.storage, [kind.name for kind in KINDS])
    state = JobState(sample.spec, sample.storage, KINDS, sample.plan, ledger, None, [0, 1])
    result = run_opened(state, QUIET, "segment")
    assert (result.until, result.worked) == ("segment", False)
    assert closing_lines(sample.storage, result)[-1] == (
        "went no further, as --until segment asks; the same command without it goes on from there"
    )


def test_a_job_of_the_first_few_says_that_there_are_more(tmp_path: Path) -> None:
    """A bucket whose first two files are broken ones, tried with `--limit 2`."""
    storage, _ = output_of(tmp_path / "out", {"ingest": "NotAPicture"})
    assert "--limit" not in str(nothing_made(storage, ended(storage)))
    record = json.loads(storage.read("run.json"))
    record["spec"]["source"]["limit"] = 2
    storage.write("run.json", json.dumps(record).encode())
    write_source_account(
        storage,
        [AccountLine("file", f"/photos/{name}", "left out", BEYOND) for name in "cde"]
        + [AccountLine("file", "/photos/NOTICE", "left out", "no suffix")],
    )
    more = "(2); raise --limit (source.limit: 2), which leaves 3 pictures out, or mend "
    assert f"{more}what failures/ names, then" in str(nothing_made(storage, ended(storage)))
    first = JobResult(True, True, committed_counts(storage, KINDS[:2]), 1.0, until="segment")
    assert f"{more}the files, which the same command takes up; for other" in str(nothing_made(storage, first))
    rest = "3 files beyond the limit: the same command with a higher one, or none, goes on with the rest"
    assert rest in closing_lines(storage, ended(storage))


def test_a_readme_of_somebody_else_s_is_told(tmp_path: Path) -> None:
    storage = SampleOutput(tmp_path / "out").storage
    result = JobResult(True, False, committed_counts(storage, KINDS), 0.1)
    write_card(storage)
    assert not any("README.md" in line for line in closing_lines(storage, result))
    (tmp_path / "out" / "README.md").write_text("# Mine\n")
    assert (
        f"{storage.url}/README.md: not, or no longer, a card of Unscene's, as the line by which that is known is not "
        "in it; it was left as it is, and load_dataset reads what it says; move it away, and `unscene report` writes "
        "one for the tables"
    ) in closing_lines(storage, result)


def test_scenes_without_what_a_prompt_names_are_counted_at_the_end(tmp_path: Path) -> None:
    prompts = ["{dog} at night", "{1} at the beach", "{2}"]
    storage = SampleOutput(tmp_path / "out", settings={"generate.prompts": prompts}).storage
    lines = closing_lines(storage, ended(storage))
    assert [line for line in lines if line.startswith("generate.prompts")] == [
        "generate.prompts: '{dog} at night' names concept 'dog'; 3 of 3 scenes do not have it, and no picture of it",
        "generate.prompts: '{2}' names concept 2; 3 of 3 scenes do not have it, and no picture of it",
    ]
