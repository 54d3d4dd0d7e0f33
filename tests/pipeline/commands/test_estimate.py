"""`unscene plan`: the arithmetic against hand-made numbers, and that nothing is written."""

from __future__ import annotations

import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands.bill import bill
from pipeline.commands.estimate import estimate, look
from pipeline.commands.facts import plan_facts
from pipeline.commands.timing import Times
from pipeline.ledger.plan import extend_plan
from pipeline.ledger.run_record import start_record
from pipeline.protocol.estimate import estimate_protocol
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.wording import flop_text, hours_text
from schemas.errors import SpecError
from schemas.job import JobSpec, Segment
from stages.ingest.census import Picked, Read, take_census
from stages.ingest.source.hashing import Hashed
from stages.models.flops import Call
from stages.models.place import model_revision
from stages.telling import listened
from tests.support.sample_output import ALL_STAGES, SampleOutput, with_given_handles
from tests.support.tiny_models import build_tiny_model

LEARN = Call("UNet in both phases", 800, 2.5)
COST = SimpleNamespace(
    forward=0.5,
    learn=(LEARN,),
    prior_tflop=400.0,
    handle_bytes=3_000_000.0,
    unet_weights=8e8,
    text_weights=1e8,
    vae_weights=1e8,
    factors=1e6,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny base whose pictures are 8 x 4 = 32 pixels."""
    return build_tiny_model(tmp_path_factory.mktemp("models") / "base", side=32)


@pytest.fixture
def known_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = SimpleNamespace(base_cost=lambda spec: COST, BaseCost=object)
    monkeypatch.setitem(sys.modules, "stages.handles.cost", cost)
    drawn = SimpleNamespace(draw_calls=lambda settings, base, pictures: (Call("UNet", len(pictures), 10.0),))
    monkeypatch.setitem(sys.modules, "stages.generate.cost", drawn)
    look = (Call("models.sam, encoder", 1, 3.0), Call("models.sam, prompts", 1000, 0.001))
    sam = SimpleNamespace(field="models.sam", calls=look, kind="vit_h", certain=False, memory=8e9)
    monkeypatch.setitem(
        sys.modules, "stages.segment.sam.cost", SimpleNamespace(sam_cost=lambda name, segment, field=None: sam)
    )
    judge = SimpleNamespace(
        weights=1e8,
        calls=lambda spec, pictures, concepts, find: (
            *(Call(call.what, pictures * call.times, call.tflop) for call in find),
            Call("models.identity", pictures * concepts, 0.5),
        ),
    )
    monkeypatch.setitem(
        sys.modules, "stages.evaluate.cost", SimpleNamespace(judge_cost=lambda spec: judge, clip_cost=None)
    )


def row(lines: list[str], name: str) -> list[str]:
    """The cells of a table's line."""
    return re.split(r"\s{2,}", next(line.strip() for line in lines if line.strip().startswith(f"{name} ")))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "night").mkdir(parents=True)
    for number in range(5):
        (folder / "night" / f"{number}.jpg").write_bytes(bytes([number]) * 1_000_000)
    (folder / "notes.txt").write_bytes(b"no picture")
    return folder


def spec_of(source: dict[str, Any], output: Path, base: Path, **sections: Any) -> JobSpec:
    return JobSpec.model_validate({"source": source, "output": str(output), "models": {"base": str(base)}, **sections})


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("known_cost")
def test_a_new_job(tmp_path: Path, photos: Path, base: Path) -> None:
    spec = spec_of({"uri": str(photos)}, tmp_path / "out", base, pack={"scenes_per_shard": 2})
    lines = estimate(spec)
    text = "\n".join(lines)
    assert "source: 5 pictures, 5.0 MB" in text
    assert "planned already" not in text
    assert "shards: 3, of up to 2 scenes" in text
    # two concepts: 2 singles + 1 union = 3 subsets x 2 prompts x 4 images = 24 pictures of 10 TFLOP
    assert "2 concepts a scene (a usual number) and 24 variations of each, 32 x 32 pixels" in text
    assert "models.sam as a vit_h, which it may not be" in text
    assert "to do: 5 scenes, 11.6 PFLOP" in text  # 5 x (4 + 2000 + 240) + 400
    assert row(lines, "segment") == ["segment", "4 TFLOP", "5", "20 TFLOP"]
    assert row(lines, "extract")[:4] == ["extract", "2 PFLOP", "5", "10.4 PFLOP"]
    assert row(lines, "generate")[:4] == ["generate", "240 TFLOP", "5", "1.2 PFLOP"]
    assert row(lines, "all")[:3] == ["all", "2.24 PFLOP", "11.6 PFLOP"]
    assert "extract has 400 TFLOP of it for the prior set, once a run" in text
    assert "evaluate" not in text  # this job does not score
    # an H100 at 20 % of 989.4 in bfloat16, at 50 % of 66.9 in float32: 5 x 3 / 33.45, 5 x 65, 1600 / 197.9; a shard of
    # two scenes leaves it waiting, 400 steps of 118 ms and 400 of 207 for both
    assert row(lines, "H100") == ["H100 80 GB", "-", "0.12 s", "65 s", "1.2 s", "-", "6 min"]
    assert "ingest and pack: work of CPUs and of the store, beside the card and not in its line" in text
    at = lines.index("calls of a scene")
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[at + 1 : at + 5]] == [
        ["segment", "1 x 3 TFLOP", "models.sam, encoder"],
        ["1,000 x 1 GFLOP", "models.sam, prompts"],
        ["extract", "800 x 2.5 TFLOP", "UNet in both phases"],
        ["generate", "24 x 10 TFLOP", "UNet"],
    ]
    assert row(lines, "pack") == ["pack", "-", "5", "-"]
    assert "here: not known; `unscene plan --probe` measures it" in text
    assert "handles ~15.0 MB (3.0 MB a scene)" in text
    assert "least memory, estimated: segment 8 GB, extract 2 GB, generate 2 GB" in text
    assert "done already: nothing" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("known_cost")
def test_a_protocol_is_the_sum_of_its_methods_with_one_prior_set(tmp_path: Path, photos: Path, base: Path) -> None:
    spec = spec_of({"uri": str(photos)}, tmp_path / "out", base, protocol={"methods": ["break_a_scene", "ti_m"]})
    text = "\n".join(estimate_protocol(spec))
    assert "source: 5 pictures, 5.0 MB" in text
    assert "scenes: 20 TFLOP to find the concepts, once for all" in text
    assert "break_a_scene: 5 scenes to do, 11.8 PFLOP" in text  # 5 x (2000 + 240 + 24 x (4 + 1))
    assert "ti_m: 5 scenes to do, 11.8 PFLOP" in text
    assert "2 methods: 24 PFLOP" in text
    assert re.search(r"estimated from FLOPs: .*A100 7 min, H100 4 min", text)  # five scenes fill no batch
    assert "400 TFLOP of it for the prior set, drawn once" in text
    assert not (tmp_path / "out").exists()


def test_a_method_without_a_phase_costs_less(tmp_path: Path, photos: Path, base: Path) -> None:
    """ti_m has no phase 2, and so no prior set either."""
    spec = spec_of({"uri": str(photos)}, tmp_path / "out", base, protocol={"methods": ["ti_m"]})
    text = "\n".join(estimate_protocol(spec))
    assert "prior set" not in text
    both = spec_of({"uri": str(photos)}, tmp_path / "out", base, protocol={"methods": ["ti_m", "break_a_scene"]})
    lines = {line.split(":")[0]: line for line in estimate_protocol(both)}
    assert lines["ti_m"] in text
    assert lines["ti_m"].split(",")[1] != lines["break_a_scene"].split(",")[1]


@pytest.mark.usefixtures("known_cost")
def test_an_output_with_some_done(tmp_path: Path, photos: Path, base: Path) -> None:
    out = tmp_path / "out"
    spec = spec_of({"uri": str(photos)}, out, base, ingest={"max_bytes": 1_500_000})
    start_record(Storage(str(out)), spec, [kind.name for kind in kinds_of(spec)])
    first = sorted(str(path) for path in photos.rglob("*.jpg"))[:2]
    pictures = [*take_census(spec).pictures, Picked(str(photos / "gone.jpg"))]
    extend_plan(
        Storage(str(out)),
        [picked for picked in pictures if picked.uri in (*first, str(photos / "gone.jpg"))],
        64,
        lambda picked: Read(picked, Hashed(picked.uri, 1, sha256(picked.uri.encode()).hexdigest(), None), None, None),
    )
    (photos / "night" / "huge.jpg").write_bytes(b"h" * 2_000_000)
    before = snapshot(out)
    text = "\n".join(estimate(spec))
    assert "source: 6 pictures, 7.0 MB" in text
    assert "new: 4 pictures, 5.0 MB; planned already: 2" in text
    assert "no longer listed: 1 picture" in text
    assert "over ingest.max_bytes (1.5 MB): 1 picture," in text
    assert "shards: 2," in text  # the plan keeps its cut; new files get new shards
    assert "done already: ingest 0, segment 0, extract 0, generate 0" in text
    assert "warning" not in text
    assert snapshot(out) == before
    changed = spec.model_copy(update={"seed": 5})
    assert "warning" not in "\n".join(estimate(changed)), "nothing has begun there"
    assert snapshot(out) == before
    (out / "_work" / "ingest" / "000000.r0").mkdir(parents=True)
    before = snapshot(out)
    assert "made with other settings (seed: 0 -> 5)" in "\n".join(estimate(changed))
    assert snapshot(out) == before


@pytest.mark.usefixtures("known_cost")
def test_what_is_committed_is_not_counted_again(tmp_path: Path, photos: Path, base: Path) -> None:
    sample = SampleOutput(
        tmp_path / "out",
        scenes=4,
        settings={
            "source.uri": str(photos),
            "models.base": str(base),
            "evaluate.enabled": False,
        },
    )
    text = "\n".join(estimate(sample.spec))
    # the plan's own scenes are all done or failed: only the 5 photos on disk are new
    assert "to do: 5 scenes" in text
    assert "2 concepts a scene (as found so far)" in text
    assert "done already: ingest 4 (1 failed), segment 4, extract 3 (1 failed), generate 3" in text


@pytest.mark.usefixtures("known_cost")
def test_given_handles_need_no_training(tmp_path: Path, base: Path) -> None:
    earlier = SampleOutput(tmp_path / "earlier", scenes=6)
    spec = spec_of({"handles": earlier.storage.url}, tmp_path / "more", base)
    with pytest.raises(SpecError, match=r"^source\.handles: .* learned with another base"):
        estimate(spec)
    record = json.loads(earlier.storage.read("run.json"))
    record["fields"]["models.base"] = model_revision(str(base), "models.base")
    earlier.storage.write("run.json", json.dumps(record).encode())
    text = "\n".join(estimate(spec))
    assert "source: 5 scenes with handles" in text
    assert "to do: 5 scenes, 1.2 PFLOP" in text  # 5 x 24 x 10
    assert "extract" not in text
    assert "segment" not in text
    assert "handles ~" not in text
    assert not (tmp_path / "more").exists()
    with_given_handles(tmp_path / "more", earlier)
    assert "to do: 0 scenes, 0 GFLOP" in "\n".join(estimate(spec))


@pytest.mark.usefixtures("known_cost")
def test_pictures_that_name_their_concepts_are_on_the_bill(tmp_path: Path, photos: Path, base: Path) -> None:
    """Of two concepts, a cat and a dog: no cat beside the first one, and no third."""
    prompts = ["{cat} at night", "{dog}", "{1} in the snow", "{cat} beside {0}", "{2} on grass"]
    for asked, pictures in ((prompts, 12), (prompts[:1], 4), (prompts[4:], 0), (["{handles}", "{dog}"], 16)):
        settings = {"prompts": asked, "images_per_prompt": 4, "subsets": ["all"]}
        spec = spec_of({"uri": str(photos)}, tmp_path / "out", base, generate=settings)
        said = bill(spec, Storage(spec.output)).counted_with()
        assert f"{pictures} variation" in said
        assert "; concepts that the prompts name are taken to be there" in said


@pytest.mark.usefixtures("known_cost")
def test_scores_are_on_the_bill(tmp_path: Path, photos: Path, base: Path) -> None:
    """Judging each picture by the grid: 24 pictures of 4 TFLOP, and half a TFLOP for each of two things."""
    spec = spec_of({"uri": str(photos)}, tmp_path / "out", base, evaluate={"enabled": True})
    lines = estimate(spec)
    assert row(lines, "evaluate")[:4] == ["evaluate", "120 TFLOP", "5", "600 TFLOP"]
    assert "to do: 5 scenes, 12.2 PFLOP" in "\n".join(lines)
    assert "evaluate 8.4 GB" in "\n".join(lines)


@pytest.mark.usefixtures("known_cost")
def test_pictures_with_masks_of_their_own_are_not_segmented(tmp_path: Path, photos: Path, base: Path) -> None:
    for number in range(2):
        (photos / "night" / f"{number}.mask0.png").write_bytes(b"m")
    spec = spec_of({"uri": str(photos), "masks": "beside"}, tmp_path / "out", base)
    assert row(estimate(spec), "segment") == ["segment", "4 TFLOP", "3", "12 TFLOP"]


def counted_with(spec: JobSpec) -> str:
    return next(line for line in estimate(spec) if line.startswith("counted with")).partition(" and ")[0]


@pytest.mark.usefixtures("known_cost")
def test_concepts_are_as_many_as_the_masks_that_were_read(tmp_path: Path, photos: Path, base: Path) -> None:
    def with_masks(number: int, masks: int) -> None:
        for mask in range(masks):
            (photos / "night" / f"{number}.mask{mask}.png").write_bytes(b"m")

    spec = spec_of({"uri": str(photos), "masks": "beside"}, tmp_path / "out", base)
    assert counted_with(spec) == "counted with 2 concepts a scene (a usual number)"
    for number in range(4):
        with_masks(number, 4)
    mixed = "by their own masks, or a usual number without"
    assert counted_with(spec) == f"counted with 4 concepts a scene ({mixed})"  # 3.6
    with_masks(4, 3)
    assert counted_with(spec) == "counted with 4 concepts a scene (by their own masks)"  # 3.8
    assert counted_with(spec.model_copy(update={"segment": Segment(max_concepts=3)})).startswith("counted with 3 conc")
    assert counted_with(spec.model_copy(update={"segment": Segment(background=True)})).startswith("counted with 5 conc")
    unread = spec_of({"uri": str(photos)}, tmp_path / "out", base, segment={"max_concepts": 1})
    assert counted_with(unread) == "counted with 1 concept a scene (a usual number)", "more no scene can have"


@pytest.mark.usefixtures("known_cost")
def test_concepts_that_were_found_count_before_any_handle(tmp_path: Path, photos: Path, base: Path) -> None:
    """After `--until segment`."""
    settings = {"source.uri": str(photos), "models.base": str(base), "evaluate.enabled": False}
    sample = SampleOutput(tmp_path / "out", stages=ALL_STAGES[:2], settings=settings)
    assert counted_with(sample.spec) == "counted with 2 concepts a scene (as found so far)"


@pytest.mark.usefixtures("known_cost")
def test_masks_of_all_pictures_go_before_what_the_first_scenes_had(tmp_path: Path, photos: Path, base: Path) -> None:
    """A look at two scenes made `plan` forget the masks that it had just counted, and give two thirds of the price."""
    settings = {"source.uri": str(photos), "source.masks": "beside", "models.base": str(base)}
    sample = SampleOutput(tmp_path / "out", stages=ALL_STAGES[:2], settings=settings)
    for picture in [*photos.rglob("*.jpg")]:
        for mask in range(3):
            picture.with_name(f"{picture.stem}.mask{mask}.png").write_bytes(b"m")
    assert counted_with(sample.spec) == "counted with 3 concepts a scene (by their own masks)"


@pytest.mark.usefixtures("known_cost")
def test_scenes_that_are_prepared_are_not_ingested_again(tmp_path: Path, photos: Path, base: Path) -> None:
    """After `--until segment`: 4 scenes of the plan have to learn, and the 5 photos on disk are new."""
    settings = {"source.uri": str(photos), "models.base": str(base), "evaluate.enabled": False}
    sample = SampleOutput(tmp_path / "out", stages=ALL_STAGES[:2], settings=settings)
    _, work = look(sample.spec, sample.storage)
    assert work.scenes() == {"ingest": 5, "segment": 5, "extract": 9, "generate": 9, "evaluate": 0, "pack": 9}
    assert row(estimate(sample.spec), "ingest")[:3] == ["ingest", "-", "5"]
    assert plan_facts(sample.spec)["bytes_to_come"]["prepared"] == round(5 * 1.7 * 32 * 32)
    here = Times("here", {"ingest": 10.0})
    assert here.total(work) == 50.0


@pytest.mark.usefixtures("known_cost")
def test_the_seconds_of_a_plan_are_spoken_for(tmp_path: Path, photos: Path, base: Path) -> None:
    """They go into loading torch and counting, and not into the masks of a source that has none."""
    said: list[str] = []
    with listened(said.append):
        estimate(spec_of({"uri": str(photos)}, tmp_path / "out", base))
    assert said == [
        "listing the source",
        "loading torch, which counts what a scene costs",
        "counting what a scene costs",
        "counting the least memory",
    ]


@pytest.mark.usefixtures("known_cost")
def test_what_the_last_run_measured_is_how_long_it_takes_here(tmp_path: Path, photos: Path, base: Path) -> None:
    out = tmp_path / "out"
    spec = spec_of({"uri": str(photos)}, out, base)
    start_record(Storage(str(out)), spec, [kind.name for kind in kinds_of(spec)])
    stages = {"ingest": {"scene_s": 0.1}, "segment": {"scene_s": 2.0}, "extract": {"scene_s": 60.0}}
    Storage(str(out)).write("_progress.json", json.dumps({"stages": stages}).encode())
    lines = estimate(spec)
    # generate was not measured: 5 x (0.1 + 2 + 60) s and more
    assert row(lines, "here") == ["here", "0.1 s", "2 s", "60 s", "?", "?", "over 5 min"]
    assert any("as this output's last run measured it" in line and "; ? stands for" in line for line in lines)
    assert not any("--probe" in line for line in lines)


def test_cost_comes_from_the_models_own_configuration(tmp_path: Path, photos: Path, base: Path) -> None:
    """The real counter: twice the steps are twice the training."""
    texts = []
    for steps in (100, 200):
        phase = {"steps": steps}
        spec = spec_of({"uri": str(photos)}, tmp_path / "out", base, extract={"phase1": phase, "phase2": phase})
        cell = row(estimate(spec), "extract")[1]
        texts.append(float(cell.split()[0]))
        assert cell.split()[1] == "GFLOP"
    assert texts[0] > 0
    assert texts[1] == pytest.approx(2 * texts[0], rel=0.02)


def test_mistakes_are_told_before_anything_is_counted(tmp_path: Path, base: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match="no images under"):
        estimate(spec_of({"uri": str(tmp_path / "empty")}, tmp_path / "out", base))
    with pytest.raises(SpecError, match="no handles under"):
        estimate(spec_of({"handles": str(tmp_path / "empty")}, tmp_path / "out", base))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tflop", "text"),
    [
        (0.0, "0 GFLOP"),
        (0.34, "340 GFLOP"),
        (2060.0, "2.06 PFLOP"),
        (999.9, "1 PFLOP"),
        (48e6, "48 EFLOP"),
        (5e9, "5,000 EFLOP"),
    ],
)
def test_flops_as_people_write_them(tflop: float, text: str) -> None:
    assert flop_text(tflop) == text


@pytest.mark.parametrize(("hours", "text"), [(0.01, "36 s"), (0.5, "30 min"), (3.42, "3.4 h"), (1234.0, "1,234 h")])
def test_hours_as_people_write_them(hours: float, text: str) -> None:
    assert hours_text(hours) == text
