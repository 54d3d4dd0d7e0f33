"""Choose the method's settings for a base of toys, on scenes that are neither the demo's nor the protocol's.

    python -m models.training.base.choose --base models/seedling/base --sam models/seedling/sam \\
        --reader models/seedling/reader --work out/choose

One setting after another is tried at each of its values with the others as they stand, and the best stays; what was
tried, of which models and scenes, is kept in `--work`, so that the same command goes on. The score is the mean of four
shares: pictures of one toy and of two that show these toys, each once with all its facts, and no other; of new
combinations and of new silhouettes. Beside it stand the shares in which others may be seen too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from models.training.base.measure_personalised import arguments, gather, settings_of
from models.training.base.personalised import find_concepts, learn_and_draw, spec_of, subjects
from models.training.pools import spawned
from models.training.reading.facts import read_facts
from models.training.reading.network import load_reader
from stages.models.place import model_revision

TRIED: dict[str, tuple[str, ...]] = {
    "extract.flip": ("false", "true"),
    "extract.attention_weight": ("0.01", "0.1", "1.0"),
    "extract.masked_loss": ("paper", "area_balanced"),
    "generate.guidance": ("3.0", "2.0", "5.0"),
    "extract.phase2.lr": ("2e-3", "1e-3"),
    "extract.phase2.steps": ("240", "120"),
    "extract.phase1.steps": ("100", "200"),
    "extract.phase1.lr": ("5e-3", "2e-3"),
    "extract.lora.rank": ("16", "32"),
    "extract.attention_maps": ("8", "4"),
}
"""Setting -> its values, where to start first."""


def score(
    models: Mapping[str, str], chosen: Mapping[str, str], args: argparse.Namespace, processes: ProcessPoolExecutor
) -> dict[str, float]:
    """Shares of pictures that are right, by what they are of, and their mean, `score`."""
    waiting = [processes.submit(shares_of, kind, models, dict(chosen), args) for kind in args.kinds]
    shares = {name: share for one in waiting for name, share in one.result().items()}
    return shares | {"score": float(np.mean([share for name, share in shares.items() if name.endswith("exactly")]))}


def shares_of(
    kind: str, models: Mapping[str, str], chosen: Mapping[str, str], args: argparse.Namespace
) -> dict[str, float]:
    """Of one kind of toys; runs in a process of its own."""
    torch.set_num_threads(max(1, args.threads // len(args.kinds)))
    spec = spec_of(
        models, "break_a_scene", settings_of([f"{name}={value}" for name, value in chosen.items()]), args.images
    )
    given, reader = subjects(kind, args.singles, args.pairs, args.seed), load_reader(args.reader)
    with tempfile.TemporaryDirectory() as shared:
        find_concepts(spec, given, shared)
        learn_and_draw(spec, given, shared)
    shares: dict[str, float] = {}
    for what, drawn in zip(("one", "two"), gather(given, kind, args.images, len(spec.generate.prompts)), strict=True):
        count = len(drawn.pictures) + drawn.lost
        read = read_facts(reader, np.stack(drawn.pictures), drawn.asked) if drawn.pictures else None
        for how, right in (("", read.whole if read else 0.0), (" exactly", read.exact if read else 0.0)):
            shares[f"{kind}, {what}{how}"] = right * len(drawn.pictures) / count if count else 0.0
    return shares


def main() -> None:
    """Print each trial as it is done, and the settings in the end."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what was tried")
    args = parser.parse_args()
    models = {"base": str(args.base), "sam": str(args.sam)}
    processes = spawned(len(args.kinds))
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / "tried.json"
    tried: dict[str, dict[str, float]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    chosen = {name: values[0] for name, values in TRIED.items()} | dict(one.split("=", 1) for one in args.set)

    measured = {
        "base": model_revision(str(args.base), "models.base", None),
        "sam": model_revision(str(args.sam), "models.sam", None),
        **{name: getattr(args, name) for name in ("kinds", "singles", "pairs", "images", "seed")},
    }

    def of(settings: Mapping[str, str]) -> float:
        name = json.dumps([measured, settings], sort_keys=True)
        if name not in tried:
            began = time.monotonic()
            tried[name] = score(models, settings, args, processes) | {"seconds": time.monotonic() - began}
            kept.write_text(json.dumps(tried, indent=1) + "\n", encoding="utf-8")
        return tried[name]["score"]

    best = of(chosen)
    print(f"{best:.3f} to start with: {chosen}", flush=True)
    for name, values in TRIED.items():
        for value in values:
            if value == chosen[name]:
                continue
            other = {**chosen, name: value}
            found = of(other)
            print(f"{found:.3f} with {name}={value} (best so far {best:.3f})", flush=True)
            if found > best:
                best, chosen = found, other
    print(f"{best:.3f}: {' '.join(f'{name}={value}' for name, value in chosen.items())}", flush=True)


if __name__ == "__main__":
    main()
