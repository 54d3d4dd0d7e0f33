"""`unscene report`: one HTML page that shows what an OUTPUT holds. It loads nothing from anywhere.

A corpus has more scenes than a page: at most `MAX_SCENES` are shown, evenly spread, and their thumbnails share
`IMAGE_BYTES`. File names and error messages come from strangers: Jinja escapes everything, and the page's own
Content-Security-Policy forbids scripts and requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.ledger.numbers import RunNumbers, run_numbers
from pipeline.ledger.plan import Plan, read_plan
from pipeline.ledger.run_record import read_record, recorded_spec
from pipeline.report.scenes import MAX_VARIATIONS, MOST_BYTES, SceneReader, SceneView, spread
from pipeline.report.settings import changed_settings, duplicates_of
from pipeline.report.template import load_template
from pipeline.shards.account import account_counts, account_rows, account_text
from pipeline.shards.scores import kind_of, score_numbers
from pipeline.storage.folder import Storage
from pipeline.wording import size_text, span, stamp
from schemas.job import JobSpec

NAME = "report/index.html"
MAX_SCENES = 100
MAX_LEFT_OUT = 200
"""Lines of the account on the page."""
IMAGE_BYTES = 8_000_000
"""All thumbnails together, before base64; the page stays under 15 MB."""


def write_report(storage: Storage) -> str:
    """Writes `report/index.html` of an OUTPUT, finished or not, and returns where it is.

    Raises OutputError when there is no job.
    """
    spec, record = recorded_spec(storage), read_record(storage)
    earlier = Storage(spec.source.handles) if spec.source.handles else None
    plan = read_plan(storage)
    numbers = run_numbers(storage, earlier, spec, record, plan)
    home = "extract" if earlier is not None else "ingest"
    chosen = spread(numbers.stages[home].per_shard, MAX_SCENES)
    shown = sum(map(len, chosen.values()))
    reader = SceneReader(storage, earlier, min(MOST_BYTES, IMAGE_BYTES // max(1, shown * (MAX_VARIATIONS + 2))))
    page = "".join(_render(storage, spec, record, plan, numbers, shown, reader.views(chosen, home)))
    storage.write(NAME, page.encode("utf-8", "replace"))
    return storage.url_of(NAME)


def _render(
    storage: Storage,
    spec: JobSpec,
    record: dict[str, Any],
    plan: Plan,
    numbers: RunNumbers,
    shown: int,
    scenes: Iterator[SceneView],
) -> Iterator[str]:
    """The page, piece by piece: a scene is read when its turn comes."""
    filters = {"span": span, "size": size_text, "stamp": stamp, "share": _share, "score": _score, "reason": kind_of}
    template = load_template("pipeline.report", filters)
    stages = numbers.stages
    known = stages["extract"] if spec.source.handles else stages["ingest"]
    count, duplicates = duplicates_of(plan)
    yield from template.generate(
        output=storage.url,
        spec=spec,
        record=record,
        plan=plan,
        numbers=numbers,
        shown=shown,
        scenes=scenes,
        total=known.done,
        changes=changed_settings(spec),
        duplicate_count=count,
        duplicates=duplicates,
        account=account_text(account_counts(storage)),
        left_out=[row for row in account_rows(storage, MAX_LEFT_OUT) if row["outcome"] != "duplicate"],
        handle_count=stages["extract"].rows,
        variation_count=stages["generate"].rows,
        scores=score_numbers(storage),
        model_revision=record.get("fields", {}).get("models.base"),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
