"""Puts the table and the plot of an evaluation into docs/protocol.md: `python docs/make_protocol.py out/protocol`.

Only what stands between `<!-- results -->` and `<!-- /results -->` is written.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("protocol.md")
PLOT = "protocol.svg"
_MARKED = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def filled(page: str, table: str) -> str:
    """The page with the table of an evaluation in its place."""
    text = f"![Prompt similarity against identity similarity]({PLOT})\n\n{table.strip()}\n"
    return _MARKED.sub(lambda match: f"{match[1]}{text}{match[2]}", page)


if __name__ == "__main__":
    made = Path(sys.argv[1]) / "protocol"
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), (made / "table.md").read_text("utf-8")), encoding="utf-8")
    shutil.copy(made / "scatter.svg", PAGE.with_name(PLOT))
