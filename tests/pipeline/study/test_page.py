"""The rating page and its key: blind, bounded, the same from the same seed, and nothing left out unsaid."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.ledger.withdrawals import withdraw
from pipeline.shards.reader import OutputReader
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.storage.folder import Storage
from pipeline.study.images import GREY, STEPS, TILES, cut_out, data_uris, scrambled
from pipeline.study.making import make_study
from pipeline.study.questions import NOTHING, OTHER, RIGHT, WRONG
from schemas.errors import CommandError, OutputError
from schemas.masks import encode_mask
from tests.support import sample_output
from tests.support.sample_output import SampleOutput
from tests.support.studies import METHODS, MadeStudy, evaluated, made_study


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluated(tmp_path_factory.mktemp("contest") / "out")


@pytest.fixture(scope="module")
def study(home: Path) -> MadeStudy:
    return made_study(home)


def test_the_page_says_nothing_of_methods_or_places(study: MadeStudy, home: Path) -> None:
    for secret in (*METHODS, "Break-A-Scene", str(home.parent), RIGHT, WRONG, OTHER):
        assert secret not in study.text


def test_no_place_in_the_page_is_a_methods_own(study: MadeStudy) -> None:
    """Neither the order of pictures in a question nor the numbers of their images."""
    first, least = Counter[str](), Counter[str]()
    for question in study.questions():
        named = [(study.who(question, picture), image) for picture, image in question["pictures"]]
        if named[0][0] in METHODS:
            first[named[0][0]] += 1
            least[min(named, key=lambda one: one[1])[0]] += 1
    for counts in (first, least):
        assert set(counts) == set(METHODS)
        assert max(counts.values()) < 0.6 * sum(counts.values())


def test_each_question_is_of_one_scene_and_prompt_by_every_method(study: MadeStudy) -> None:
    asked = Counter[str]()
    scenes = Counter[str]()
    for question in study.questions():
        who = {study.who(question, picture) for picture, _ in question["pictures"]}
        if who == set(METHODS):
            asked[question["aspect"]] += 1
            scenes[question["scene"]] += 1
            assert (question["reference"] is None) == (question["aspect"] == "prompt")
            assert bool(question["text"]) == (question["aspect"] == "prompt")
        else:
            assert who == {RIGHT, WRONG, f"{OTHER}0"}
            assert question["text"] in ("", NOTHING)
    assert asked == {"identity": 20, "prompt": 20}
    assert len(scenes) == 11, "all that have pictures"
    assert max(scenes.values()) - min(scenes.values()) <= 2, "none decides alone"


def test_blocks_of_questions_have_one_check_each(study: MadeStudy) -> None:
    for block in study.asked["blocks"]:
        checks = [q for q in block if any(study.who(q, picture) == RIGHT for picture, _ in q["pictures"])]
        assert (len(block), len(checks)) == (11, 1)


def test_only_its_own_script_may_run_and_nothing_may_be_loaded(study: MadeStudy) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', study.text)
    assert policy is not None
    script = re.search(r"<script>(.*?)</script>", study.text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1].replace("&#39;", "'")
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert not re.search(r'(?:src|href)="(?!data:)', study.text)


def test_texts_of_strangers_stay_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "</script><script>window.ran = 1</script> <asset0> & \"quotes\" 'too'"
    monkeypatch.setattr(sample_output, "PROMPTS", (odd, odd))
    study = made_study(evaluated(tmp_path / "out", scenes=4), 8)
    assert study.text.count("<script") == 2
    assert odd.replace("<asset0>", "cat") in {question["text"] for question in study.questions()}


def test_the_same_seed_makes_the_same_page_and_another_does_not(study: MadeStudy, home: Path, tmp_path: Path) -> None:
    pages = {}
    for seed in (0, 1):
        list(make_study([Storage(str(home))], Storage(str(tmp_path / str(seed))), 40, seed))
        pages[seed] = (tmp_path / str(seed) / "index.html").read_bytes()
    assert pages[0] == study.text.encode()
    assert pages[1] != pages[0]


def test_what_is_told(study: MadeStudy) -> None:
    assert study.told[0] == (
        f"study {study.key['study']}: 3 methods (break_a_scene, ti_m, cd_m), 40 questions about 11 scenes, and 4 "
        "attention checks: about 9 min a rater"
    )
    assert re.fullmatch(r"page: .*index\.html \(\S+ kB, pictures of 32 pixels at most\); each rater .*", study.told[1])
    assert study.told[2].endswith("key.json names the methods; it is not for raters")
    assert len(study.told) == 3


def test_more_questions_than_there_are_prompts_are_told(home: Path, tmp_path: Path) -> None:
    told = list(make_study([Storage(str(home))], Storage(str(tmp_path)), 200, 0))
    assert "88 questions about 11 scenes, and 9 attention checks" in told[0]
    assert told[1] == "--questions 200: there are prompts for 88 only"


def test_a_withdrawn_scene_and_one_that_is_damaged_are_not_shown(tmp_path: Path) -> None:
    home = evaluated(tmp_path / "out", scenes=6)
    storage = Storage(str(home / "ti_m"))
    reader = OutputReader(storage)
    withdrawn, damaged, *_ = sorted(scene for scene, _ in reader.find("variations", ""))
    withdraw(storage, withdrawn)
    for shard in reader.shards("variations"):
        commit = reader.commit("variations", shard)
        assert commit is not None
        with (home / "ti_m" / "variations" / f"variations-{shard:06d}.tar").open("r+b") as tar:
            for name, (offset, size) in commit.members.items():
                if name.startswith(damaged):
                    tar.seek(offset)
                    tar.write(b"x" * size)
    study = made_study(home, 40)
    shown = {question["scene"] for question in study.questions()}
    assert len(shown) == 3
    assert not shown & {withdrawn, damaged}
    assert any(re.fullmatch(r"left out of the lot: 1 scene unreadable \(\w+\)", line) for line in study.told)


def test_methods_without_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    home = evaluated(tmp_path / "out", scenes=4)
    SampleOutput(home / "db_m", scenes=4, stages=(INGEST, SEGMENT))
    study = made_study(home, 8)
    assert "left out, as they have no pictures yet: db_m" in study.told
    assert study.key["methods"] == list(METHODS)


def test_scenes_that_a_method_has_not_drawn_yet_are_left_out(tmp_path: Path) -> None:
    home = evaluated(tmp_path / "out", scenes=6)
    SampleOutput(home / "db_m", scenes=6, shards=1)
    study = made_study(home, 8)
    reader = OutputReader(Storage(str(home / "db_m")))
    assert {question["scene"] for question in study.questions()} <= {
        scene for scene, _ in reader.find("variations", "")
    }


def test_several_plain_outputs_are_compared_by_their_folders(tmp_path: Path) -> None:
    outputs = [SampleOutput(tmp_path / run / "out", scenes=4).storage for run in ("rank-4", "rank-16")]
    list(make_study(outputs, Storage(str(tmp_path / "study")), 8, 0))
    study = MadeStudy(tmp_path / "study", [])
    assert study.key["methods"] == ["rank-4/out", "rank-16/out"]
    assert "rank-4" not in study.text


def test_a_prompt_that_only_some_outputs_have_is_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SampleOutput(tmp_path / "one", scenes=4)
    monkeypatch.setattr(sample_output, "PROMPTS", (sample_output.PROMPTS[0], "<asset0> and <asset1> in the fog"))
    other = SampleOutput(tmp_path / "other", scenes=4)
    list(make_study([one.storage, other.storage], Storage(str(tmp_path / "study")), 40, 0))
    texts = {question["text"] for question in MadeStudy(tmp_path / "study", []).questions()}
    assert texts - {NOTHING} == {"", "a photo of cat at the beach"}


def test_outputs_whose_scenes_have_other_concepts_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SampleOutput(tmp_path / "one", scenes=4)
    monkeypatch.setattr(sample_output, "half_masks", lambda: [np.eye(32, dtype=bool), np.eye(32, dtype=bool)[::-1]])
    other = SampleOutput(tmp_path / "other", scenes=4)
    with pytest.raises(CommandError, match="3 scenes with other concepts in another output"):
        list(make_study([one.storage, other.storage], Storage(str(tmp_path / "study")), 8, 0))


@pytest.mark.parametrize(
    ("named", "only", "error", "sentence"),
    [
        (["out/ti_m"], [], CommandError, "is one job, with nothing to compare it to; name the OUTPUT of `unscene ev"),
        (["empty"], [], OutputError, "no method's folder there (such as break_a_scene); name the OUTPUT of"),
        (["out"], ["no_phase1"], CommandError, "--only no_phase1: not there; there are break_a_scene, ti_m, cd_m"),
        (["out"], ["ti_m"], CommandError, "only ti_m has pictures, and people compare two or more"),
        (["out/ti_m", "out/ti_m"], [], CommandError, "named twice; name each output once"),
        (["out/ti_m", "empty"], [], OutputError, "no run.json there; name the output folder of an Unscene job"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    home: Path, tmp_path: Path, named: list[str], only: list[str], error: type[Exception], sentence: str
) -> None:
    (home.parent / "empty").mkdir(exist_ok=True)
    outputs = [Storage(str(home.parent / name)) for name in named]
    with pytest.raises(error, match=re.escape(sentence)):
        list(make_study(outputs, Storage(str(tmp_path / "study")), 8, 0, only))
    assert not (tmp_path / "study").exists()


def test_a_study_that_people_may_have_rated_is_not_written_over(home: Path, tmp_path: Path) -> None:
    def make(seed: int) -> list[str]:
        return list(make_study([Storage(str(home))], Storage(str(tmp_path)), 8, seed))

    assert make(0) == make(0)
    with pytest.raises(CommandError, match=r"the study \w+ lies there, with other pictures, methods or seed; name"):
        make(1)


def test_pictures_of_a_page_are_bounded_and_all_encoded_alike() -> None:
    dice = np.random.default_rng(0)
    noisy = [Image.fromarray(dice.integers(0, 255, (512, 512, 3), np.uint8)) for _ in range(2)]
    flat = Image.new("RGB", (512, 512), GREY)
    whole = data_uris([*noisy, flat])
    assert whole is not None
    assert whole[1] == STEPS[0][0]
    size = sum(len(uri) * 3 // 4 for uri in whole[0])
    smaller = data_uris([*noisy, flat], size - 1000)
    assert smaller is not None
    assert smaller[1] == STEPS[1][0]
    assert sum(len(uri) * 3 // 4 for uri in smaller[0]) < size
    assert data_uris(noisy, 1000) is None


def test_a_concept_is_cut_out_of_grey_and_a_scrambled_picture_keeps_colours_alone() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:40, 10:20] = True
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))
    alone = np.asarray(cut_out(picture, encode_mask(mask)))
    assert alone.shape == (24, 14, 3)
    assert (alone[2:-2, 2:-2] == np.asarray(picture)[20:40, 10:20]).all()
    assert (alone[0] == GREY).all()
    assert (alone[:, -1] == GREY).all()
    mixed = np.asarray(scrambled(picture, np.random.default_rng(0)))
    assert sorted(mixed.reshape(-1, 3).tolist()) == sorted(np.asarray(picture).reshape(-1, 3).tolist())
    side = 64 // TILES
    same = (mixed == np.asarray(picture)).all(2).reshape(TILES, side, TILES, side).all((1, 3))
    assert same.mean() < 0.05
