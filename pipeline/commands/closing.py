"""What a finished run says last."""

from __future__ import annotations

import shlex

from pipeline.commands.asked import subset_lines
from pipeline.commands.named import asks_subsets
from pipeline.commands.run import JobResult
from pipeline.commands.status import failure_lines
from pipeline.ledger.committed import Committed
from pipeline.ledger.rounds import FAILURES
from pipeline.ledger.run_record import read_record, recorded_spec, recorded_stages
from pipeline.report.card import foreign_card, foreign_text
from pipeline.shards.account import account_counts, account_rows, account_text, is_told, line_text
from pipeline.shards.quality import quality_lines
from pipeline.shards.scores import ScoreNumbers, score_numbers
from pipeline.storage.folder import Storage
from pipeline.wording import counted, span, within
from schemas.errors import Withdrawn
from schemas.outcomes import BEYOND

_SHOWN = 10


def closing_lines(storage: Storage, result: JobResult) -> list[str]:
    """What a finished run says last: what was made, what failed and why, where to look."""
    spec = recorded_spec(storage)
    made = {stage: done for stage, (done, _) in result.counts.items()}
    # The account knows the failures of stages after --until too, which an earlier run went through.
    stages = recorded_stages(read_record(storage), spec) if result.until else list(made)
    committed = Committed(storage, [*made, *stages, FAILURES])
    concepts, handles, variations = (
        committed.rows(stage) if stage in made else 0 for stage in ("segment", "extract", "generate")
    )
    last = result.until if result.until in made else next(reversed(made), "ingest")
    what = [_of_all(made[last], _failed_by(result, last))] if last in made else []
    what += [counted(concepts, "concept")] if concepts and result.until else []
    what += [counted(handles, "handle")] if handles else []
    if "generate" in made or not result.until:
        what += [f"{counted(variations, 'variation')} of {counted(made.get('generate', 0), 'scene')}"]
    scores = score_numbers(storage, committed) if "evaluate" in made else ScoreNumbers()
    what += [counted(scores.count, "score")] if scores.count else []
    lines = _made_lines(result, ", ".join(what))
    lines += quality_lines(storage, scores, spec, trained=handles > 0 or bool(variations and spec.source.handles))
    if "generate" in made:
        lines += subset_lines(spec)
    lines += _account_lines(storage, committed, unfinished=result.until is not None)
    lines += [*failure_lines(storage, stages, committed), f"output: {storage.url}"]
    if storage.exists("report/index.html"):
        lines.append(f"report: {storage.url_of('report/index.html')}")
    if foreign_card(storage):
        lines.append(foreign_text(storage))
    if result.until and not made.get(last):
        return lines  # nothing goes on from there
    if result.until and result.worked:
        lines.append(f"stopped after {result.until}, as asked; the same command without --until goes on from there")
    elif result.until:
        lines.append(f"went no further, as --until {result.until} asks; the same command without it goes on from there")
    return lines


def _failed_by(result: JobResult, last: str) -> int:
    """Scenes that have failed in a stage or before it."""
    names = list(result.counts)
    return sum(failed for _, failed in list(result.counts.values())[: names.index(last) + 1])


def _of_all(done: int, failed: int) -> str:
    """`10 of 14 scenes`, where some have failed; the account says of all what became of them."""
    return f"{done:,} of {counted(done + failed, 'scene')}" if failed else counted(done, "scene")


def _made_lines(result: JobResult, what: str) -> list[str]:
    """What this run has made, and apart from it what is there in all, where it has not made it all."""
    took = f"in {span(result.seconds)}"
    if not result.worked:
        return [f"in all: {what}"]
    if result.made in ({}, result.counts):
        return [f"made {what} {took}"]
    made = [
        f"{stage} {done}" + (f" and {failed} failed" if failed else "")
        for stage, (done, failed) in result.made.items()
        if done or failed
    ]
    return [f"this run: {', '.join(made) or 'no scene, files only'}, {took}", f"in all: {what}"]


def _account_lines(storage: Storage, committed: Committed, unfinished: bool) -> list[str]:
    """What became of every file and annotation: counts, then the first lines of what was left out or not used."""
    counts = account_counts(storage, committed)
    lines = account_text(counts, unfinished)
    told = sum(count for (_, outcome, reason), count in counts.items() if is_told(outcome, reason))
    source = recorded_spec(storage).source.uri
    lines += [f"  {within(line_text(row), source)}" for row in account_rows(storage, _SHOWN, committed)]
    if told > _SHOWN:
        lines.append(f"  ... and {told - _SHOWN} more in {storage.url_of('account')}")
    if beyond := counts["file", "left out", BEYOND]:
        rest = "the same command with a higher one, or none, goes on with the rest"
        lines.append(f"{counted(beyond, 'file')} beyond the limit: {rest}")
    return lines


def nothing_to_do(result: JobResult, retry: bool) -> str:
    """What a run says that has found nothing to do. retry: whether it was to try what had failed."""
    done = f"through {result.until}" if result.until else "committed"
    text = f"every scene of the plan is {done}"
    if retry:
        again = " that can be tried again" if any(failed for _, failed in result.counts.values()) else ""
        text = f"no scene has failed{again}"
    return f"nothing to do: {text}" + (", but for the changed ones" if result.stale else "")


def nothing_made(storage: Storage, result: JobResult) -> str | None:
    """Where a finished run has made nothing at all: one sentence that names the first stage which did not. None where
    every stage has made something, where there was no scene, and where the scenes were all withdrawn."""
    spec = recorded_spec(storage)
    more = " and another one to be replaced" if spec.generate.replaces else ""
    asked = "generate.subsets" if asks_subsets(spec) else "generate.prompts"
    scenes = sum(next(iter(result.counts.values()), (0, 0)))
    committed = Committed(storage, list(result.counts))
    lost: set[str] = set()
    for stage, (done, failed) in result.counts.items():
        lost |= committed.errors(stage).keys()
        # A scene can be done with no picture: it has none of the subsets.
        if not scenes or (done and (stage != "generate" or committed.rows(stage))):
            continue
        if lost == {Withdrawn.__name__}:
            return None
        if failed or not done:
            mend = f"mend what failures/ names, then `unscene retry {shlex.quote(storage.url)}`"
            if result.until:
                mend = "mend the files, which the same command takes up"
            return (
                f"{storage.url}: {stage} made nothing, as every scene failed ({scenes}); {_more(storage)}{mend}; for "
                "other settings, give the job a new output"
            )
        return (
            f"{storage.url}: {stage} made nothing of {counted(done, 'scene')}, which do not have the concepts of "
            f"{asked}{more}; ask for others with source.handles, in an output of their own"
        )
    return None


def _more(storage: Storage) -> str:
    """What a job of the first few pictures can do besides, where none of those few was good: take more of them."""
    beyond = account_counts(storage)["file", "left out", BEYOND]
    if not beyond:
        return ""
    limit = recorded_spec(storage).source.limit
    return f"raise --limit (source.limit: {limit}), which leaves {counted(beyond, 'picture')} out, or "
