"""What answers come to: numbers by hand, preferences planted and not, raters who do not look."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy import stats

from pipeline.study.analysis.agreement import agreement, alpha, coincidences, words
from pipeline.study.analysis.answers import Answer, Answers
from pipeline.study.analysis.attention import attention
from pipeline.study.analysis.crossed import Crossed
from pipeline.study.analysis.findings import Findings, findings_of
from pipeline.study.analysis.plot import plot
from pipeline.study.analysis.preferences import levels, pairs
from pipeline.study.analysis.significance import paper_tests
from pipeline.study.analysis.table import table
from pipeline.study.questions import ASPECTS, IDENTITY, PROMPT, RIGHT, WRONG
from schemas.errors import CommandError

METHODS = ("break_a_scene", "ti_m", "cd_m", "db_m")


def looked(rater: str, right: int = 5, wrong: int = 1) -> list[Answer]:
    """A rater's answers to one attention check."""
    return [
        Answer(rater, f"check-{rater}", IDENTITY, "s0", who, rating) for who, rating in ((RIGHT, right), (WRONG, wrong))
    ]


def made(raters: int, scenes: int, seed: int, bonus: dict[str, float], common: float = 0.7) -> list[Answer]:
    """Ratings about 3. common: standard deviation of what all raters see in one scene's picture of a method, and of
    what one rater thinks of a method in all scenes, so that answers are as alike as people's are."""
    dice = np.random.default_rng(seed)
    answers = [answer for rater in range(raters) for answer in looked(f"r{rater}")]
    for aspect, method in itertools.product(ASPECTS, METHODS):
        seen, taste = dice.normal(0, common, scenes), dice.normal(0, common / 2, raters)
        for rater, scene in itertools.product(range(raters), range(scenes)):
            value = 3 + bonus.get(method, 0.0) + seen[scene] + taste[rater] + dice.normal(0, 0.7)
            rating = int(np.clip(round(value), 1, 5))
            answers.append(Answer(f"r{rater}", f"q{scene}-{aspect}", aspect, f"s{scene}", method, rating))
    return answers


def read(answers: list[Answer], methods: tuple[str, ...] = METHODS) -> Answers:
    return Answers("abc", [name for name in methods if any(a.who == name for a in answers)], answers, 1, 0)


def found(answers: list[Answer]) -> Findings:
    return findings_of(read(answers), resamples=4000)


def test_krippendorffs_own_example() -> None:
    """Section E of his paper of 2011: 4 observers, 12 units, values 1 to 5; ordinal alpha 0.815."""
    nothing = 0
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nothing, nothing, nothing],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nothing, 3],
        [nothing, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nothing],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nothing],
    ]
    units = {
        ("scene", str(unit), "m"): [row[unit] for row in observers if row[unit] is not nothing] for unit in range(12)
    }
    assert float(alpha(coincidences(units)["scene"])) == pytest.approx(0.815, abs=5e-4)


def test_agreement_is_one_where_all_say_the_same_and_about_zero_by_dice() -> None:
    dice = np.random.default_rng(0)
    same = [Answer(r, f"q{q}", PROMPT, f"s{q}", "m", 1 + q % 5) for r in "abc" for q in range(20)]
    whole = agreement(same)
    assert whole is not None
    assert (whole.mean, whole.low, words(whole.mean)) == (1.0, 1.0, "they agree")
    thrown = [
        [Answer(r, f"q{q}", PROMPT, f"s{q}", "m", int(dice.integers(1, 6))) for r in "abc" for q in range(200)]
        for _ in range(10)
    ]
    by_dice = [at.mean for answers in thrown if (at := agreement(answers, 100)) is not None]
    assert abs(np.mean(by_dice)) < 0.04
    assert words(by_dice[0]) == "they hardly agree"
    assert agreement(same[:20]) is None, "one rater"
    assert agreement([Answer(r, "q", PROMPT, "s", "m", 3) for r in "ab"]) is None, "all the same"


def test_preferences_by_hand() -> None:
    """Two raters, one question each: better, and as good."""
    answers = [
        Answer("a", "q1", IDENTITY, "s1", "x", 5),
        Answer("a", "q1", IDENTITY, "s1", "y", 2),
        Answer("b", "q1", IDENTITY, "s1", "x", 3),
        Answer("b", "q1", IDENTITY, "s1", "y", 3),
        Answer("b", "q2", IDENTITY, "s2", "x", 1),  # nothing beside it
    ]
    crossed = Crossed(["a", "b"], ["s1", "s2"], 100)
    (pair,) = pairs(answers, ["x", "y"], crossed)
    assert (pair.share.mean, pair.comparisons, pair.better) == (0.75, 2, None)
    first, second = levels(answers, ["x", "y"], crossed)
    assert (first.rating.mean, first.preferred.mean, first.ratings) == (3.0, 0.75, 3)
    assert (second.rating.mean, second.preferred.mean, second.ratings) == (2.5, 0.25, 2)


def test_more_answers_of_the_same_person_about_the_same_scene_make_no_interval_narrower() -> None:
    dice = np.random.default_rng(3)
    cells = {(f"r{r}", f"s{s}"): float(dice.normal()) for r in range(6) for s in range(12)}
    crossed = Crossed([r for r, _ in cells], [s for _, s in cells], 4000)
    once = crossed.interval([(r, s, value) for (r, s), value in cells.items()])
    tenfold = crossed.interval([(r, s, value) for (r, s), value in cells.items() for _ in range(10)])
    assert once is not None
    assert once == tenfold


def test_a_planted_preference_is_found_and_only_that() -> None:
    findings = found(made(8, 20, 1, {"cd_m": 1.2}))
    for pair in findings.pairs:
        assert pair.better == ("cd_m" if "cd_m" in (pair.method, pair.other) else None)
    assert re.search(r"\| Break-A-Scene over CD-m \| .* \| CD-m is preferred \| 160 \|", table(findings))


def test_where_there_is_no_preference_seldom_one_is_found() -> None:
    """Of studies with nothing in them one in twenty may find one among its twelve pairs."""
    wrong = 0
    for seed in range(40):
        answers = [answer for answer in made(8, 16, seed, {}) if answer.who in METHODS]
        crossed = Crossed([a.rater for a in answers], [a.scene for a in answers], 4000)
        wrong += any(pair.better for pair in pairs(answers, METHODS, crossed))
    assert wrong <= 2


def test_tukeys_p_values_are_too_small_for_answers_that_are_alike() -> None:
    """Which is why they are told beside the preferences, and do not decide."""
    wrong = 0
    for seed in range(6):
        answers = [answer for answer in made(8, 16, seed, {}) if answer.aspect == PROMPT]
        tests = paper_tests(answers, METHODS)
        assert tests is not None
        wrong += any(pair.p < 0.05 for pair in tests.tukey)
    assert wrong >= 4


def test_few_scenes_are_never_called_a_preference() -> None:
    answers = [
        Answer(f"r{r}", f"q{s}", IDENTITY, f"s{s}", method, rating)
        for r in range(9) for s in range(7) for method, rating in (("ti_m", 5), ("cd_m", 1))
    ]  # fmt: skip
    findings = found(answers + [answer for r in range(9) for answer in looked(f"r{r}")])
    assert [(pair.share.mean, pair.better) for pair in findings.pairs] == [(1.0, None)]
    assert "7 scenes: below 8 no preference is called found" in findings.notes


def test_the_papers_tests_are_scipys() -> None:
    answers = [a for a in made(4, 9, 5, {"ti_m": 0.6}) if a.aspect == PROMPT]
    groups = [[a.rating for a in answers if a.who == name] for name in METHODS]
    tests = paper_tests(answers, METHODS)
    assert tests is not None
    assert (tests.h, tests.p) == pytest.approx(tuple(stats.kruskal(*groups)))
    assert [pair.p for pair in tests.tukey] == pytest.approx(
        [stats.tukey_hsd(*groups).pvalue[a, b] for a, b in itertools.combinations(range(4), 2)]
    )
    assert tests.tukey[0].mean == pytest.approx(np.mean(groups[0]) - np.mean(groups[1]))
    assert tests.tukey[0].low < tests.tukey[0].mean < tests.tukey[0].high


def test_ratings_that_are_all_the_same_are_no_mistake() -> None:
    answers = [
        Answer(f"r{r}", f"q{s}", aspect, f"s{s}", method, 3)
        for r in range(2) for s in range(9) for method in METHODS for aspect in ASPECTS
    ]  # fmt: skip
    findings = found(answers + looked("r0") + looked("r1"))
    assert findings.tests == findings.agreement == {}
    assert {pair.share.mean for pair in findings.pairs} == {0.5}
    text = table(findings)
    assert text.count("all ratings are the same, or of one method; nothing to test") == 2
    assert "nan" not in text


@pytest.mark.parametrize(
    ("right", "wrong", "counts"), [(5, 1, True), (4, 2, True), (3, 1, False), (5, 3, False), (1, 5, False)]
)
def test_a_check_is_passed_by_both_its_pictures(right: int, wrong: int, counts: bool) -> None:
    assert attention(looked("r", right, wrong))[0].counts is counts


def test_raters_who_do_not_look_are_left_out_and_named() -> None:
    careful = made(3, 10, 0, {"ti_m": 2.0})
    asleep = [Answer("zzz", a.question, a.aspect, a.scene, a.who, 1) for a in careful if a.rater == "r0"]
    hasty = [Answer("early", a.question, a.aspect, a.scene, a.who, 1) for a in careful if a.who == "ti_m"][:3]
    findings = found(careful + asleep + hasty)
    assert findings.notes[:2] == [
        "left out, as they failed the attention checks: zzz (passed 0 of 1)",
        "left out, as they ended before they had answered an attention check: early",
    ]
    assert findings.levels == found(careful).levels
    with pytest.raises(CommandError, match=r"every rater failed the attention checks: zzz \(passed 0 of 1\); there is"):
        found(asleep)
    with pytest.raises(
        CommandError,
        match=r"every rater failed the attention checks: zzz \(passed 0 of 1\), or ended before they had answered an "
        r"attention check: early; there is nothing to compare, ask other people, or those who ended early to go on",
    ):
        found(asleep + hasty)


def test_the_plot_is_svg_with_a_line_a_method_and_all_inside() -> None:
    findings = found(made(3, 10, 0, {"ti_m": 1.0}))
    drawing = ET.fromstring(plot(findings))
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    circles = drawing.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == len(METHODS) * len(ASPECTS)
    for circle in circles:
        assert 0 < float(circle.attrib["cx"]) < width
        assert 0 < float(circle.attrib["cy"]) < height
    assert {text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")} >= {
        "TI-m",
        "keeps the object",
        "50 %",
    }
