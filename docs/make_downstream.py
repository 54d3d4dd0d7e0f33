"""Puts what `benchmarks.downstream` came to into docs/downstream.md: `python docs/make_downstream.py out/downstream`.

Only what stands between `<!-- results -->` and `<!-- /results -->` is written, and the plot beside it.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("downstream.md")
PLOT = "downstream.svg"
_MARKED = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def filled(page: str, table: str) -> str:
    """The page with the tables of a run in their place."""
    text = f"![Mask AP and average precision over the number of real scenes]({PLOT})\n\n{table.strip()}\n"
    return _MARKED.sub(lambda match: f"{match[1]}{text}{match[2]}", page)


if __name__ == "__main__":
    made = Path(sys.argv[1])
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), (made / "table.md").read_text("utf-8")), encoding="utf-8")
    shutil.copy(made / PLOT, PAGE.with_name(PLOT))
