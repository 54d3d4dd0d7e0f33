"""`unscene study --analyse`: from raters' files to table, plot and page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from pipeline.report.template import load_template
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from pipeline.study.analysis import table as tables
from pipeline.study.analysis.answers import read_answers
from pipeline.study.analysis.findings import ASPECT_TITLES, Findings, findings_of, title
from pipeline.study.analysis.plot import plot
from pipeline.study.analysis.table import table
from pipeline.study.making import FOLDER, KEY, read_key
from pipeline.study.questions import ASPECTS
from schemas.errors import OutputError

PAGE, TABLE, PLOT = "results.html", "results.md", "results.svg"


def study_at(output: Storage) -> Storage:
    """The folder of the study of an OUTPUT, or the folder itself where it is one of a study.

    Raises OutputError where neither holds one.
    """
    below = Storage(output.url_of(FOLDER))
    for folder in (below, output):
        if folder.exists(KEY):
            return folder
    raise OutputError(
        f"{output.url}: no study there ({FOLDER}/{KEY} is missing); name the folder that `unscene study` wrote to"
    )


def analyse_answers(files: Sequence[str], home: Storage | None, into: Storage) -> Iterator[str]:
    """Writes results.md, results.svg and results.html to `into`; yields the table, then where they are. home: the
    study's folder, if it is known.

    Raises CommandError for files that cannot be read together, or where nothing is left to compare.
    """
    findings = findings_of(read_answers(files, read_key(home) if home is not None else None))
    text, drawing = table(findings), plot(findings)
    check_writable(into)
    into.write(TABLE, text.encode())
    into.write(PLOT, drawing.encode())
    into.write(PAGE, _page(findings, drawing).encode("utf-8", "replace"))
    yield text.rstrip("\n")
    yield f"results: {into.url_of(PAGE)}"


def _page(findings: Findings, drawing: str) -> str:
    return load_template("pipeline.study.analysis", tables=tables, title=title).render(
        findings=findings, plot=Markup(drawing), aspects=ASPECTS, titles=ASPECT_TITLES
    )
