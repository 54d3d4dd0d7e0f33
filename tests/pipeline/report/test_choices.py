"""Choices on a page: whatever is chosen together, what stays is what is of it, and nothing stays without a picture."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.report.choices import MAX_FAILURES, choices_of
from pipeline.report.facts import SceneFacts
from pipeline.report.tenths import tenths_of
from pipeline.shards.reader import Row
from schemas.outcomes import SceneOutput
from tests.pipeline.report.test_page import Page, flat, page_of
from tests.support import sample_output
from tests.support.browser import browser
from tests.support.sample_output import SampleOutput, concept_row, scored

RULE = re.compile(r"body((?::has\(#[\w-]+:checked\))+) :is\(([^)]*)\):not\(\.([\w-]+)\) \{ display: none; \}")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    """Scenes with words of their own, pictures with scores and states at random."""
    lot = np.random.default_rng(3)

    def worded(scene_id: str, index: int, mask: np.ndarray) -> dict[str, Any]:
        word = ("cat", "dog", "</style>", None)[(int(scene_id[:4], 16) + 3 * index) % 4]
        return {**concept_row(scene_id, index, mask), "word": word}

    def at_random(made: SceneOutput) -> SceneOutput:
        output = scored(made)
        for row in output.rows:
            row |= {"identity_similarity": float(lot.normal()), "prompt_similarity": float(lot.normal())}
            if lot.random() < 0.3:
                row |= {"complete": False, "found": [0, 2]}
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_output, "concept_row", worded)
        patch.setattr(sample_output, "scored", at_random)
        return SampleOutput(tmp_path_factory.mktemp("choices") / "out", scenes=12, variations=3)


@pytest.fixture(scope="module")
def page(sample: SampleOutput) -> Page:
    return page_of(sample.storage)


def things(page: Page) -> Iterator[tuple[str, set[str], int, int]]:
    """(kind, classes, number of its scene, number of its prompt) of all that choices hide, in the page's order."""
    scene = group = -1
    for _, attrs in page.tags:
        classes = set((attrs.get("class") or "").split())
        for kind in ("tile", "scene", "group", "picture"):
            if kind in classes:
                scene, group = scene + (kind == "scene"), group + (kind == "group")
                yield kind, classes, scene, group


def stays(page: Page, chosen: tuple[str, ...]) -> list[tuple[str, set[str], int, int]]:
    """What no rule of the page hides when these buttons are pressed."""
    on = [
        ({*re.findall(r"\.(\w+)", kinds)}, wanted)
        for ids, kinds, wanted in RULE.findall(page.styles)
        if {*re.findall(r"#([\w-]+)", ids)} <= set(chosen)
    ]
    return [
        (kind, classes, scene, group)
        for kind, classes, scene, group in things(page)
        if not any(kinds & classes and wanted not in classes for kinds, wanted in on)
    ]


def buttons(page: Page) -> list[list[str]]:
    """Ids of each kind of radio buttons, "" for all."""
    kinds: dict[str, list[str]] = {}
    for tag, attrs in page.tags:
        if tag == "input" and attrs["type"] == "radio":
            kinds.setdefault(attrs["name"] or "", []).append("" if "checked" in attrs else attrs["id"] or "")
    return list(kinds.values())


def test_whatever_is_chosen_together(page: Page) -> None:
    """Every choice of state, score, word and failure: the pictures that are of it stay, and no others; scenes and
    prompts stay with one, or where no picture was asked of them."""
    kinds = buttons(page)
    assert [len(ids) for ids in kinds] == [1 + 3, 1 + 4, 1 + 3, 1 + 2]
    every = list(things(page))
    of_group = {group: classes for kind, classes, _, group in every if kind == "group"}
    of_scene = {scene: classes for kind, classes, scene, _ in every if kind == "scene"}
    nothing = 0
    for picked in itertools.product(*kinds):
        chosen = tuple(filter(None, picked))
        left = stays(page, chosen)
        scenes = {scene for kind, _, scene, _ in left if kind == "scene"}
        groups = {group for kind, _, scene, group in left if kind == "group" and scene in scenes}
        pictures = [
            group for kind, _, scene, group in left if kind == "picture" and scene in scenes and group in groups
        ]
        own, words = ({each for each in chosen if each[0] in letters} for letters in ("sq", "w"))
        failed = {each.replace("any-failure", "failed") for each in chosen} - own - words
        assert pictures == [
            group
            for kind, classes, scene, group in every
            if kind == "picture" and own <= classes and words <= of_group[group] and failed <= of_scene[scene]
        ], chosen
        if own:
            assert groups == set(pictures), chosen
            assert scenes == {scene for kind, _, scene, group in every if kind == "group" and group in groups}, chosen
        else:
            assert scenes == {scene for scene, classes in of_scene.items() if words | failed <= classes}, chosen
        assert sum(kind == "tile" for kind, *_ in left) == len(scenes), chosen
        nothing += not scenes
    assert nothing, "some choices are of no scene"


def test_buttons_count_what_they_leave(page: Page) -> None:
    text = flat(page.text)
    for number in range(4):
        pictures = sum(f"q{number}" in classes for kind, classes, _, _ in things(page) if kind == "picture")
        measure, end = ("identity", "prompt")[number // 2], ("lowest tenth (to", "highest tenth (from")[number % 2]
        assert re.search(rf"{measure}: {re.escape(end)} -?\d\.\d\d\) {pictures} ", text)
        assert pictures == -(-11 * 6 // 10)
    assert "all 66 shown" in text
    assert "all scenes failed 1 SceneError in extract 1" in text
    first = next(value for value in re.findall(r"lowest tenth \(to (-?\d\.\d\d)\)", text))
    low = [float(value) for value in re.findall(r"identity (-?\d\.\d\d)", text) if float(value) <= float(first)]
    assert len(low) == 7, "the bound is what stands under the pictures"


def test_pictures_that_are_not_shown_are_told_and_leave_no_scene_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 14 pictures a scene 12 are shown. In the sample the last of all repeats the first; here those of one scene are
    bad at the first, too."""
    made: list[str] = []

    def one_in_two(output: SceneOutput) -> SceneOutput:
        scores = scored(output)
        made.append(output.scene_id)
        if len(made) == 2:
            scores.rows[0] |= {"keep": False, "reason": "copy of another"}
        return scores

    monkeypatch.setattr(sample_output, "scored", one_in_two)
    page = page_of(SampleOutput(tmp_path / "out", scenes=6, variations=7).storage)
    text = flat(page.text)
    assert "all 70 (60 shown) kept, every concept once 64 (59 shown) not kept: near-duplicates 6 (1 shown)" in text
    assert "all 60 shown" not in text, "all scores are equal: nothing to choose by"
    left = stays(page, ("s1",))
    assert [kind for kind, *_ in left] == ["tile", "scene", "group", "picture"], "no scene without a picture of it"


def test_failures_lead_to_their_scenes(sample: SampleOutput, page: Page) -> None:
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links.count(f"#in-{sample.failing}") == 2, "from its tile, and from the table"


def test_tenths_of_few_and_of_equal_scores() -> None:
    def rows(*values: float) -> list[Row]:
        return [{"identity_similarity": value, "prompt_similarity": 0.5} for value in values]

    assert tenths_of([]) == tenths_of(rows(0.5, 0.5)) == [], "nothing to tell apart"
    low, high = tenths_of(rows(0.1, 0.9, float("nan")))
    assert (low.name, low.count) == ("identity: lowest tenth (to 0.10)", 1)
    assert (high.name, high.count) == ("identity: highest tenth (from 0.90)", 1)
    assert [tenth.has(rows(0.1)[0]) for tenth in (low, high)] == [True, False]
    assert not low.has({})
    assert not low.has(rows(float("nan"))[0])
    low, high = tenths_of(rows(*[0.2] * 5, *[0.8] * 25))
    assert (low.count, high.count) == (5, 25), "equal scores stay together, and the count says so"


def test_many_ways_to_fail() -> None:
    scenes = [
        SceneFacts(str(n), {}, {}, {"stage": "extract", "error": f"Error{n % (n // 2 + 1)}", "message": ""})
        for n in range(60)
    ]
    choices = choices_of([*scenes, SceneFacts("fine", {}, {})])
    assert (len(choices.failures), choices.failed) == (MAX_FAILURES, 60)
    counts = list(choices.failures.values())
    assert counts == sorted(counts, reverse=True)
    assert choices.scene(SceneFacts("fine", {}, {})) == ""


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_in_a_browser(sample: SampleOutput, page: Page, tmp_path: Path, width: int, scheme: str) -> None:
    """The same by keyboard in Chromium, where nothing runs over the edge."""
    with browser(tmp_path) as tab:
        tab.screen(width, 800, scheme)
        tab.open(Path(sample.storage.url) / "report/index.html")
        shown = "[...document.querySelectorAll('{}')].filter(e => getComputedStyle(e).display !== 'none').length"
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run(shown.format(".found")) == 0
        tab.run("document.querySelector('#masks').focus()")
        tab.press(" ")
        masks = tab.run(shown.format(".found"))
        assert masks == 66
        for chosen in (("q0",), ("q0", "s1"), ("s0", "q3", "w0"), ("s0", "f0")):
            tab.run("document.querySelectorAll('[id^=all-]').forEach(each => each.click())")
            for each in chosen:
                tab.run(f"document.querySelector('#{each}').focus()")
                tab.press(" ")
            left = stays(page, chosen)
            for kind in ("tile", "scene", "picture"):
                assert tab.run(shown.format(f".{kind}")) == sum(thing[0] == kind for thing in left), (chosen, kind)
            assert tab.run("document.documentElement.scrollWidth") <= width
        told = tab.run("getComputedStyle(document.querySelector('.cards'), '::after').content")
        assert "Scenes of this choice" in told
        assert len(tab.asked_for) == 1, "the page alone"
