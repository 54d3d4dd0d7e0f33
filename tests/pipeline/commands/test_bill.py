"""The whole night on the bill: `jobs/overnight.yaml` with the models that it names, of true size and without weights;
and what was measured of an OUTPUT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands import opening
from pipeline.commands.bill import Work, bill
from pipeline.commands.cards import CARDS
from pipeline.commands.estimate import estimate
from pipeline.commands.packing import packed_seconds
from pipeline.commands.timing import memory_lines, on_card, time_lines
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.spec_file import load_spec
from stages.models import check
from tests.support import ROOT
from tests.support.config_only import config_only_judges, config_only_sd21
from tests.support.sample_output import SampleOutput


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    """Four pictures, two concepts and 64 variations each."""
    for module in (opening, check):  # it looks for the weights
        monkeypatch.setattr(module, "check_models", lambda spec: 512)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(bytes([number]) * 100_000)
    models = {"base": str(config_only_sd21(tmp_path / "sd21")), **config_only_judges(tmp_path / "judges")}
    paths = {"source.uri": str(tmp_path / "photos"), "output": str(tmp_path / "out")}
    changes = paths | {f"models.{name}": place for name, place in models.items()}
    return load_spec(ROOT / "jobs" / "overnight.yaml", [f"{name}={value}" for name, value in changes.items()])


def test_every_stage_of_a_night_is_on_the_bill(night: JobSpec) -> None:
    """TFLOP of a scene, by arithmetic that is not ours where there is some: SAM's and SD's published costs."""
    found = bill(night, Storage(night.output))
    pictures = found.pictures
    assert pictures == 48  # 4 prompts x (2 singles + the union) x 4
    sums = {stage: {call.what: call for call in calls} for stage, calls in found.calls.items()}
    assert sums["segment"]["models.sam, encoder"].total == pytest.approx(5.96, abs=0.01)
    assert sums["segment"]["models.sam, prompts with their masks"].times == 1024
    learn = list(sums["extract"].values())
    assert learn[0].tflop == pytest.approx(1.671, abs=0.002)  # docs/engine.md: with its backward pass to the text
    assert learn[2].tflop == pytest.approx(2 * 1.73, rel=0.01)
    drawn = next(call for name, call in sums["generate"].items() if name.startswith("UNet"))
    assert drawn.times == pictures * 30 * 2
    assert drawn.tflop == pytest.approx(0.804, rel=0.01)
    judged = sums["evaluate"]
    assert judged["models.sam, encoder"].times == pictures
    assert judged["models.clip, a picture"].tflop == pytest.approx(0.162, rel=0.02)  # ViT-L/14: 81 GMAC
    assert judged["models.identity, a view of a picture"].times == pictures * 4
    assert judged["models.identity, a view of a picture"].tflop == pytest.approx(0.035, rel=0.03)  # ViT-B/16: 17.6 GMAC
    assert judged["models.sam, prompts with their masks"].times == pictures * 18 * 18
    assert found.judge == pytest.approx(pictures * (5.96 + 324 * 0.00162 + 0.162 + 4 * 0.035), rel=0.05)
    lines = estimate(night)
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("cost ")) :]
    assert [line.split()[0] for line in table[1:8]] == [
        *("ingest", "segment", "extract", "generate", "evaluate", "pack", "all")
    ]
    times = next(line for line in lines if line.startswith("time a scene"))
    assert times.split()[3:] == ["ingest", "segment", "extract", "generate", "evaluate", "pack", "to", "do"]
    assert sum(line.startswith(("  RTX 4090", "  L40S", "  A100", "  H100")) for line in lines) == 4


def test_judges_of_their_own_are_on_the_bill(night: JobSpec) -> None:
    judges = night.evaluate.model_copy(update={"sam": "https://example.org/sam_vit_b.pth", "points_per_side": 12})
    found = bill(night.model_copy(update={"evaluate": judges}), Storage(night.output))
    sums = {stage: {call.what: call for call in calls} for stage, calls in found.calls.items()}
    assert sums["segment"]["models.sam, encoder"].total == pytest.approx(5.96, abs=0.01)
    assert sums["evaluate"]["evaluate.sam, prompts with their masks"].times == found.pictures * 144
    assert sums["evaluate"]["evaluate.sam, encoder"].tflop < 1.0  # ViT-B
    assert found.seen < 0.2 * found.look


def test_every_segmenter_that_is_guessed_is_named(night: JobSpec) -> None:
    changes = {
        "models": night.models.model_copy(update={"sam": "https://example.org/a.pth"}),
        "evaluate": night.evaluate.model_copy(update={"sam": "https://example.org/b.pth"}),
    }
    said = bill(night.model_copy(update=changes), Storage(night.output)).counted_with()
    assert said.endswith("; models.sam as a vit_h and evaluate.sam as a vit_h, which it may not be")


def test_a_card_computes_each_model_in_its_own_arithmetic(night: JobSpec) -> None:
    """On an H100: what was measured on an H200, which computes as fast."""
    found = bill(night, Storage(night.output))
    times = on_card(next(card for card in CARDS if card.name == "H100"), found).scene
    assert times["segment"] == pytest.approx(0.22, abs=0.02)  # 0.048 s in the encoder, 0.17 for 1,024 prompts
    assert times["extract"] == pytest.approx(10.5, rel=0.05)  # 10.2 s with 32 scenes in a batch
    assert times["generate"] == pytest.approx(48 / 4.1, rel=0.1)  # 8.26 pictures a second in 15 steps


@pytest.mark.parametrize(("batch", "scenes_an_hour"), [(1, 27), (8, 205), (32, 353), ("auto", 353)])
def test_a_small_batch_leaves_a_card_waiting(night: JobSpec, batch: int | str, scenes_an_hour: int) -> None:
    """As an H200 was measured (docs/engine.md), whose memory holds them all."""
    extract = night.extract.model_copy(update={"batch": batch})
    found = bill(night.model_copy(update={"extract": extract}), Storage(night.output))
    card = next(card for card in CARDS if card.name == "H100")
    assert 3600 / on_card(card, found).scene["extract"] == pytest.approx(scenes_an_hour, rel=0.1)


def test_few_scenes_fill_no_large_batch(night: JobSpec) -> None:
    found = bill(night, Storage(night.output))
    card = next(card for card in CARDS if card.name == "H100")
    alone = bill(night.model_copy(update={"extract": night.extract.model_copy(update={"batch": 1})}), Storage(""))
    assert on_card(card, found, left=1).scene["extract"] == on_card(card, alone).scene["extract"]
    assert on_card(card, found, left=1).scene["extract"] > 10 * on_card(card, found, left=500).scene["extract"]
    assert on_card(card, found, left=500).scene == on_card(card, found).scene


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_card_too_small_for_one_scene_has_no_time(night: JobSpec, checkpointed: bool) -> None:
    extract = night.extract.model_copy(update={"gradient_checkpointing": checkpointed})
    found = bill(night.model_copy(update={"extract": extract}), Storage(night.output), memory=True)
    assert found.needs
    found = replace(found, needs=replace(found.needs, scene=30e9))
    work = Work(known=4, new=0, shards=1, left=4, undrawn=4)
    lines = time_lines(found, work, None)
    small, large = (next(line for line in lines if line.strip().startswith(name)) for name in ("RTX 4090", "H100"))
    assert small.endswith("  too small")
    assert "too small" not in large
    assert not on_card(CARDS[0], found).possible(work)
    learned = replace(work, left=0)
    assert on_card(CARDS[0], found).possible(learned), "drawing fits"
    *_, fits, remedy = memory_lines(found)
    assert "RTX 4090 not even one scene, L40S 1 scene," in fits
    assert ("gradient_checkpointing" in remedy) != checkpointed
    assert remedy.endswith("take a card with more memory")
    enough = replace(found, needs=replace(found.needs, scene=1e9))
    assert "where not even one" not in "\n".join(memory_lines(enough))


def test_lines_of_a_batch_that_the_spec_gives(night: JobSpec) -> None:
    few = night.extract.model_copy(update={"batch": 4})
    line = next(line for line in estimate(night.model_copy(update={"extract": few})) if "side by side" in line)
    assert line.endswith(
        "(no more than 4, as the spec has it): RTX 4090 4 scenes, L40S 4 scenes, A100 4 scenes, H100 4 scenes"
    )
    small = night.pack.model_copy(update={"scenes_per_shard": 5})
    assert bill(night.model_copy(update={"pack": small}), Storage(night.output)).batch == 5, (
        "none has two shards' scenes"
    )
    full = night.extract.model_copy(update={"tuning": "full", "batch": 32})
    found = bill(night.model_copy(update={"extract": full}), Storage(night.output))
    assert found.batch == 1, "whatever the spec says: full tuning trains one scene at a time"


def test_packing_takes_what_it_took(tmp_path: Path) -> None:
    done = SampleOutput(tmp_path / "out")
    seconds = packed_seconds(done.storage, done.spec)
    assert seconds is not None
    assert seconds > 0
    begun = SampleOutput(tmp_path / "begun", stages=(INGEST, SEGMENT))
    assert packed_seconds(begun.storage, begun.spec) is None, "of stages that have no shard nobody knows"
