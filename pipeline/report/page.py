"""`unscene report`: HTML pages that show what an OUTPUT holds. They load nothing from anywhere.

`report/index.html` opens with the verdict and a contact sheet of all scenes shown, the worst first; the first of them
follow in full, the others on pages of their own (`report/scenes-0002.html` ...). Each page carries its pictures in
itself: a page that is mailed, or opened from a bucket by a signed address, is whole, and none is larger than opens at
once. File names and error messages come from strangers: Jinja escapes everything, and the pages' own
Content-Security-Policy forbids scripts and requests.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from jinja2 import Template

from pipeline.ledger.committed import Committed
from pipeline.ledger.numbers import RunNumbers, run_numbers
from pipeline.ledger.plan import Plan, read_plan
from pipeline.ledger.rounds import FAILURES
from pipeline.ledger.run_record import read_record, recorded_spec
from pipeline.ledger.scene_names import base_of
from pipeline.report.card import write_card
from pipeline.report.choices import choices_of
from pipeline.report.choosing import choose
from pipeline.report.damage import damage_of
from pipeline.report.facts import MAX_VARIATIONS, SceneFacts, gather
from pipeline.report.scenes import MOST_BYTES, SceneReader
from pipeline.report.settings import changed_settings, duplicates_of
from pipeline.report.template import load_template
from pipeline.report.verdict import verdict_of
from pipeline.report.views import SceneView
from pipeline.shards.account import account_counts, account_rows, account_text
from pipeline.shards.quality import cautions
from pipeline.shards.reader import OutputReader
from pipeline.shards.scores import kind_of, score_numbers
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.watching.snapshot import command_of, read_snapshot
from pipeline.wording import size_text, span, stamp
from schemas.errors import OutputError
from schemas.job import JobSpec

NAME = "report/index.html"
MAX_SCENES = 500
PAGE_SCENES = 24
"""Scenes in full on one page."""
MAX_LEFT_OUT = 200
"""Lines of the account on the page."""
IMAGE_BYTES = 2_500_000
"""All thumbnails of a page together, before base64; the contact sheet comes on top."""


def write_report(storage: Storage) -> str:
    """Writes the report of an OUTPUT and its card, finished or not, and returns where the report's first page is.

    Raises OutputError when there is no job.
    """
    spec, record = recorded_spec(storage), read_record(storage)
    earlier = Storage(spec.source.handles) if spec.source.handles else None
    plan = read_plan(storage)
    numbers = run_numbers(storage, earlier, spec, record, plan)
    home = "extract" if earlier is not None else "ingest"
    reader = OutputReader(storage, earlier)
    table = next(name for name, made_by in STAGE_OF.items() if made_by == home)
    facts = gather(reader, choose(reader, table, numbers.stages[home].per_shard, MAX_SCENES))
    pages = [facts[start : start + PAGE_SCENES] for start in range(0, len(facts), PAGE_SCENES)] or [[]]
    template = load_template("pipeline.report", _FILTERS)
    sheet: list[SceneView] = []
    root = base_of(plan, spec.source.uri)
    for number in range(len(pages), 0, -1):  # the first page last: its contact sheet is of all, and it names the others
        scenes = _views(reader, root, pages[number - 1])
        sheet[:0] = [_for_sheet(view) for view in scenes]
        words = _page_words(spec, storage, number, pages, facts, scenes)
        if number == 1:
            words |= _first_page(storage, spec, record, plan, numbers, facts)
            words |= {"sheet": sheet, "damage": damage_of(reader, facts)}
        _write(storage, name_of(number), template, words)
    _sweep(storage, len(pages))
    write_card(storage)
    return storage.url_of(NAME)


def name_of(number: int) -> str:
    """The file of a page under `report/`, from 1."""
    return "index.html" if number == 1 else f"scenes-{number:04d}.html"


def _views(reader: OutputReader, root: str, facts: list[SceneFacts]) -> list[SceneView]:
    thumbnails = sum(2 + min(MAX_VARIATIONS, scene.variations) for scene in facts)
    scenes = SceneReader(reader, root, min(MOST_BYTES, IMAGE_BYTES // max(1, thumbnails)))
    return list(in_order(scenes.view, facts))


def _for_sheet(view: SceneView) -> SceneView:
    """What the contact sheet needs of a scene; its larger pictures go with its page."""
    return SceneView(view.facts, view.name, tile=view.tile, tile_text=view.tile_text)


def _page_words(
    spec: JobSpec,
    storage: Storage,
    number: int,
    pages: list[list[SceneFacts]],
    facts: list[SceneFacts],
    scenes: list[SceneView],
) -> dict[str, Any]:
    """What every page says."""
    home = {scene.scene_id: name_of(page) for page, found in enumerate(pages, 1) for scene in found}
    return {
        "output": storage.url,
        "spec": spec,
        "number": number,
        "pages": [name_of(page) for page in range(1, len(pages) + 1)],
        "home": home,
        "shown": len(facts),
        "first": (number - 1) * PAGE_SCENES + 1,
        "scenes": scenes,
        "choices": choices_of(facts if number == 1 else pages[number - 1]),
    }


def _first_page(
    storage: Storage,
    spec: JobSpec,
    record: dict[str, Any],
    plan: Plan,
    numbers: RunNumbers,
    facts: list[SceneFacts],
) -> dict[str, Any]:
    """What the first page says besides: verdict, failures, account, settings."""
    committed = Committed(storage, [*(name for name, stage in numbers.stages.items() if not stage.given), FAILURES])
    stages, scores = numbers.stages, score_numbers(storage, committed)
    count, duplicates = duplicates_of(plan)
    total = (stages["extract"] if spec.source.handles else stages["ingest"]).done
    handles, variations = stages["extract"].rows, stages["generate"].rows
    unread = not spec.source.handles and len(stages["ingest"].per_shard) < plan.shards
    return {
        "verdict": verdict_of(
            scores, spec, numbers, variations, cautions(storage, scores, spec, handles > 0 or bool(spec.source.handles))
        ),
        "record": record,
        "plan": plan,
        "numbers": numbers,
        "scores": scores,
        "total": total,
        "worst": min(MAX_SCENES // 2, len(facts)) if scores.count and total > len(facts) else 0,
        "changes": changed_settings(spec),
        "duplicate_count": count,
        "duplicates": duplicates,
        **_account(storage, committed, numbers, unread),
        "handle_count": handles,
        "variation_count": variations,
        "model_revision": record.get("fields", {}).get("models.base"),
        "going_on": command_of(read_snapshot(storage)),
        "address": shlex.quote(storage.url),
        "handles_at": shlex.quote(spec.source.handles or storage.url),
    }


def _account(storage: Storage, committed: Committed, numbers: RunNumbers, unread: bool) -> dict[str, Any]:
    """What became of the source, of which not all may be read yet; or which part of the account is damaged, and what to
    do instead."""
    try:
        text = account_text(account_counts(storage, committed), numbers.unsettled > 0, unread)
        rows = [row for row in account_rows(storage, MAX_LEFT_OUT, committed) if row["outcome"] != "duplicate"]
    except OutputError as error:
        return {"account": [], "left_out": [], "account_lost": str(error)}
    return {"account": text, "left_out": rows, "account_lost": None}


def _write(storage: Storage, name: str, template: Template, words: dict[str, Any]) -> None:
    pieces: Iterator[str] = template.generate(**words)
    storage.write(f"report/{name}", "".join(pieces).encode("utf-8", "replace"))


def _sweep(storage: Storage, pages: int) -> None:
    """Takes away the pages of an earlier report that had more of them."""
    mine = {name_of(number) for number in range(1, pages + 1)}
    for name in storage.names("report"):
        if name.startswith("scenes-") and name.endswith(".html") and name not in mine:
            storage.delete(f"report/{name}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


_FILTERS = {"span": span, "size": size_text, "stamp": stamp, "share": _share, "score": _score, "reason": kind_of}
