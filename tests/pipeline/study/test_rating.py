"""The rating page in a real browser: rated by keys and by a script, its files analysed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.thumbnails import luminance
from pipeline.study.analysis.answers import read_answers
from pipeline.study.analysis.findings import Findings, findings_of
from pipeline.study.questions import ASPECTS
from tests.support.browser import Browser, browser
from tests.support.studies import MadeStudy, Rule, attentive, evaluated, made_study

RATE_ALL = """(ratings => {
  while (!document.getElementById('asking').hidden) {
    for (const input of document.querySelectorAll('#pictures input'))
      if (Number(input.value) === ratings[input.name]) input.click();
    document.getElementById('next').click();
  }
})(%s)"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return made_study(evaluated(tmp_path_factory.mktemp("rated") / "out"))


def begin(tab: Browser, study: MadeStudy, rater: str) -> None:
    tab.open(study.folder / "index.html", f"#rater={rater}")
    tab.run("document.getElementById('begin').click()")


def rated(tab: Browser, study: MadeStudy, rater: str, rule: Rule) -> Path:
    """The file that a rater of this rule downloads in the end."""
    begin(tab, study, rater)
    tab.run(RATE_ALL % json.dumps(study.ratings(rule)))
    return tab.downloaded(lambda: tab.run("document.getElementById('save').click()"))


def found(tab: Browser, study: MadeStudy, name: str, bonus: dict[str, float], raters: int = 3) -> Findings:
    files = [str(rated(tab, study, f"{name}{n}", attentive(n, bonus))) for n in range(raters)]
    return findings_of(read_answers(files, study.key))


def test_a_planted_preference_is_found(tab: Browser, study: MadeStudy) -> None:
    findings = found(tab, study, "planted", {"cd_m": 1.5})
    better = {(pair.method, pair.other, pair.aspect): pair.better for pair in findings.pairs}
    for aspect in ASPECTS:
        assert better["break_a_scene", "cd_m", aspect] == better["ti_m", "cd_m", aspect] == "cd_m"
        assert better["break_a_scene", "ti_m", aspect] is None
        assert findings.tests[aspect].p < 0.001
    assert [rater.passed for rater in findings.counted] == [4, 4, 4]
    assert not findings.left_out


def test_where_there_is_none_none_is_found(tab: Browser, study: MadeStudy) -> None:
    findings = found(tab, study, "even", {})
    assert {pair.better for pair in findings.pairs} == {None}
    assert all(pair.share.low is not None and pair.share.low <= 0.5 for pair in findings.pairs)


def test_keys_alone_rate_and_a_closed_page_goes_on(tab: Browser, study: MadeStudy) -> None:
    begin(tab, study, "by-keys")
    for key in ("4", "2", "5", "Enter", "3"):
        tab.press(key)
    assert tab.run("document.getElementById('count').textContent") == "Question 2 of 44"
    tab.press("Enter")
    assert tab.run("document.getElementById('told').textContent") == "Picture B has no rating yet."
    tab.visit("about:blank")
    begin(tab, study, "by-keys")
    assert tab.run("document.getElementById('count').textContent") == "Question 2 of 44"
    assert tab.run("[...document.querySelectorAll('#pictures :checked')].map(one => one.value)") == ["3"]
    tab.press("b")
    assert tab.run("[...document.querySelectorAll('#pictures :checked')].map(one => one.value)") == ["4", "2", "5"]
    saved = tab.downloaded(lambda: tab.run("document.getElementById('early').click()"))
    assert saved.name == f"answers-{study.key['study']}-by-keys.csv"
    rows = list(csv.DictReader(saved.read_text().splitlines()))
    assert [(row["position"], row["place"], row["rating"]) for row in rows] == [
        ("1", "1", "4"),
        ("1", "2", "2"),
        ("1", "3", "5"),
        ("2", "1", "3"),
    ]


def order(tab: Browser, study: MadeStudy, rater: str) -> list[Any]:
    begin(tab, study, rater)
    return list(tab.run("questions.map(one => [one.id, one.pictures.map(picture => picture[0])])"))


def test_each_rater_has_an_order_of_their_own_with_checks_all_along(tab: Browser, study: MadeStudy) -> None:
    first, second = order(tab, study, "ann"), order(tab, study, "bob")
    assert first != second
    assert order(tab, study, "ann") == first, "from the seed"
    assert sorted(name for name, _ in first) == sorted(name for name, _ in second)
    assert sum(dict(first)[name] != pictures for name, pictures in second) > len(first) / 2
    by_id = {question["id"]: question for question in study.questions()}
    places: dict[str, list[int]] = {}
    for name, pictures in first:
        for place, picture in enumerate(pictures):
            places.setdefault(study.who(by_id[name], picture), []).append(place)
    for method in study.key["methods"]:
        assert 0.6 < sum(places[method]) / len(places[method]) < 1.4, "no method stands first, or last"
    checks = [at for at, (name, _) in enumerate(first) if any("right" in study.who(by_id[name], p) for p in _)]
    assert [at // 11 for at in checks] == [0, 1, 2, 3]


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "dark")])
def test_it_fits_a_phone_and_is_read_light_and_dark(tab: Browser, study: MadeStudy, width: int, scheme: str) -> None:
    tab.screen(width, 844, scheme)
    tab.open(study.folder / "index.html", "#rater=looks")
    for section in ("opening", "asking"):
        assert tab.run(f"document.getElementById('{section}').hidden") is False
        assert tab.run("document.scrollingElement.scrollWidth") <= width
        ink, paper = (tab.run(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
        assert contrast(ink, paper) >= 7
        tab.run("document.getElementById('begin').click()")
    assert tab.run("Math.min(...[...document.querySelectorAll('.rates label')].map(one => one.clientHeight))") >= 38


def contrast(one: str, other: str) -> float:
    """As WCAG counts it, of two `rgb(...)`."""
    light = []
    for text in (one, other):
        red, green, blue = map(int, text[4:-1].split(","))
        light.append(luminance((red, green, blue)))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_nothing_is_asked_of_any_network_and_no_other_script_runs(tab: Browser, study: MadeStudy) -> None:
    begin(tab, study, "alone")
    tab.run("window.more = document.createElement('script'), more.textContent = 'window.ran = true'")
    tab.run("document.body.append(more)")
    assert tab.run("window.ran") is None
    assert tab.run("fetch('https://example.com').then(() => 'sent', () => 'kept')") == "kept"
    assert {url for url in tab.asked_for if not url.startswith("file:///")} <= {"about:blank", "https://example.com/"}
