"""`unscene check`: everything that can be known of a job without work, a line each, right or wrong. Nothing stays
written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.asked import check_asked
from pipeline.commands.estimate import other_settings
from pipeline.commands.named import asks_subsets, named_templates
from pipeline.commands.notified import check_notify
from pipeline.commands.survey import survey, work_from_handles
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.ledger.run_record import NAME, revisions
from pipeline.shards.account import line_text
from pipeline.shards.given_account import given_text
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from pipeline.watching.snapshot import typed_before
from pipeline.wording import counted, within
from schemas.errors import JobError, OutputError
from schemas.job import JobSpec
from stages.ingest.drawn_into import look_at_all
from stages.ingest.receivers import receivers
from stages.models.check import check_models

_SHOWN = 10


@dataclass(frozen=True)
class Checked:
    """A thing that was looked at. wrong: the sentence with the remedy, where it keeps the job from starting; said:
    what was found, with lines of more below."""

    what: str
    said: list[str]
    wrong: str | None = None

    @property
    def name(self) -> str:
        """The field that its sentence opens with, or else what was looked at."""
        field = re.match(r"[a-z]\w*(\.\w+)*(?=: )", self.wrong or "")
        return field[0] if field else self.what

    def lines(self) -> list[str]:
        """For a person: the thing and its verdict, one line, then what there is to say beside it."""
        first, *more = self.said or [""]
        return (
            [f"wrong  {self.wrong}"]
            if self.wrong
            else [f"ok     {self.what}: {first}", *(f"       {one}" for one in more)]
        )


def check_job(spec: JobSpec, methods: Mapping[str, JobSpec]) -> Iterator[Checked]:
    """Looks at models, source with its masks, prompts and OUTPUT of a job, each whatever the others come to.

    spec: with its paths made absolute. methods: name -> job, of a spec that compares methods; else empty.
    """
    jobs = list(methods.values()) or [spec]
    models = list(_all("models", lambda: _models(jobs)))
    yield from models
    right = not any(checked.wrong for checked in models)
    given = list(_all("generate.place.given", lambda: _given(spec, right)) if spec.generate.place.given else ())
    yield from given
    source = list(_all("source", lambda: _source(spec, not any(checked.wrong for checked in given))))
    told = {checked.wrong for checked in models}
    yield from (checked for checked in source if checked.wrong is None or checked.wrong not in told)
    if right:
        yield from _all("prompts", lambda: _prompts(jobs))
    if not any(checked.name == "output" for checked in (*given, *source)):  # it is told there what is wrong with it
        yield from _all("output", lambda: _output(spec, bool(methods)))
    if spec.notify.url is not None or spec.notify.command:
        yield from _all("notify", lambda: ["; ".join(check_notify(spec.notify))])


def _all(what: str, look: Callable[[], list[str]]) -> Iterator[Checked]:
    """What a look came to, or each of its mistakes."""
    try:
        yield Checked(what, look())
    except JobError as error:
        for text in error.args:
            yield Checked(what, [], str(text))


def _models(jobs: list[JobSpec]) -> list[str]:
    side = 0
    for job in jobs:
        side = check_models(job)
    spec = jobs[0]
    judges, learns = spec.evaluate.enabled, not spec.source.handles
    found = [f"base {spec.models.base}, pictures of {side} x {side} pixels"]
    name, field = spec.judges_sam
    own = judges and field == "evaluate.sam"
    if (judges and not own) or (learns and (own or spec.source.masks == "none")):
        found.append(f"sam {spec.models.sam}{_fetched(spec.models.sam)}")
    if own:
        found.append(f"evaluate.sam {name}{_fetched(name)}")
    if judges or (learns and spec.segment.vocabulary):
        found.append(f"clip {spec.models.clip}")
    if judges:
        found.append(f"identity {spec.models.identity}")
    return found


def _fetched(name: str) -> str:
    url = "://" in name and not name.startswith("file://")
    return " (a download, which the run makes once a machine)" if url else ""


def _source(spec: JobSpec, hashed: bool) -> list[str]:
    """hashed: whether all else that the spec names can be hashed."""
    if spec.source.handles is None:
        return [line.removeprefix("source: ") for line in survey(spec, Storage(spec.output)).lines]
    work = work_from_handles(spec, Storage(spec.output))
    if hashed:
        revisions(spec)  # refuses another base than the handles'
    return [f"{counted(work.known, 'scene')} with handles under {spec.source.handles}"]


def _given(spec: JobSpec, read: bool) -> list[str]:
    """read: whether the base is right, whose side they are prepared for; else they are only listed."""
    listed, place = receivers(spec), spec.generate.place.given
    if not read:
        masks = counted(sum(len(picked.masks) for picked in listed), "mask")
        return [f"{counted(len(listed), 'picture')} with {masks}, under {place}"]
    found = look_at_all(spec)
    more = len(found.lines) - _SHOWN
    return [
        f"{given_text(found)}, under {place}",
        *(within(line_text(line.row()), place) for line in found.lines[:_SHOWN]),
        *([f"... and {more} more; a run writes them all to account/"] if more > 0 else []),
    ]


def _prompts(jobs: list[JobSpec]) -> list[str]:
    notes = dict.fromkeys(line for job in jobs for line in check_asked(job))
    asked, named = jobs[0].generate, len(named_templates(jobs[0]))
    whom = []
    if asks_subsets(jobs[0]):
        whom.append(_subsets(asked.subsets))
    if named:
        whom.append(f"the concepts that {'they name' if not whom else f'{named} of them name'}")
    said = f"{counted(len(asked.prompts), 'prompt')}, {asked.images_per_prompt} of each for {', or '.join(whom)}"
    return [said, *notes]


def _subsets(subsets: Sequence[str] | Sequence[Sequence[int]]) -> str:
    """As a person reads them: `singles and union`, or `concepts 0, 0+1` by their numbers."""
    if all(isinstance(one, str) for one in subsets):
        return " and ".join(str(one) for one in subsets)
    return f"concepts {', '.join('+'.join(str(number) for number in one) for one in subsets)}"


def _output(spec: JobSpec, compares: bool) -> list[str]:
    storage = Storage(spec.output)
    if storage.local:
        _check_folder(storage)
    else:
        check_writable(storage)
    if NAME not in storage.names(""):
        return [f"{storage.url}, which holds no job yet"]
    if compares:
        raise OutputError(f"output: {spec.output} holds a job of its own; give the evaluation another folder")
    other = other_settings(spec, storage)
    if other.locked:
        before = typed_before(storage)
        raise OutputError(
            f"{storage.url} was made with other settings ({'; '.join(other.locked)}); put the fields back"
            f"{f' (the last run there was `{before}`)' if before else ''}, or give the job a new output"
        )
    plan, counts = read_plan(storage), committed_counts(storage, kinds_of(spec))
    done = ", ".join(f"{stage} {made}" for stage, (made, _) in counts.items())
    lines = [f"{storage.url}, which this job has begun: {counted(plan.scene_count(), 'scene')} planned; done: {done}"]
    return lines + ([f"set anew for the stages to come: {'; '.join(other.free)}"] if other.free else [])


def _check_folder(storage: Storage) -> None:
    """Whether the folder can be written or made, without making it: a check leaves nothing behind."""
    place = Path(storage.root)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"output: cannot write under {storage.url} ({place} is no folder of yours); name another")
