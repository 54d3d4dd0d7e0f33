"""The report, read back as a browser would: what it says, what it escapes, and that it loads nothing."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.report import page as report
from pipeline.report.page import write_report
from pipeline.report.settings import changed_settings
from pipeline.report.thumbnails import OPACITY, PALETTE
from pipeline.stage_kinds import EXTRACT, GENERATE, INGEST, SEGMENT
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from tests.support.sample_output import BROKEN, ODD_NAMES, PROMPTS, SampleOutput, picture_colour, with_given_handles

VOID = {"meta", "img", "input", "br", "line", "circle", "polygon", "polyline", "path"}


class Page(HTMLParser):
    """tags: (name, attributes) in order; text: what a person reads, of the page and of each scene."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scenes, self.styles = "", [], ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.handle_data(" ")
        if tag == "article":
            self.scenes.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.styles += data
            return
        self.text += data
        if "article" in self._open:
            self.scenes[-1] += data

    def images(self, alt: str) -> list[str]:
        return [attrs["src"] or "" for tag, attrs in self.tags if tag == "img" and alt in (attrs["alt"] or "")]


def page_of(storage: Storage) -> Page:
    return Page(Path(write_report(storage)).read_text("utf-8"))


def scene_ids(page: Page) -> list[str]:
    return [(attrs["id"] or "").removeprefix("scene-") for tag, attrs in page.tags if tag == "article"]


def flat(text: str) -> str:
    return " ".join(text.split())


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    return SampleOutput(
        tmp_path_factory.mktemp("sample") / "out",
        scenes=6,
        variations=2,
        settings={"extract.lora.rank": 8, "models.base": "own/base"},
    )


@pytest.fixture(scope="module")
def page(sample: SampleOutput) -> Page:
    return page_of(sample.storage)


def test_numbers_of_the_run(page: Page) -> None:
    text = flat(page.text)
    assert "6 scenes 10 handles 20 variations 2 failures 1 duplicate Stage" in text
    assert "extract.lora.rank 8 (default 4)" in text
    assert "models.base own/base (default seedling)" in text
    assert "extract.lora.text_encoder" not in text  # it is the default
    assert "f1" * 32 in text
    assert "torch 2.9.9" in text
    assert "Unfinished" not in text
    assert "extract 5 1 2 of 2 10 " in text  # done, failed, shards, rows


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "image", "use", "form"})
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            assert not name.startswith("on"), f"{tag} {name}"
            assert name not in ("srcset", "poster", "action", "xlink:href"), f"{tag} {name}"
            if name == "src":
                assert (value or "").startswith("data:image/webp;base64,")
            if name == "href":
                assert (value or "").startswith("#")
            assert "://" not in (value or ""), f"{tag} {name}={value}"
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert "default-src 'none'" in (policy or "")


def test_names_from_strangers_are_text(sample: SampleOutput, page: Page) -> None:
    raw = Path(write_report(sample.storage)).read_text("utf-8")
    assert "<script" not in raw
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.jpg" in raw
    assert "<img src=x" not in raw  # a failure's message
    assert "cannot decode <img src=x onerror=alert(1)>" in page.text
    for name in ODD_NAMES:
        assert name in page.text
    assert any(ODD_NAMES[1] in (attrs.get("alt") or "") for tag, attrs in page.tags if tag == "img")


def test_every_image_says_what_it_shows(page: Page) -> None:
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 6 * (2 + 1 + 1) + 5 * 4  # of a scene: its two, in its fold, on the contact sheet
    assert all((attrs.get("alt") or "").strip() for attrs in images)
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    plots = [attrs for attrs in drawings if attrs["class"] == "plot"]
    assert all("loss" in (attrs["aria-label"] or "") for attrs in plots)
    assert len(plots) == 5 * 2  # the prior's curve is all zeros: nothing to draw


def test_a_scene_is_shown_with_its_own_picture_masks_and_variations(sample: SampleOutput, page: Page) -> None:
    planned = [
        row["scene_id"]
        for shard in range(2)
        for row in sample.plan.rows(shard)
        if row["uri"] != BROKEN and row["duplicate_of"] is None
    ]
    order = [sample.number_of(scene_id) for scene_id in sorted(planned, key=lambda found: found != sample.failing)]
    pictures, overlays = page.images("The picture"), page.images("concept masks in colour")
    assert len(pictures) == len(overlays) == len(order) == 6
    for number, picture, drawn in zip(order, pictures, overlays, strict=True):
        plain = np.array(picture_colour(number))
        assert np.abs(decoded(picture)[16, 16] - plain).max() < 12
        masked = decoded(drawn)
        assert np.abs(masked[16, 0] - plain).max() < 20  # outside both masks
        for index, x in ((0, 8), (1, 24)):
            tint = plain * (1 - OPACITY) + np.array(PALETTE[index]) * OPACITY
            assert np.abs(masked[16, x] - tint).max() < 20
    last = flat(page.scenes[-1])
    assert "<asset0> cat" in last
    assert "28.1 % 0.913 0.957 0.5" in last  # 24 x 12 of 32 x 32 pixels
    for prompt in PROMPTS:
        assert prompt in last
    assert re.findall(r"seed (\d+)", last) == ["7000", "7001", "7002", "7003"]
    assert "dashed line: phase 2 begins" in last
    assert "diffusion: highest 0.2, 0.0123 at the end" in last


def test_the_account_of_the_source(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "account of 8 files: 1 duplicate, 7 scenes (2 failed) failed in extract: 1 same bytes: 1" in text


def test_failures_and_duplicates(page: Page) -> None:
    text = flat(page.text)
    assert f"ingest {BROKEN} FileBroken cannot decode <img src=x onerror=alert(1)> 1" in text
    assert re.search(r"extract /photos/\S.* SceneError diverged at phase 1 step 7 <b> 3", text)
    assert f"/photos/9999/copy.jpg /photos/0000/{ODD_NAMES[0]}" in text
    failed = next(scene for scene in page.scenes if "Failed in extract" in scene)
    assert "No handles yet" not in failed
    assert "seed" not in failed


def test_without_variations(tmp_path: Path) -> None:
    page = page_of(SampleOutput(tmp_path / "out", variations=0).storage)
    assert "handles 0 variations" in flat(page.text)
    assert not page.images("Variation")
    assert len(page.images("The picture")) == 4


def test_a_job_still_at_work(tmp_path: Path) -> None:
    half = page_of(SampleOutput(tmp_path / "half", scenes=6, shards=1).storage)
    assert "Unfinished. 1 of 2 shards still has work to do" in flat(half.text)
    assert 0 < len(half.scenes) < 6
    early = page_of(SampleOutput(tmp_path / "early", stages=(INGEST, SEGMENT)).storage)
    assert "2 of 2 shards still have work" in flat(early.text)
    assert all("No handles yet" in scene for scene in early.scenes)
    assert len(early.images("concept masks")) == 4
    pictures = page_of(SampleOutput(tmp_path / "pictures", stages=(INGEST,)).storage)
    assert all("No concepts yet" in scene for scene in pictures.scenes)
    handles = page_of(SampleOutput(tmp_path / "handles", stages=(INGEST, SEGMENT, EXTRACT)).storage)
    assert sum("No variations yet" in scene for scene in handles.scenes) == 3
    planned = page_of(SampleOutput(tmp_path / "planned", shards=0).storage)
    assert "No scene is committed yet" in planned.text


def test_committed_but_not_yet_readable_files_cost_a_picture_not_the_page(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out")
    (tmp_path / "out/variations/variations-000001.tar").unlink()
    (tmp_path / "out/handles/handles-000001.parquet").unlink()
    tar = tmp_path / "out/scenes/scenes-000001.tar"
    tar.write_bytes(b"\0" * tar.stat().st_size)
    page = page_of(sample.storage)
    assert len(page.scenes) == 4
    assert "not readable" in page.scenes[-1]
    assert "picture not readable" not in page.scenes[0]


def test_output_of_a_job_with_given_handles(tmp_path: Path) -> None:
    earlier = SampleOutput(tmp_path / "earlier", scenes=6)
    page = page_of(with_given_handles(tmp_path / "more", earlier, variations=1))
    text = flat(page.text)
    assert "extract (given) 5" in text
    assert len(page.images("The picture")) == len(page.images("concept masks")) == 5
    assert len(page.images("Variation")) == 10
    assert "<asset0>" in page.scenes[0]
    assert "0001/" in text
    titles = text.partition("Duplicates")[0]
    assert "/photos/" not in titles, "on a small sheet four names that begin with a long path are the same"
    assert "Failures None." in text  # the earlier job's failures are told in its own report
    assert not (tmp_path / "earlier/report").exists()


def test_more_scenes_than_a_page_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_SCENES", 4)
    sample = SampleOutput(tmp_path / "out", scenes=12, variations=7)
    page = page_of(sample.storage)
    assert "4 of 12 scenes: the 2 worst by their scores, and 2 evenly spread over the others" in flat(page.text)
    assert len(page.scenes) == len(set(scene_ids(page))) == 4
    assert set(scene_ids(page)) & set(sample.plan.scenes(0))
    assert set(scene_ids(page)) & set(sample.plan.scenes(1))
    full = next(scene for scene in page.scenes if "seed" in scene)
    assert "12 of 14" in full
    assert f"{scene_ids(page)[page.scenes.index(full)]}-*" in full, "where the others are"
    assert len(re.findall(r"seed \d+", full)) == 12


def test_no_job_no_report(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no run\.json"):
        write_report(Storage(str(tmp_path)))
    assert not (tmp_path / "report").exists()


def test_credentials_stay_out_of_the_page(tmp_path: Path) -> None:
    sample = SampleOutput(
        tmp_path / "out", stages=(INGEST,), settings={"source.storage_options": {"secret": "hunter2"}}
    )
    assert all("storage_options" not in name for name, _, _ in changed_settings(sample.spec))
    assert "hunter2" not in Path(write_report(sample.storage)).read_text()


def test_a_record_without_versions_is_enough(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", stages=(INGEST,))
    record = json.loads(sample.storage.read("run.json"))
    sample.storage.write("run.json", json.dumps({"spec": record["spec"]}).encode())
    assert len(page_of(sample.storage).scenes) == 4


def test_scores_stand_with_their_variations_and_in_one_line(page: Page) -> None:
    """In the sample the last of each scene's four variations repeats the first."""
    text = flat(page.text)
    kept = "Kept 15 of 20 (concepts found); 20 of the 20 show every concept asked for once (100 %)"
    assert f"{kept}; not kept: 5 near-duplicates" in text
    assert "are kept" not in text.split("Contact sheet")[0]
    assert "Mean prompt similarity 0.25 by seedling , mean identity similarity 0.75 by seedling" in text
    last = flat(page.scenes[-1])
    assert last.count("prompt 0.25, identity 0.75") == 4
    assert last.count("not kept: near-duplicates") == 2  # under the picture, and counted under the scene's name:
    assert "3 of 4 good; 1 not kept: near-duplicates" in last
    dropped = [attrs for tag, attrs in page.tags if tag == "figure" and "dropped" in (attrs.get("class") or "")]
    assert len(dropped) == 5
    assert all("correlation 0.990 over 0.95" in (attrs["title"] or "") for attrs in dropped)
    assert len(page.images("not kept")) == 5


def test_without_scores_nothing_is_said_of_them(tmp_path: Path) -> None:
    page = page_of(SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT, EXTRACT, GENERATE)).storage)
    assert "Not scored" in page.text
    assert "show every concept" not in page.text
    assert "identity" not in page.text
    assert page.images("Variation")
