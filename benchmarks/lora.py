"""Which LoRA settings are worth their bytes: rank, targets and learning rate against full tuning, on the seedling.

    python -m benchmarks.lora --out lora.json        # about 25 minutes of one core; --quick: seconds

Scenes are the demo's, with their true masks; no model has seen their objects. Every row is one setting of phase 2,
started from the same handles (phase 1 is trained once), as mean +- standard error over the scenes:

    fit         masked error on the training picture, over fixed timesteps and noise that no training draws; lower is
                closer to the picture
    identity    likeness of the generated concept to its true cut-out, 1 is the same, 0 another object (see
                `lora_instruments.py`; the first lines say what the instruments give where the truth is known)
    nearest     share of pictures whose nearest concept of all the demo's is the right one
    background  share of "a photo of <asset> in the snow" that show snow; backgrounds are never the scene's own
    prior       error on fresh base pictures of the prior's prompt, as a multiple of the base's own: forgetting
    other       the same for prompts that no training uses
    MB          a scene's file at the size of Stable Diffusion 2.1; seconds: CPU seconds of phase 2 a scene, one core

The search is one setting at a time: rates first, then targets and ranks at the best rate, and the neighbouring rates
for the widest and the narrowest targets. Best is the closest fit among rows that forget little (`other` at most
FORGETS): these two are read to a per cent, while identity, from a few dozen small pictures, is only good for
saying whether a row stands out. --out is written after every row and read at the start: a stopped study goes on.

    python -m benchmarks.lora --row attention_ff:4:1e-3 --row attention_ff_conv:16:1e-3      # these and no search
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lora_instruments import check
from benchmarks.lora_study import Sizes, Study
from benchmarks.models import SD21
from schemas.bundled import SETTINGS
from schemas.job import Extract, JobSpec
from stages.handles.cost import meta_unet
from stages.handles.sizes import handle_bytes

SD21_TEXTS = [
    {**text, "vocab_size": SD21["vocabulary"], "max_position_embeddings": SD21["tokens"]} for text in SD21["text"]
]
TARGETS = ("cross_kv", "attention", "attention_ff", "attention_ff_conv")
RANKS = (4, 8, 16, 32)
LORA_RATES, FULL_RATES = (3e-4, 1e-3, 3e-3), (3e-5, 1e-4, 3e-4)
FORGETS = 1.05
COLUMNS = ("fit", "identity", "nearest", "background", "prior", "other")


def lora(rank: int, targets: str, rate: float, steps: int, text_encoder: bool = True) -> dict[str, Any]:
    """The fields of `extract` that make one LoRA row."""
    return {
        "tuning": "lora",
        "phase2": {"steps": steps, "lr": rate},
        "lora": {"rank": rank, "targets": targets, "text_encoder": text_encoder},
    }


def full(rate: float, steps: int) -> dict[str, Any]:
    return {"tuning": "full", "phase2": {"steps": steps, "lr": rate}}


def row_name(changes: dict[str, Any]) -> str:
    rate = f"{changes['phase2']['lr']:g}"
    if changes["tuning"] == "full":
        return f"full, {rate}"
    factors = changes["lora"]
    return f"{factors['targets']}, rank {factors['rank']}, {rate}{'' if factors['text_encoder'] else ', UNet only'}"


def megabytes(changes: dict[str, Any]) -> float:
    """A scene of two handles at SD 2.1 size."""
    spec = JobSpec.model_validate({"source": {"uri": "x"}, "output": "x", "extract": changes})
    return handle_bytes(spec, meta_unet(SD21["unet"]), SD21_TEXTS) / 1e6


class Table:
    """Rows by name, each with one dictionary of measures a scene; kept in `out` after every row."""

    def __init__(self, out: Path | None, setting: dict[str, Any]) -> None:
        self.out, self.content = out, {"setting": setting, "rows": {}}
        if out is not None and out.exists():
            kept = json.loads(out.read_text())
            if kept["setting"] != setting:
                raise SystemExit(f"--out {out} holds a study of other settings; name another file")
            self.content = kept
        self.rows: dict[str, dict[str, Any]] = self.content["rows"]

    def add(self, name: str, row: dict[str, Any]) -> None:
        self.rows[name] = row
        print(self.line(name), flush=True)
        if self.out is not None:
            self.out.write_text(json.dumps(self.content, indent=1) + "\n")

    def line(self, name: str) -> str:
        row = self.rows[name]
        cells = [f"{name:38s}"]
        for column in COLUMNS:
            mean, error = mean_and_error([scene[column] for scene in row["scenes"] if scene])
            cells.append(f"{mean:6.3f} +-{error:5.3f}")
        lost = sum(scene is None for scene in row["scenes"])
        return " ".join([*cells, f"{row['megabytes']:8.2f} {row['seconds']:6.1f}"]) + (f" {lost} lost" if lost else "")

    def mean(self, name: str, column: str) -> float:
        return mean_and_error([scene[column] for scene in self.rows[name]["scenes"] if scene])[0]

    def best(self, names: list[str]) -> str:
        """The closest fit of the rows that forget little; of none such, the one that forgets least. A row that lost a
        scene is out.
        """
        sound = [name for name in names if all(self.rows[name]["scenes"])] or names
        kept = [name for name in sound if self.mean(name, "other") <= FORGETS]
        return min(kept, key=lambda n: self.mean(n, "fit")) if kept else min(sound, key=lambda n: self.mean(n, "other"))

    def against(self, name: str, other: str) -> str:
        """Scene by scene differences: the scenes' own spread falls out."""
        cells = [f"{name:38s}"]
        for column in COLUMNS:
            pairs = [
                (a[column], b[column])
                for a, b in zip(self.rows[name]["scenes"], self.rows[other]["scenes"], strict=True)
                if a and b
            ]
            mean, error = mean_and_error([a - b for a, b in pairs])
            cells.append(f"{mean:+6.3f} +-{error:5.3f}")
        return " ".join(cells)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error; NaN where there is too little."""
    if not values:
        return math.nan, math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else math.nan


def run(study: Study, table: Table, changes: dict[str, Any]) -> str:
    """Trains and measures one row unless it is there; returns its name."""
    name = row_name(changes)
    if name not in table.rows:
        weights, seconds = study.phase2(**changes)
        table.add(
            name,
            {
                "changes": changes,
                "seconds": seconds,
                "megabytes": megabytes(changes),
                "scenes": [None if w is None else study.measure(i, w) for i, w in enumerate(weights)],
            },
        )
    return name


def search(study: Study, table: Table, steps: int, rank: int, quick: bool) -> str:
    """All rows; returns the name of the best full one."""
    fulls = [run(study, table, full(rate, steps)) for rate in FULL_RATES[-1 if quick else 0 :]]
    rates = [run(study, table, lora(rank, "attention", rate, steps)) for rate in LORA_RATES[-1 if quick else 0 :]]
    rate = float(table.rows[table.best(rates)]["changes"]["phase2"]["lr"])
    if quick:
        run(study, table, lora(rank, "attention_ff_conv", rate, steps))
        return table.best(fulls)
    for targets in reversed(TARGETS):
        run(study, table, lora(rank, targets, rate, steps))
    for other in RANKS:
        run(study, table, lora(other, "attention", rate, steps))
    run(study, table, lora(rank, "attention", rate, steps, text_encoder=False))
    # Two more files under 4 MB at SD 2.1 size.
    run(study, table, lora(4, "attention_ff", rate, steps, text_encoder=False))
    run(study, table, lora(32, "cross_kv", rate, steps))
    # A step of the same rate moves many layers further than few.
    place = LORA_RATES.index(rate)
    run(study, table, lora(rank, TARGETS[-1], LORA_RATES[max(place - 1, 0)], steps))
    run(study, table, lora(rank, TARGETS[0], LORA_RATES[min(place + 1, len(LORA_RATES) - 1)], steps))
    return table.best(fulls)


def read_row(words: str) -> tuple[str, int, float]:
    """`TARGETS:RANK:RATE`, as --row takes it."""
    targets, rank, rate = words.split(":")
    if targets not in TARGETS:
        raise argparse.ArgumentTypeError(f"no targets {targets}; there are {', '.join(TARGETS)}")
    return targets, int(rank), float(rate)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON with every scene's numbers; an interrupted study goes on")
    parser.add_argument("--scenes", type=int, default=5, help="scenes of the demo, at most 10")
    parser.add_argument("--steps", type=int, default=120, help="steps of phase 2; phase 1 has 100")
    parser.add_argument("--rank", type=int, default=8, help="rank of the rate and target searches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=5.0, help="of the pictures that are measured")
    parser.add_argument(
        "--row",
        type=read_row,
        action="append",
        metavar="TARGETS:RANK:RATE",
        help="this row, factors in the UNet only, in place of the search; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="one scene, two steps: does it run?")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    scenes, steps, first = (1, 2, 2) if args.quick else (args.scenes, args.steps, 100)
    sizes = replace(Sizes(pairs=2, drawn=4, contexts=1, steps=2) if args.quick else Sizes(), guidance=args.guidance)
    maps = SETTINGS["base"]["seedling"]["extract"]["attention_maps"]
    settings = Extract.model_validate(
        {
            "attention_maps": maps,
            "phase1": {"steps": first, "lr": 5e-3},
            "prior": {"images": 2 if args.quick else 8, "steps": 2 if args.quick else 10},
        }
    )
    table = Table(
        args.out, {"scenes": scenes, "steps": steps, "seed": args.seed, "quick": args.quick, "guidance": args.guidance}
    )
    study = Study(scenes, settings, sizes, args.seed)
    if not args.quick:
        print("instruments:", "  ".join(f"{k} {v:.3f}" for k, v in check(study.eyes, study.roster).items()))
    print(f"{'':38s} " + " ".join(f"{column:>14s}" for column in COLUMNS) + "       MB seconds")
    weights, seconds = study.phase1()
    for name, learned, cost in (("untrained", study.untrained(), 0.0), ("phase 1 only", weights, seconds)):
        if name not in table.rows:
            table.add(
                name,
                {
                    "changes": {},
                    "seconds": cost,
                    "megabytes": megabytes({"phase2": {"steps": 0}}),
                    "scenes": [study.measure(i, w) for i, w in enumerate(learned)],
                },
            )
    if args.row:
        reference, *_ = [
            run(study, table, lora(rank, targets, rate, steps, text_encoder=False)) for targets, rank, rate in args.row
        ]
    else:
        reference = search(study, table, steps, args.rank, args.quick)
    print(f"\nscene by scene, less {reference}:")
    for name in table.rows:
        print(table.against(name, reference))


if __name__ == "__main__":
    main()
