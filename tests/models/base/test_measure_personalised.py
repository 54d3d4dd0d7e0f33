"""Measuring what one scene teaches: the job it is taken for, which pictures count, what is lost, what is nearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.training.base.measure_personalised import (
    Drawn,
    gather,
    nearest_known,
    save_sheet,
    settings_of,
    shares,
)
from models.training.base.personalised import KINDS, Subject, spec_of, subjects
from models.training.world.roster import HELD_OUT, NEW_COMBINATIONS, NEW_SHAPES, TRAINED, Toy
from models.training.world.scene import Scene
from schemas.bundled import SETTINGS
from schemas.outcomes import SceneTask
from schemas.spec_file import SpecError
from tests.support import ROOT

MODELS = {name: str(ROOT / "models" / "seedling" / name) for name in ("base", "sam")}
FISH, BOAT = NEW_COMBINATIONS[:2]
KIND = "new combinations"


def subject(*toys: Toy, kind: str = KIND) -> Subject:
    """A scene of toys, nothing found yet."""
    picture = np.zeros((8, 8, 3), np.uint8)
    return Subject(kind, Scene(picture, np.zeros((len(toys), 8, 8), bool), toys, 0), SceneTask("s", rows={}, files={}))


def drawn(of: Subject, *subsets: tuple[int, ...], prompts: int = 1, images: int = 1) -> Subject:
    """The subject with a picture of each subset, prompt and repeat."""
    for concepts in subsets:
        for prompt in range(prompts):
            for repeat in range(images):
                of.pictures[(concepts, prompt, repeat)] = np.full((8, 8, 3), len(of.pictures), np.uint8)
    return of


def test_pictures_are_gathered_with_what_they_were_asked_for() -> None:
    two = drawn(subject(FISH, BOAT), (0,), (1,), (0, 1), prompts=3, images=2)
    two.toys = [BOAT, FISH]  # concepts come in their own order
    other = drawn(subject(NEW_SHAPES[0], kind="new silhouettes"), (0,))
    single, both = gather([two, other], KIND, images=2, prompts=3)
    assert single.asked == [(BOAT,)] * 6 + [(FISH,)] * 6
    assert both.asked == [(BOAT, FISH)] * 6
    assert single.lost == both.lost == 0
    assert [int(picture[0, 0, 0]) for picture in both.pictures] == list(range(12, 18))


def test_what_was_missed_counts_as_lost_and_what_is_nobodys_counts_for_nothing() -> None:
    half = drawn(subject(FISH, BOAT), (0,), (1,), (0, 1), prompts=3, images=2)
    half.toys, half.missed = [FISH, None], 1
    single, both = gather([half], KIND, images=2, prompts=3)
    assert single.asked == [(FISH,)] * 6
    assert (single.lost, both.asked, both.lost) == (6, [], 6)
    third = drawn(subject(FISH, BOAT), (0,), (1,), (2,), (0, 1, 2), prompts=3, images=2)
    third.toys = [FISH, None, BOAT]
    single, both = gather([third], KIND, images=2, prompts=3)
    assert (len(single.asked), single.lost) == (12, 0)
    assert (both.asked, both.lost) == ([], 6), "there is no picture of the two alone"
    failed = subject(FISH, BOAT)
    failed.failure = "no concept"
    single, both = gather([failed], KIND, images=2, prompts=3)
    assert (single.lost, both.lost) == (12, 6)


def test_shares_are_of_all_pictures_that_were_to_be() -> None:
    class Right:
        """Reads what was asked."""

        def read(self, pictures: np.ndarray, most: int = 3) -> list[list[Subject]]:
            return [[type("Read", (), {"toy": FISH})] for _ in pictures]

    some = Drawn([np.zeros((8, 8, 3), np.uint8)] * 2, [(FISH,)] * 2)
    assert "lost" not in shares(Right(), some)
    some.lost = 6
    assert shares(Right(), some).endswith("6 lost, so whole 0.250 of all")
    assert shares(Right(), Drawn()) == "nothing drawn"


def test_the_nearest_known_toy_shares_two_facts_and_the_silhouette_where_it_is_known() -> None:
    for toy in HELD_OUT:
        known = nearest_known(toy)
        assert known in TRAINED
        assert (known.colour, known.pattern) == (toy.colour, toy.pattern) or known.silhouette == toy.silhouette
        assert (known.silhouette == toy.silhouette) == (toy in NEW_COMBINATIONS)


@pytest.mark.parametrize("method", ["break_a_scene", "ti_m"])
def test_the_job_has_the_seedlings_settings_under_those_given_and_the_methods_over_them(method: str) -> None:
    spec = spec_of(MODELS, method, settings_of(["extract.phase1.steps=7", "generate.steps=3"]), images=4)
    assert spec.extract.phase1.steps == 7
    assert spec.generate.steps == 3
    assert spec.generate.images_per_prompt == 4
    assert spec.generate.subsets == ["singles", "union"]
    assert (spec.extract.phase2.steps == 0) == (method == "ti_m")
    bundled = SETTINGS["base"]["seedling"]["extract"]["phase1"]
    assert spec.extract.phase1.lr == bundled["lr"]
    assert spec.models.base == MODELS["base"]


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(SpecError, match="phase7"):
        spec_of(MODELS, "break_a_scene", settings_of(["extract.phase7.steps=7"]), images=1)


def test_scenes_are_of_their_kind_and_hold_their_picture() -> None:
    for kind, roster in KINDS.items():
        found = subjects(kind, 2, 1)
        assert [len(one.scene.objects) for one in found] == [1, 1, 2]
        assert {toy for one in found for toy in one.scene.objects} <= set(roster)
        assert len({one.task.scene_id for one in found}) == 3
        assert all(one.task.files["png"].startswith(b"\x89PNG") for one in found)


def test_a_sheet_of_nothing_drawn_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_sheet([subject(FISH)], tmp_path / "sheet-ti_m.png")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out.strip() == "nothing drawn, so no sheet-ti_m.png"
    save_sheet([subject(FISH), drawn(subject(BOAT), (0,))], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").exists()
