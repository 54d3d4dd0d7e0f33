"""`unscene check`: each thing is looked at whatever the others come to, and nothing stays behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.commands import check
from pipeline.commands.check import check_job
from pipeline.commands.closing import closing_lines
from pipeline.commands.opening import open_job
from pipeline.commands.paths import anchored
from pipeline.commands.run import JobResult, run_job
from pipeline.protocol.jobs import method_spec
from pipeline.shards.account import GIVEN_ACCOUNT, account_counts, account_rows, account_text
from pipeline.shards.given_account import account_given
from pipeline.storage.folder import Storage
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.spec_file import load_spec
from tests.support import ROOT
from tests.support.given_rooms import SAID, UNUSED, given_rooms


def demo(output: Path, *settings: str) -> JobSpec:
    return anchored(load_spec(ROOT / "jobs" / "demo.yaml", [f"output={output}", *settings]))


def placed_into(rooms: Path, output: Path) -> JobSpec:
    place = ["generate.mode=place", "generate.place.region=given", "generate.subsets=[singles]"]
    return demo(output, *place, f"generate.place.given={rooms}")


def told(spec: JobSpec) -> list[str]:
    return [checked.lines()[0] for checked in check_job(spec, {})]


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_job_that_is_right(tmp_path: Path) -> None:
    lines = told(demo(tmp_path / "new" / "out"))
    assert [line.partition(":")[0] for line in lines] == [
        "ok     " + what for what in ("models", "source", "prompts", "output")
    ]
    assert "base seedling, pictures of 128 x 128 pixels" in lines[0]
    assert lines[1].startswith("ok     source: 14 pictures, ")
    assert lines[2].endswith(" of each for singles and union")
    assert told(demo(tmp_path / "new" / "out", "generate.subsets=[[0],[0,1]]"))[2].endswith("for concepts 0, 0+1")
    named = told(demo(tmp_path / "new" / "out", "generate.prompts=['{0} at night','{1}']"))
    assert named[2] == "ok     prompts: 2 prompts, 2 of each for the concepts that they name"
    both = told(demo(tmp_path / "new" / "out", "generate.prompts=['{handles}','{9}']"))
    assert both[2].endswith(": 2 prompts, 2 of each for singles and union, or the concepts that 1 of them name")
    assert lines[3].endswith("/new/out, which holds no job yet")
    assert not list(tmp_path.iterdir())


def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = demo(tmp_path / "file" / "out", "source.uri=demo/bukcet", "models.sam=vit_h", "models.clip=sedling")
    lines = told(spec)
    assert [line.split()[0] for line in lines] == ["wrong"] * 4
    assert [line.split()[1].rstrip(":") for line in lines] == ["models.sam", "models.clip", "source.uri", "output"]
    assert "did you mean" in lines[2]


def test_an_output_that_is_the_source_is_wrong_and_not_right_besides(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    lines = told(demo(tmp_path / "photos", f"source.uri={tmp_path}/photos"))
    assert [line.split(":")[0] for line in lines if " output: " in line] == ["wrong  output"]


def test_a_mistake_that_two_looks_come_upon_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that cannot be found is missed by whoever hashes what the job names, too."""
    wrong = SpecError("models.base: there is no such model; name another")

    def missing(*_: object) -> None:
        raise wrong

    monkeypatch.setattr(check, "check_models", missing)
    monkeypatch.setattr(check, "survey", missing)
    lines = told(demo(tmp_path / "out"))
    assert [line for line in lines if line.startswith("wrong")] == [f"wrong  {wrong}"]


def test_wrong_prompts_are_told_where_the_base_is_right(tmp_path: Path) -> None:
    lines = told(demo(tmp_path / "out", "generate.subsets=[[7]]"))
    wrong = next(line for line in lines if line.startswith("wrong"))
    assert wrong.startswith("wrong  generate.subsets: [7] asks for")
    assert not any(line.startswith("ok     prompts") for line in told(demo(tmp_path / "out", "models.base=sedling")))


def test_a_mistake_in_given_pictures_is_told_of_their_own_field(tmp_path: Path) -> None:
    placed = ["generate.mode=place", "generate.place.region=given", "generate.subsets=[singles]"]
    lines = told(demo(tmp_path / "out", *placed, f"generate.place.given={tmp_path}/rooms"))
    assert [line for line in lines if "source.uri" in line] == []
    wrong = [line for line in lines if line.startswith("wrong")]
    assert len(wrong) == 1
    assert wrong[0].startswith(f"wrong  generate.place.given: no images under {tmp_path}/rooms, where there is nothing")
    assert wrong[0].endswith("; check the prefix"), "there are no suffixes to set for it"
    assert any(line.startswith("ok     source: 14 pictures") for line in lines)
    lines = told(demo(tmp_path / "out", *placed, f"generate.place.given={ROOT / 'demo' / 'truth'}"))
    assert any(line.startswith("wrong  generate.place.given: ") for line in lines), lines


def test_what_of_given_pictures_is_not_drawn_into_is_told(tmp_path: Path) -> None:
    """Six pictures with eight masks were promised, of which a run used four and five, and said so nowhere."""
    rooms = given_rooms(tmp_path / "rooms")
    (checked,) = [one for one in check_job(placed_into(rooms, tmp_path / "out"), {}) if "given" in one.what]
    first, *more = checked.said
    assert first == f"{SAID}, under {rooms}"
    assert {line.partition(": ")[0]: line.split(": ")[1] for line in more} == UNUSED
    for name in "abc":
        (rooms / f"{name}.png").unlink()
    (rooms / "wide.png").unlink()
    (wrong,) = [line for line in told(placed_into(rooms, tmp_path / "out")) if line.startswith("wrong")]
    assert f"generate.place.given: none of the pictures under {rooms} can be drawn into, such as" in wrong


def test_a_run_tells_what_it_does_not_draw_into_when_it_starts_and_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Starts(Exception):
        """What comes next needs no test here."""

    def starts(*_: object) -> None:
        raise Starts

    monkeypatch.setattr("pipeline.scheduling.cluster.connected", starts)
    out, spec = io.StringIO(), placed_into(given_rooms(tmp_path / "rooms"), tmp_path / "out")
    for _ in range(2):
        with pytest.raises(Starts):
            run_job(spec, Console(file=out, width=400))
    storage = Storage(spec.output)
    said = f"generate.place.given: {SAID}; {storage.url_of(GIVEN_ACCOUNT)} says of each why"
    assert out.getvalue().splitlines().count(said) == 2, "once a run"
    lines = account_text(account_counts(storage))
    assert "account of 9 given files: 5 left out, 4 masks" in lines
    rows = [row for row in account_rows(storage, 20) if row["kind"] == "given file"]
    assert {Path(row["uri"]).name: row["reason"] for row in rows} == UNUSED
    end = closing_lines(storage, JobResult(True, True, {"ingest": (0, 0)}, 1.0))
    assert any("wide.mask0.png: outside the crop: too little of it" in line for line in end)
    variations = spec.model_copy(update={"generate": spec.generate.model_copy(update={"mode": "variations"})})
    assert account_given(storage, variations) is None
    assert not storage.exists(GIVEN_ACCOUNT), "of a folder that nothing is drawn into any more"


def test_an_output_of_the_same_job_is_right_and_of_another_wrong(tmp_path: Path) -> None:
    spec = demo(tmp_path / "out")
    open_job(spec)
    assert told(spec)[-1].startswith(f"ok     output: {tmp_path}/out, which this job has begun: 14 scenes planned")
    (tmp_path / "out" / "_work" / "ingest" / "000000.r0").mkdir(parents=True)
    *_, later = check_job(demo(tmp_path / "out", "extract.lora.rank=2"), {})
    assert later.said[-1] == "set anew for the stages to come: extract.lora.rank: 16 -> 2"
    other = told(demo(tmp_path / "out", "seed=5"))[-1]
    assert other.startswith(f"wrong  {tmp_path}/out was made with other settings (seed: 0 -> 5); put the fields back")


def test_a_spec_that_compares_methods_is_looked_at_for_each(tmp_path: Path) -> None:
    spec = anchored(load_spec(ROOT / "jobs" / "protocol.yaml", [f"output={tmp_path / 'out'}"]))
    methods = {name: method_spec(spec, name) for name in spec.protocol.methods}
    found = list(check_job(spec, methods))
    assert [checked.wrong for checked in found if checked.wrong] == []
    assert len(methods) > 3
