"""OUTPUT/protocol/index.html: plot, tables and sample pictures on one page that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from pipeline.protocol.page.samples import pick_samples
from pipeline.protocol.page.table import TITLES, cell
from pipeline.protocol.statistics.claims import REFERENCE
from pipeline.protocol.statistics.measures import MEASURES
from pipeline.protocol.statistics.summary import Summary
from pipeline.report.template import load_template
from pipeline.storage.folder import Storage
from schemas.job import JobSpec


def page_pieces(spec: JobSpec, home: Storage, summary: Summary, plot: str) -> Iterator[str]:
    """The page, piece by piece. plot: the scatter's SVG, which is ours and goes in as it is."""
    yield from load_template("pipeline.protocol.page", cell=cell).generate(
        spec=spec,
        summary=summary,
        plot=Markup(plot),
        titles=TITLES,
        reference=REFERENCE,
        measures=MEASURES,
        measure_of={measure.name: measure for measure in MEASURES},
        samples=list(pick_samples(spec, home, summary.methods, summary.scenes)),
    )
