"""The findings of a study as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.protocol.page.table import head, line
from pipeline.protocol.statistics.bootstrap import Interval
from pipeline.study.analysis.agreement import words
from pipeline.study.analysis.findings import ASPECT_TITLES, Findings, title
from pipeline.study.analysis.preferences import Level, Pair
from pipeline.study.analysis.significance import Tukey
from pipeline.study.questions import ASPECTS
from pipeline.wording import counted

NONE_FOUND = "no preference found"


def table(findings: Findings) -> str:
    """The whole of `results.md`; the same findings give the same text."""
    parts = [_opening(findings), _levels(findings), _pairs(findings), _agreement(findings), _tests(findings)]
    return "\n".join(text for part in parts for text in (*part, ""))


def summary_line(findings: Findings) -> str:
    return (
        f"Study {findings.study}: {counted(len(findings.counted), 'rater')}, {counted(findings.ratings, 'rating')} of "
        f"{len(findings.methods)} methods on {counted(findings.scenes, 'scene')}."
    )


def _opening(findings: Findings) -> Iterator[str]:
    yield summary_line(findings)
    for note in findings.notes:
        yield f"- {note}"


def _levels(findings: Findings) -> Iterator[str]:
    yield "Mean rating from 1 to 5, and share of comparisons with other methods in which it is preferred, equal ratings"
    yield "counting half [95 % interval, bootstrap over raters and scenes]."
    yield ""
    yield from head(["method", *(f"{ASPECT_TITLES[a]}: {what}" for a in ASPECTS for what in ("rating", "preferred"))])
    for name in findings.methods:
        cells = [cell for aspect in ASPECTS for cell in level_cells(findings.level(name, aspect))]
        yield line([title(name), *cells])


def level_cells(level: Level | None) -> tuple[str, str]:
    """Rating and share of one method, as the tables have them."""
    return ("–", "–") if level is None else (rating_cell(level.rating), share_cell(level.preferred))


def _pairs(findings: Findings) -> Iterator[str]:
    yield "Two by two: how often the first is preferred. Found is what holds for all of these looks together."
    for aspect in ASPECTS:
        yield ""
        yield from head([ASPECT_TITLES[aspect], "first preferred", "found", "comparisons"])
        for pair in findings.pairs:
            if pair.aspect == aspect:
                yield line([pair_name(pair), share_cell(pair.share), verdict(pair), str(pair.comparisons)])


def pair_name(pair: Pair | Tukey) -> str:
    return f"{title(pair.method)} over {title(pair.other)}"


def verdict(pair: Pair) -> str:
    return NONE_FOUND if pair.better is None else f"{title(pair.better)} is preferred"


def _agreement(findings: Findings) -> Iterator[str]:
    for aspect in ASPECTS:
        yield f"Agreement of raters, {ASPECT_TITLES[aspect]}: {agreement_text(findings.agreement.get(aspect))}."


def agreement_text(at: Interval | None) -> str:
    """Krippendorff's alpha and what it means."""
    if at is None:
        return "not to be told, as no picture was rated twice or all ratings are the same"
    return f"Krippendorff's alpha {_ends(at, 2)}, {words(at.mean)}"


def _tests(findings: Findings) -> Iterator[str]:
    yield "The paper's tests, which take every answer for one of its own, so that their p values are too small."
    for aspect in ASPECTS:
        yield ""
        found = findings.tests.get(aspect)
        if found is None:
            yield f"{ASPECT_TITLES[aspect]}: all ratings are the same, or of one method; nothing to test."
            continue
        yield f"{ASPECT_TITLES[aspect]}: Kruskal-Wallis H {found.h:.1f}, {p_text(found.p)}. Tukey's HSD:"
        yield ""
        yield from head(["difference", "of means", "adjusted p"])
        for pair in found.tukey:
            yield line([f"{title(pair.method)} - {title(pair.other)}", tukey_cell(pair), p_text(pair.p)])


def tukey_cell(pair: Tukey) -> str:
    return f"{pair.mean:+.2f} [{pair.low:+.2f}, {pair.high:+.2f}]"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def rating_cell(at: Interval) -> str:
    return _ends(at, 2)


def share_cell(at: Interval) -> str:
    """`62 % [55, 70]`."""
    ends = "" if at.low is None or at.high is None else f" [{100 * at.low:.0f}, {100 * at.high:.0f}]"
    return f"{100 * at.mean:.0f} %{ends}"


def _ends(at: Interval, digits: int) -> str:
    ends = "" if at.low is None or at.high is None else f" [{at.low:.{digits}f}, {at.high:.{digits}f}]"
    return f"{at.mean:.{digits}f}{ends}"
