"""Say what each rule of `evaluate` would keep of the demo's pictures, and what it would lose.

    unscene run demo
    python -m models.training.base.measure_kept --output out/demo --truth demo/truth --reader models/seedling/reader

A picture is whole where the reader of facts sees every toy that it was asked for with all three facts right. Copies and
flat pictures are left out: no rule keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.base.measure_demo import arguments, scenes_and_toys
from models.training.reading.facts import assigned
from models.training.reading.network import FactReader, load_reader

Row = dict[str, Any]

RULES: dict[str, Callable[[Row], bool]] = {
    "any": lambda row: True,
    "found": lambda row: all(row["found"][index] for index in row["concepts"]),
    "complete": lambda row: bool(row["complete"]),
    "any, min_identity 0.9": lambda row: row["identity_similarity"] >= 0.9,
}
"""What the spec would say -> whether a row of SCORES would be kept."""


def judged(output: str, truth: Path, reader: FactReader) -> tuple[list[Row], NDArray[np.bool_]]:
    """The scores of a finished demo's pictures that are none of copies and flat, and which of them are whole."""
    rows: list[Row] = []
    whole: list[bool] = []
    for scene, _, toys in scenes_and_toys(output, truth):
        made = [one for one in scene.variations if not (one.scores["copy_of"] or one.scores["collapsed"])]
        seen = reader.read(np.stack([np.asarray(one.picture) for one in made]), most=3)
        for one, read in zip(made, seen, strict=True):
            asked = [toys[index] for index in one.row["concepts"]]
            known = [toy for toy in asked if toy is not None]
            right = assigned(known, [thing.toy for thing in read])
            whole.append(len(known) == len(asked) and all(all(facts) for facts in right))
            rows.append(one.scores)
    return rows, np.array(whole)


def main() -> None:
    """Print a line a rule."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    rows, whole = judged(args.output, args.truth, load_reader(args.reader))
    print(f"{len(rows)} pictures, {whole.mean():.3f} of them whole")
    for name, rule in RULES.items():
        kept = np.array([rule(row) for row in rows])
        share = f"{whole[~kept].mean():.2f} of those not kept whole" if not kept.all() else "all kept"
        print(
            f"{name}: kept {kept.sum()} ({kept.mean():.0%}), {whole[kept].mean():.3f} of them whole; "
            f"{(whole & ~kept).sum()} whole ones lost, {share}"
        )


if __name__ == "__main__":
    main()
