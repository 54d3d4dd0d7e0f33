"""Words of strangers stay words on the page, wherever they stand: it has the tags that it has with harmless ones."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.planning import write_source_account
from pipeline.report.page import write_report
from schemas.outcomes import AccountLine, Failure, SceneOutput
from tests.support import sample_output
from tests.support.sample_output import BROKEN, SampleOutput

NASTY = (
    "</title></style></svg><script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)' style=\"background:url(//x)\" x='",
    "javascript:alert(1)//`${1}`{{ 7*7 }}{% raw %}&lt;b&gt;",
)
PLAIN = ("one", "two", "three")


class Tags(HTMLParser):
    """found: (tag, names of its attributes) in order; texts: all that is read; links: where they lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.texts = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "formaction")]
        self.texts += " ".join(value or "" for name, value in attrs if name in ("alt", "title", "aria-label"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.texts += data


def written(folder: Path, words: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> Tags:
    """The first page of a report in which every text that is not ours is made of these words."""
    first, second, third = words
    make_concept, make_handles, make_scores = (
        getattr(sample_output, name) for name in ("concept_row", "extracted", "scored")
    )

    def concept(scene_id: str, index: int, mask: Any) -> dict[str, Any]:
        return {**make_concept(scene_id, index, mask), "word": f"{first} {index}", "origin": third, "given": second}

    def handles(scene_id: str) -> SceneOutput:
        made: SceneOutput = make_handles(scene_id)
        for row in made.rows:
            row |= {"token": f"<{second}>", "word": third}
        return made

    def scores(variations: SceneOutput) -> SceneOutput:
        made: SceneOutput = make_scores(variations)
        for row in made.rows:
            row |= {"keep": False, "reason": f"{first} {third}", "text": second}
        return made

    def failure(scene_id: str, error: str, message: str, *more: Any) -> Failure:
        return Failure(scene_id, f"{first}Error", f"{second} {third}", first)

    with monkeypatch.context() as patch:
        patch.setattr(sample_output, "concept_row", concept)
        patch.setattr(sample_output, "extracted", handles)
        patch.setattr(sample_output, "scored", scores)
        patch.setattr(sample_output, "Failure", failure)
        patch.setattr(sample_output, "ODD_NAMES", tuple(f"{word.replace('/', '|')}.jpg" for word in words))
        patch.setattr(sample_output, "PROMPTS", (f"{first} <asset0>", f"{third} <asset0> {second} <asset1>"))
        settings = {
            "generate.prompts": [f"{first} {{handles}}", f"{second} {{handles}}"],
            "segment.vocabulary": [third],
            "models.sam": f"/models/{first}",
        }
        sample = SampleOutput(folder / words[0][:3].strip("<>/"), scenes=4, settings=settings)
    lines = [AccountLine("file", f"/photos/{word}", "left out", first, third) for word in words]
    write_source_account(sample.storage, [*lines, AccountLine("annotation", second, "left out", third, first, second)])
    return Tags(Path(write_report(sample.storage)).read_text("utf-8"))


def test_no_word_becomes_a_tag_an_attribute_or_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, nasty = (written(tmp_path, words, monkeypatch) for words in (PLAIN, NASTY))
    assert nasty.found == plain.found
    assert all(link.startswith(("#", "data:image/")) for link in nasty.links)
    for word, harmless in zip(NASTY, PLAIN, strict=True):
        assert harmless in plain.texts
        assert word in nasty.texts, "shown as it stands"
    assert BROKEN in nasty.texts
