"""The report as a person walks through it: quality first, by keyboard, on a phone, in pages, by colours told apart."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.ledger.numbers import RunNumbers
from pipeline.report import page as report
from pipeline.report.choices import choices_of
from pipeline.report.facts import KEPT_ONCE, NOT_ONCE, ONCE, SceneFacts, state_of
from pipeline.report.scenes import title_of
from pipeline.report.thumbnails import PALETTE, colour_of, ink_on, luminance, middle
from pipeline.report.verdict import verdict_of
from pipeline.report.views import ConceptView, SceneView, seen_text
from pipeline.shards.scores import ScoreNumbers
from pipeline.stage_kinds import INGEST, SEGMENT
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput
from tests.pipeline.report.test_page import Page, flat, page_of, scene_ids
from tests.support import sample_output
from tests.support.sample_output import SampleOutput, scored


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores by scene: the first of a shard is the best. Of one in three the first picture lacks its concept."""
    seen: list[str] = []

    def worse_and_worse(made: SceneOutput) -> SceneOutput:
        output = scored(made)
        seen.append(made.scene_id)
        for row in output.rows:
            row["identity_similarity"] = 0.9 - 0.1 * len(seen)
        if len(seen) % 3 == 0:
            output.rows[0] |= {"complete": False, "found": [0, 1]}
        return output

    monkeypatch.setattr(sample_output, "scored", worse_and_worse)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(SampleOutput(tmp_path_factory.mktemp("sample") / "out", scenes=6).storage)


def test_pictures_and_quality_come_first_and_settings_last(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    wanted = ["verdict", "sheet", "scenes", "account", "failures", "duplicates", "next", "run"]
    assert [name for name in ids if name in wanted] == wanted
    assert flat(page.text).count("cannot decode <img src=x onerror=alert(1)>") == 1, "told once"


def test_every_link_leads_somewhere_and_no_id_is_there_twice(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    assert links
    assert all(link[1:] in ids for link in links)
    told = [name for _, attrs in page.tags for name in (attrs.get("aria-labelledby") or "").split()]
    assert set(told) <= set(ids)


def test_landmarks_headings_and_keyboard(page: Page) -> None:
    names = [tag for tag, _ in page.tags]
    assert [names.count(tag) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    assert next(attrs for tag, attrs in page.tags if tag == "a")["class"] == "skip"
    levels = [int(tag[1]) for tag in names if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(attrs.get("aria-label") or attrs.get("aria-labelledby") for tag, attrs in page.tags if tag == "nav")
    scrolling = [a for _, a in page.tags if {"scroll", "sheet"} & set((a.get("class") or "").split())]
    assert scrolling
    assert all(attrs.get("tabindex") == "0" for attrs in scrolling), "what scrolls is reached without a mouse"
    for at, (tag, attrs) in enumerate(page.tags):
        if tag == "input":
            assert attrs["type"] in ("radio", "checkbox")
            assert page.tags[at - 1][0] == "label"
    assert ":focus-visible" in page.styles


def test_scenes_are_folded_but_the_first_and_titled_by_path(page: Page) -> None:
    folds = [attrs for (before, _), (_, attrs) in itertools.pairwise(page.tags) if before == "article"]
    assert ["open" in attrs for attrs in folds] == [True] + [False] * 5
    assert {attrs["aria-label"] for tag, attrs in page.tags if tag == "article"} >= {
        f"Scene 0000/{sample_output.ODD_NAMES[0]}"
    }
    assert title_of("s3://bucket/set/birds/a.jpg", "s3://bucket/set/") == "birds/a.jpg"
    assert title_of("/elsewhere/a.jpg", "/photos") == "/elsewhere/a.jpg"
    assert title_of("/elsewhere/a.jpg", "") == "/elsewhere/a.jpg"


def test_a_choice_hides_what_is_not_of_it(page: Page) -> None:
    """Without a script: a radio button, and a rule for each."""
    radios = [attrs["id"] for tag, attrs in page.tags if tag == "input"]
    assert radios == [*("all-states", "s0", "s1", "all-words", "w0", "all-scenes", "any-failure", "f0", "masks")]
    for name in ("s0", "s1", "w0"):
        assert re.search(rf"body:has\(#{name}:checked\) :is\([^)]*\):not\(\.{name}\) {{ display: none; }}", page.styles)
    text = flat(page.text)
    assert "all 20 kept, every concept once 15 not kept: near-duplicates 5" in text
    pictures = [attrs["class"] or "" for tag, attrs in page.tags if tag == "figure" and "picture" in str(attrs)]
    assert sum("s0" in kind.split() for kind in pictures) == 15
    assert sum("s1" in kind.split() for kind in pictures) == 5
    assert (
        sum("w0" in (attrs.get("class") or "").split() for _, attrs in page.tags if attrs.get("role") == "group") == 10
    )
    sheet = [attrs["class"] for tag, attrs in page.tags if "tile" in (attrs.get("class") or "").split()]
    assert sheet == ["tile w0 failed f0"] + ["tile s0 s1 w0"] * 5


def test_words_from_strangers_are_no_css() -> None:
    scene = SceneFacts("a", {"concepts": [{"word": "x} body { display: none"}, {"word": "cat"}]}, {})
    choices = choices_of([scene])
    assert choices.scene(scene) == "w0 w1"
    many = [SceneFacts(str(i), {"concepts": [{"word": f"word {i}"}]}, {}) for i in range(30)]
    assert (len(choices_of(many).words), choices_of(many).left_out) == (24, 6)


def test_the_worst_come_first(tmp_path: Path, graded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = SampleOutput(tmp_path / "out", scenes=12)
    every = [scene for shard in range(2) for scene in sample.plan.scenes(shard)]
    whole = page_of(sample.storage)
    assert scene_ids(whole)[0] == sample.failing
    lacking = [at for at, scene in enumerate(whole.scenes) if NOT_ONCE in flat(scene)]
    assert lacking == [1, 2, 3], "then those with a picture that lacks a concept"
    scores = [float(re.findall(r"identity (-?[\d.]+)", flat(scene))[0]) for scene in whole.scenes[1:]]
    assert scores[:3] == sorted(scores[:3])
    assert scores[3:] == sorted(scores[3:])
    assert "lacks <asset0>" in whole.scenes[1]
    monkeypatch.setattr(report, "MAX_SCENES", 6)
    few = page_of(sample.storage)
    assert len(scene_ids(few)) == len(set(scene_ids(few)) & set(every)) == 6
    assert set(scene_ids(whole)[1:4]) <= set(scene_ids(few)), "the three worst of all that have scores"


def test_a_long_report_is_several_pages_each_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAGE_SCENES", 2)
    sample = SampleOutput(tmp_path / "out", scenes=6)
    first = page_of(sample.storage)
    folder = tmp_path / "out" / "report"
    assert sorted(file.name for file in folder.iterdir()) == ["index.html", "scenes-0002.html", "scenes-0003.html"]
    others = {file.name: Page(file.read_text("utf-8")) for file in folder.glob("scenes-*")}
    pages = {"index.html": first, **others}
    assert sum(len(page.scenes) for page in pages.values()) == 6
    links = [attrs["href"] or "" for tag, attrs in first.tags if tag == "a" and "#in-" in (attrs["href"] or "")]
    assert len(links) == 6 + 1, "the contact sheet is of all pages, and of the failures one has a scene on a page"
    assert links[-1].endswith(f"#in-{sample.failing}")
    for link in links:
        name, _, target = link.partition("#")
        assert target in {attrs.get("id") for _, attrs in pages[name or "index.html"].tags}
    for page in pages.values():
        here = [attrs["href"] for tag, attrs in page.tags if attrs.get("aria-current")]
        assert len(here) == 2
        assert all((attrs["src"] or "").startswith("data:image/webp") for tag, attrs in page.tags if tag == "img")
    assert "Scenes 3 to 4 of 6" in flat(others["scenes-0002.html"].text)
    monkeypatch.setattr(report, "PAGE_SCENES", 24)
    page_of(sample.storage)
    assert [file.name for file in folder.iterdir()] == ["index.html"], "pages of an earlier report go"


@pytest.mark.parametrize(
    ("settings", "said", "well"),
    [
        (
            {},
            "Kept 15 of 20 (concepts found); 20 of the 20 show every concept asked for once (100 %); "
            "not kept: 5 near-duplicates",
            False,
        ),
        (
            {"evaluate.concepts": "any"},
            "No thresholds set: 20 of 20 show every concept asked for once (100 %); not kept: 5 near-duplicates",
            False,
        ),
        (
            {"evaluate.concepts": "complete"},
            "Kept 15 of 20 (concepts complete); 20 of the 20 show every concept asked for once (100 %); "
            "not kept: 5 near-duplicates",
            False,
        ),
        ({"extract.phase1.steps": 2, "extract.phase2.steps": 2}, "Warning: trained for 4 steps a scene", False),
    ],
)
def test_the_verdict(tmp_path: Path, settings: dict[str, Any], said: str, well: bool) -> None:
    """In the sample two scenes failed, so it is never well."""
    page = page_of(SampleOutput(tmp_path / "out", scenes=6, settings=settings).storage)
    text = flat(page.text)
    assert said in text
    assert text.index(said) < text.index("Contact sheet", text.index("Run and settings"))
    assert "; 2 scenes failed" in text
    (verdict,) = (attrs for _, attrs in page.tags if attrs.get("id") == "verdict")
    assert ("warn" not in (verdict["class"] or "")) == well


def test_no_picture_is_no_verdict(tmp_path: Path) -> None:
    text = flat(page_of(SampleOutput(tmp_path / "out", stages=(INGEST,)).storage).text)
    assert "No pictures yet" in text
    assert "show every concept" not in text


def test_before_anything_trains_the_page_opens_with_the_masks(tmp_path: Path) -> None:
    page = page_of(SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT)).storage)
    text = flat(page.text)
    assert "No pictures yet: 8 concepts in 4 scenes" in text
    tiles = [attrs for tag, attrs in page.tags if tag == "img" and "concepts coloured" in (attrs.get("alt") or "")]
    assert len(tiles) == 4


def test_commands_can_be_copied(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "my out")
    text = flat(page_of(sample.storage).text)
    for command in ("retry", "report"):
        assert f"unscene {command} '{sample.storage.url}'" in text
    assert f"unscene export '{sample.storage.url}' --all --to handles" in text
    assert "unscene status" not in text, "nothing is left to do"


def test_files_that_cannot_be_read_are_to_be_mended_before_they_are_tried_again(tmp_path: Path) -> None:
    """Trying such a file again is of no use by itself: the command stands last, and says what comes before."""
    text = flat(page_of(SampleOutput(tmp_path / "read", stages=(INGEST,)).storage).text)
    following = text[text.index("Go on with the job") :]
    assert "Try the failed scenes again" not in following
    assert following.index("unscene report") < following.index("Once the files that failed are mended")
    text = flat(page_of(SampleOutput(tmp_path / "learned").storage).text)
    assert "Once the files" not in text
    assert text.index("Try the failed scenes again") < text.index("Write this report anew")


def test_one_is_no_plural() -> None:
    spec = JobSpec.model_validate(
        {"source": {"uri": "/p"}, "output": "/o", "evaluate": {"enabled": True, "concepts": "any"}}
    )
    numbers = RunNumbers({}, [], Counter(), 0)
    said = verdict_of(ScoreNumbers(), spec, numbers, 1, []).text
    assert said == "Not scored yet: nobody has looked at what 1 picture shows"
    assert verdict_of(ScoreNumbers(), spec, numbers, 2, []).text.endswith("what 2 pictures show")
    scores = ScoreNumbers(count=2, kept=2, complete=1)
    assert "1 of 2 shows every concept asked for once" in verdict_of(scores, spec, numbers, 2, []).text
    assert "0 of 2 show every" in verdict_of(ScoreNumbers(count=2, kept=2), spec, numbers, 2, []).text


def test_numbers_stand_on_their_masks(page: Page) -> None:
    """In the sample the masks are the left and the right half."""
    marks = [str(attrs["style"]) for _, attrs in page.tags if attrs.get("class") == "mark" and "left" in str(attrs)]
    assert len(marks) == 6 * 2
    left, right = (float(re.findall(r"left:([\d.]+)%", style)[0]) for style in marks[:2])
    assert 6 < left < 44
    assert 56 < right < 94
    ring = np.ones((21, 21), dtype=bool)
    ring[3:-3, 3:-3] = False
    x, y = middle(ring) or (0.0, 0.0)
    assert ring[int(y * 21), int(x * 21)], "also where the middle of a shape is not of it"
    assert middle(np.zeros((3, 3), dtype=bool)) is None
    assert len(set(PALETTE)) == 8
    assert {(230, 159, 0), (86, 180, 233), (0, 158, 115)} <= set(PALETTE), "Okabe and Ito's"


def test_given_masks_have_no_columns_for_what_sam_says_of_its_own(page: Page) -> None:
    assert "Area SAM IoU Stability Score" in flat(page.scenes[1])
    row = {"area_share": 0.1, "predicted_iou": None, "stability_score": None, "score": None}
    given = SceneView(SceneFacts("a", {}, {}), "a.jpg", concepts=[ConceptView(0, row, {})])
    assert given.estimates == {}
    given.concepts.append(ConceptView(1, row | {"score": 0.5}, {}))
    assert given.estimates == {"score": "Score"}, "of a scene that has some of either"


def test_what_a_picture_shows_in_words() -> None:
    asked = [ConceptView(0, {}, {"token": "<asset0>"}), ConceptView(2, {}, {"token": "<asset2>"})]
    row = {"keep": True, "complete": False, "reason": None}
    assert seen_text(row | {"found": [2, 1, 0]}, asked) == "2 × <asset0>, lacks <asset2>"
    assert seen_text(row | {"found": [1, 0, 1]}, asked) == ONCE
    assert state_of(row) == NOT_ONCE
    assert state_of(row | {"complete": True}) == KEPT_ONCE
    assert state_of(row | {"keep": False, "reason": "incomplete: not every"}) == "not kept: incomplete"


def test_text_is_read_on_what_it_stands_on(page: Page) -> None:
    """WCAG AA: 4.5 for text, in light and in dark; numbers on every colour of masks."""
    blocks = re.findall(r":root \{([^}]*)\}", page.styles)
    schemes = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in blocks]
    assert len(schemes) == 2
    pairs = [(ink, on) for ink in ("ink", "soft", "accent", "bad") for on in ("page", "card")]
    pairs += [("bad", "bad-card"), ("wait", "wait-card"), ("ink", "wait-card"), ("card", "accent")]
    for colours in schemes:
        for ink, on in pairs:
            assert contrast(colours[ink], colours[on]) >= 4.5, (ink, on, colours[ink], colours[on])
    for index in range(30):
        assert contrast(ink_on(colour_of(index)), "#{:02x}{:02x}{:02x}".format(*colour_of(index))) >= 4.5


def contrast(one: str, other: str) -> float:
    low, high = sorted(luminance(tuple(bytes.fromhex(colour[1:]))) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)
