"""What an evaluation leaves: numbers, table, plot and page, from committed scores, without a model."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest

from pipeline.ledger.commits import read_commit, rounds
from pipeline.protocol.adopt import adopt, hand_on
from pipeline.protocol.jobs import method_spec, scenes_spec
from pipeline.protocol.outcome import write_outcome
from pipeline.protocol.page.samples import variation
from pipeline.protocol.page.scatter import DOT, HEIGHT, WIDTH, Dot, make_axis, place_labels, scatter
from pipeline.protocol.page.table import TITLES, table
from pipeline.protocol.statistics.bootstrap import Interval
from pipeline.protocol.statistics.summary import Level, Summary
from pipeline.storage.folder import Storage
from schemas.errors import SpecError
from schemas.fingerprint import fingerprint
from schemas.job import JobSpec
from schemas.methods import ABLATIONS, METHODS
from schemas.protocol import MethodName
from schemas.records import PROTOCOL
from tests.support.sample_output import PROMPTS, SampleOutput


def protocol_spec(folder: Path, **changes: object) -> JobSpec:
    tree = {"source": {"uri": "/photos"}, "output": str(folder), "generate": {"prompts": ["a photo of {handles}"]}}
    return JobSpec.model_validate({**tree, "protocol": {"resamples": 200, "sample_scenes": 2}, **changes})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUTPUT in which two methods have run."""
    folder = tmp_path_factory.mktemp("protocol")
    for name in ("scenes", "break_a_scene", "no_union_sampling"):
        SampleOutput(folder / name)
    return folder


def test_it_writes_a_row_a_method_and_measure(home: Path) -> None:
    lines = write_outcome(protocol_spec(home), Storage(str(home)))
    found = pq.read_table(home / "protocol" / "results.parquet")
    assert found.schema.equals(PROTOCOL)
    rows = {(row["method"], row["measure"], row["versus"]): row for row in found.to_pylist()}
    level = rows["break_a_scene", "prompt", None]
    assert (round(level["mean"], 6), level["low"], level["failures"]) == (0.25, pytest.approx(0.25), 2)
    difference = rows["no_union_sampling", "complete", "break_a_scene"]
    assert (difference["mean"], difference["expected"], difference["verdict"]) == (0.0, "falls", "within noise")
    assert ("break_a_scene", "prompt", "break_a_scene") not in rows
    assert any("not finished: ti_m, db_m" in line for line in lines)


def test_the_page_shows_table_plot_and_pictures_side_by_side_and_loads_nothing(home: Path) -> None:
    write_outcome(protocol_spec(home), Storage(str(home)))
    page = (home / "protocol" / "index.html").read_text()
    assert page.count("<svg") == 1
    assert page.count("data:image/webp") == 2 * 3  # two scenes: the scene itself and two methods
    assert "Not finished:" in page
    assert "without union sampling fewer combinations are complete" in page
    assert 'src="http' not in page
    assert "default-src 'none'" in page


def test_the_same_scores_give_the_same_files(home: Path) -> None:
    names = ("results.parquet", "table.md", "scatter.svg", "index.html")
    written = []
    for _ in range(2):
        write_outcome(protocol_spec(home), Storage(str(home)))
        written.append([(home / "protocol" / name).read_bytes() for name in names])
    assert written[0] == written[1]


def test_without_scores_nothing_is_written(tmp_path: Path) -> None:
    assert write_outcome(protocol_spec(tmp_path), Storage(str(tmp_path))) == [
        "no method has scores yet; nothing to compare"
    ]
    assert not (tmp_path / "protocol").exists()


def summary_of(points: dict[str, tuple[float, float]], half: float = 0.01) -> Summary:
    levels = {
        name: {
            axis: Level(Interval(value, value - half, value + half, 24), 880)
            for axis, value in zip(("prompt", "identity"), pair, strict=True)
        }
        for name, pair in points.items()
    }
    names = list(points)
    return Summary(names, ["a"] * 24, levels, {name: {} for name in names}, set(names), {}, [], dict.fromkeys(names, 0))


def test_the_plot_is_svg_with_a_dot_a_method_at_its_place() -> None:
    points = {"break_a_scene": (0.20, 0.6), "ti_m": (0.24, 0.5), "db_m": (0.16, 0.7), "no_phase1": (0.18, 0.55)}
    root = ET.fromstring(scatter(summary_of(points)))
    space = {"s": "http://www.w3.org/2000/svg"}
    dots = {c.find("s:title", space).text: c for c in root.findall(".//s:circle", space)}
    assert set(dots) == {TITLES[name] for name in points}
    at = {name: (float(dots[TITLES[name]].get("cx")), float(dots[TITLES[name]].get("cy"))) for name in points}
    assert at["db_m"][0] < at["no_phase1"][0] < at["break_a_scene"][0] < at["ti_m"][0]
    assert at["db_m"][1] < at["break_a_scene"][1] < at["no_phase1"][1] < at["ti_m"][1]
    assert dots[TITLES["no_phase1"]].get("fill") == "#ffffff" != dots[TITLES["ti_m"]].get("fill")
    words = [text.text for text in root.findall(".//s:text", space)]
    assert {"prompt similarity →", "identity similarity →", *(TITLES[name] for name in points)} <= set(words)
    assert scatter(summary_of({})).startswith("<svg")


@pytest.mark.parametrize("spread", [0.0, 2.0, 9.0, 60.0])
def test_labels_collide_with_nothing_however_close_the_methods_are(spread: float) -> None:
    dots = [
        Dot(name, WIDTH / 2 + spread * ((3 * number) % 8 - 4), HEIGHT / 2 + spread * ((5 * number) % 8 - 4) / 2, None)
        for number, name in enumerate(get_args(MethodName))
    ]
    boxes = place_labels(dots)
    for (a, b, c, d), (e, f, g, h) in combinations([*boxes, *({dot.box for dot in dots})], 2):
        both_dots = c - a == 2 * DOT and g - e == 2 * DOT
        assert both_dots or c <= e or g <= a or d <= f or h <= b


def test_an_axis_holds_its_values_and_has_a_few_round_ticks() -> None:
    for low, high in ((0.13, 0.21), (0.4, 0.8), (0.5, 0.5), (-0.2, 0.9), (0.2012, 0.2013)):
        axis = make_axis([low, high], 70.0, 700.0)
        assert 70 <= axis.at(low) <= axis.at(high) <= 700
        assert 2 <= len(axis.ticks) <= 9
        assert len({f"{tick:.{axis.digits}f}" for tick in axis.ticks}) == len(axis.ticks)


def test_the_table_says_what_is_certain_in_bold() -> None:
    found = summary_of({"break_a_scene": (0.2, 0.6), "no_phase1": (0.1, 0.6)})
    sure, unsure = Interval(-0.1, -0.12, -0.08, 24), Interval(0.004, -0.01, 0.02, 24)
    found = replace(found, differences={"break_a_scene": {}, "no_phase1": {"prompt": sure, "identity": unsure}})
    text = table(found)
    assert "| Break-A-Scene | 0.200 [0.190, 0.210] | 0.600 [0.590, 0.610] | 24 | 880 | 0 |" in text
    assert "| no phase 1 | **-0.100 [-0.120, -0.080]** | +0.004 [-0.010, +0.020] | 24 |" in text


def test_names_of_methods_are_the_same_everywhere() -> None:
    assert list(get_args(MethodName)) == [*METHODS, *ABLATIONS] == list(TITLES)


def test_a_method_s_settings_go_before_the_spec_s(tmp_path: Path) -> None:
    spec = protocol_spec(tmp_path, extract={"phase1": {"steps": 7}, "phase2": {"steps": 9, "lr": 0.5}})
    made = {name: method_spec(spec, name).extract for name in get_args(MethodName)}
    steps = {name: (found.phase1.steps, found.phase2.steps) for name, found in made.items()}
    assert steps == {
        "break_a_scene": (7, 9), "ti_m": (7, 0), "db_m": (0, 9), "cd_m": (0, 9), "no_phase1": (0, 9),
        "no_masked_loss": (7, 9), "no_attention_loss": (7, 9), "no_union_sampling": (7, 9),
    }  # fmt: skip
    assert {found.phase2.lr for found in made.values()} == {0.5}
    assert [name for name, found in made.items() if found.picture == "pasted"] == ["ti_m", "db_m", "cd_m"]
    assert [name for name, found in made.items() if not found.union_sampling] == ["no_union_sampling"]
    assert [name for name, found in made.items() if found.lora.targets == "cross_kv"] == ["cd_m"]
    assert made["no_attention_loss"].attention_loss == made["no_masked_loss"].masked_loss == "none"
    assert len({fingerprint(method_spec(spec, name), {}) for name in made}) == 8
    assert method_spec(spec, "ti_m").evaluate.enabled
    assert method_spec(spec, "ti_m").output == str(tmp_path / "ti_m")


def test_a_spec_with_a_method_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"extract.method: ti_m: .*leave the field out"):
        method_spec(protocol_spec(tmp_path, extract={"method": "ti_m"}), "db_m")
    with pytest.raises(ValueError, match="ti_m stands there twice"):
        protocol_spec(tmp_path, protocol={"methods": ["ti_m", "ti_m"]})


def test_the_scenes_do_not_depend_on_how_they_are_learned(tmp_path: Path) -> None:
    one = scenes_spec(protocol_spec(tmp_path))
    other = scenes_spec(protocol_spec(tmp_path, extract={"phase1": {"steps": 1}}, generate={"steps": 3}))
    assert fingerprint(one, {}) == fingerprint(other, {})
    assert fingerprint(one, {}) != fingerprint(scenes_spec(protocol_spec(tmp_path, segment={"max_concepts": 2})), {})


def test_adopted_shards_are_whole_copies_committed_as_they_were(home: Path, tmp_path: Path) -> None:
    earlier, storage = Storage(str(home / "scenes")), Storage(str(tmp_path))
    adopt(storage, earlier, ["ingest", "segment"])
    copied = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert {path.parts[0] for path in copied} == {"_plan", "_commits", "scenes", "concepts"}
    assert len([path for path in copied if path.parts[0] == "scenes"]) == 4  # a table and a tar, two shards
    for path in copied:
        assert (tmp_path / path).read_bytes() == (home / "scenes" / path).read_bytes()
        assert (tmp_path / path).stat().st_ino != (home / "scenes" / path).stat().st_ino


def test_adopting_again_changes_nothing_that_was_committed_here(home: Path, tmp_path: Path) -> None:
    earlier, storage = Storage(str(home / "scenes")), Storage(str(tmp_path))
    adopt(storage, earlier, ["ingest", "segment"])
    name = "_commits/segment/000001.json"
    storage.delete(name)
    before = (tmp_path / "_commits/segment/000000.json").stat().st_mtime_ns
    adopt(storage, earlier, ["ingest", "segment"])
    assert storage.read(name) == earlier.read(name)
    assert (tmp_path / "_commits/segment/000000.json").stat().st_mtime_ns == before
    assert not storage.folders("_attempts/segment")


def test_a_later_round_of_the_scenes_does_not_reach_a_job_that_has_begun(tmp_path: Path) -> None:
    """What it has learned stands on the shards that it adopted first; `unscene retry` in its own OUTPUT mends it."""
    earlier, storage = SampleOutput(tmp_path / "scenes", scenes=2).storage, Storage(str(tmp_path / "ti_m"))
    adopt(storage, earlier, ["ingest", "segment"])
    again = read_commit(earlier, "segment", 0, 0)
    earlier.create("_commits/segment/000000.r1.json", replace(again, round=1).to_json())
    adopt(storage, earlier, ["ingest", "segment"])
    assert rounds(storage, "segment") == {0: 0, 1: 0}


def test_what_is_made_once_is_handed_on_whole_files_only(tmp_path: Path) -> None:
    one, other = Storage(str(tmp_path / "one")), Storage(str(tmp_path / "other"))
    one.write("_shared/prior-abc.safetensors", b"1")
    one.write("_shared/prior-def.safetensors.77.partial", b"half")
    one.write("_shared/scratch/x.safetensors", b"2")
    hand_on(one, other)
    assert other.names("_shared") == {"prior-abc.safetensors": 1}
    assert other.folders("_shared") == []


def test_a_scene_without_pictures_of_a_method_has_none_to_show(tmp_path: Path) -> None:
    """Pairs were asked for, and it has one concept: it is done, and has no row."""
    sample = SampleOutput(tmp_path / "out", scenes=2, variations=1)
    record = read_commit(sample.storage, "generate", 0, 0)
    again = replace(record, round=1, done=[*record.done, "0123456789abcdef"])
    sample.storage.create("_commits/generate/000000.r1.json", again.to_json())
    assert variation(sample.storage, "0123456789abcdef", PROMPTS[0]) == (None, None)
