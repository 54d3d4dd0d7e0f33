"""The report in a real browser, where one is installed: what breaks, and what shows that it goes on sideways."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.report.page import write_report
from tests.support.browser import Browser, browser
from tests.support.sample_output import SampleOutput


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    page = Path(write_report(SampleOutput(folder / "out").storage))
    with browser(folder) as opened:
        opened.screen(390, 844)
        opened.open(page)
        opened.run("document.documentElement.style.scrollBehavior = 'auto'")
        yield opened


def test_names_of_errors_are_whole_words_beside_long_messages(tab: Browser) -> None:
    tab.screen(1280, 900)
    lines = tab.run("""[...document.querySelectorAll('table[aria-label=Failures] tbody tr')].map(row => {
        row.children[2].textContent = 'PictureTooLarge';
        row.children[3].textContent = 'cannot be decoded; '.repeat(40);
        const text = document.createRange();
        text.selectNodeContents(row.children[2]);
        return text.getClientRects().length;
    })""")
    assert lines == [1, 1]
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_sideways_shows_it_at_that_side(scheme: str, tab: Browser, tmp_path: Path) -> None:
    tab.screen(390, 844, scheme)
    tab.run("document.querySelector('[aria-label=Stages]').scrollIntoView()")
    tab.run("document.querySelector('[aria-label=Stages]').scrollLeft = 0")
    assert tab.run("document.querySelector('[aria-label=Stages]').scrollWidth") > 390

    def shaded() -> tuple[bool, bool]:
        """Whether the left and the right edge of the table, beside its last line, differ from what is inside."""
        box = tab.run("(({left, right, bottom}) => [left, right, bottom])"
                      "(document.querySelector('[aria-label=Stages]').getBoundingClientRect())")  # fmt: skip
        tab.photograph(tmp_path / "shot.png", whole=False)
        shot = np.asarray(Image.open(io.BytesIO((tmp_path / "shot.png").read_bytes())).convert("L"), dtype=float)
        left, right, bottom = map(round, box)
        row = shot[bottom - 12, :]
        return abs(row[left + 3] - row[195]) > 12, abs(row[right - 4] - row[195]) > 12

    assert shaded() == (False, True)
    tab.run("document.querySelector('[aria-label=Stages]').scrollLeft = 10000")
    assert shaded() == (True, False)


def test_a_section_is_where_its_link_leads_though_pictures_come_late(tmp_path: Path) -> None:
    """At 390 px the way led past pictures that had no height yet, and ended 1,248 px above the failures."""
    page = Path(write_report(SampleOutput(tmp_path / "out", scenes=30).storage))
    with browser(tmp_path) as opened:
        opened.screen(390, 844)
        opened.open(page)
        height = "document.documentElement.scrollHeight"
        before = opened.run(f"document.querySelectorAll('details').forEach(one => {{ one.open = true; }}), {height}")
        opened.run("document.querySelector('nav a[href=\"#account\"]').click()")
        opened.wait_for("Math.abs(document.getElementById('account').getBoundingClientRect().top) < 2")
        opened.run("[...document.images].forEach(image => { image.loading = 'eager'; })")
        opened.wait_for("[...document.images].every(image => image.complete)")
        assert opened.run(height) == before
