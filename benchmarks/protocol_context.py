"""What of a prompt a method follows: its place, told apart from its concepts. No Ray.

    python -m benchmarks.protocol_context jobs/protocol.yaml out/protocol

Prompt similarity reads a picture against the whole prompt, the concepts' words included, so a method that loses the
concepts loses there too, however well it draws the place. Here the same judge reads the same pictures against the
prompts of the spec without the concepts: the share of pictures in which the place asked for is the nearest of all the
spec's, and the similarity to it. Differences from break_a_scene are taken scene by scene, on the protocol's resamples.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.base.following import Judge, places_followed
from pipeline.protocol.jobs import method_spec
from pipeline.protocol.page.table import head, line
from pipeline.protocol.statistics.bootstrap import Interval, interval, resample_counts
from pipeline.protocol.statistics.claims import REFERENCE
from pipeline.shards.reader import OutputReader
from pipeline.storage.folder import Storage
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.spec_file import load_spec
from stages.models.clip import load_clip
from stages.models.place import bundled

TABLE = "variations"


def read(spec: JobSpec, clip: Judge) -> dict[str, tuple[float, float]]:
    """Scene -> (share of its pictures with the place asked for, mean cosine to it), of one method's output."""
    reader, prompts = OutputReader(Storage(spec.output)), list(dict.fromkeys(spec.generate.prompts))
    found: dict[str, tuple[float, float]] = {}
    for shard in reader.shards(TABLE):
        commit = reader.commit(TABLE, shard)
        assert commit is not None
        for scene, rows in reader.rows(TABLE, shard, columns=["scene_id", "template", "file"]).items():
            pictures = [_picture(reader.member(TABLE, commit, row["file"])) for row in rows]
            asked = [prompts.index(row["template"]) for row in rows]
            near, own = places_followed(clip, np.stack(pictures), prompts, asked)
            found[scene] = float(near.mean()), float(own.mean())
    return found


def _picture(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def lines(found: Mapping[str, Mapping[str, tuple[float, float]]], resamples: int, seed: int) -> Iterator[str]:
    """found: method -> what `read` says of it. A Markdown table, over the scenes that all methods have."""
    scenes = sorted(set.intersection(*(set(of) for of in found.values())))
    values = {name: np.array([of[scene] for scene in scenes]) for name, of in found.items()}  # [scenes, 2]
    counts = resample_counts(len(scenes), resamples, seed)
    yield from head(["method", "place asked for", "difference", "similarity to it", "difference"])
    for name, own in values.items():
        cells = [name]
        for column, percent in ((0, True), (1, False)):
            cells.append(_cell(interval(own[:, column], counts), percent, signed=False))
            apart = interval(own[:, column] - values[REFERENCE][:, column], counts)
            cells.append("" if name == REFERENCE else _cell(apart, percent, signed=True))
        yield line(cells)


def _cell(at: Interval | None, percent: bool, signed: bool) -> str:
    assert at is not None
    scale, form = (100, ".0f") if percent else (1, ".3f")
    form = "+" + form if signed else form
    ends = "" if at.low is None or at.high is None else f" [{at.low * scale:{form}}, {at.high * scale:{form}}]"
    return f"{at.mean * scale:{form}}{' %' if percent else ''}{ends}"


def main() -> None:
    """Read the pictures of every method that has run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path, help="the protocol's job spec")
    parser.add_argument("output", help="the run: a folder or URI that took the place of its `output`")
    args = parser.parse_args()
    try:
        spec = load_spec(args.spec).model_copy(update={"output": args.output})
    except SpecError as error:
        parser.error(str(error))
    clip = load_clip(bundled(spec.models.clip, "models.clip"))
    found = {name: read(method_spec(spec, name), clip) for name in spec.protocol.methods}
    found = {name: of for name, of in found.items() if of}
    if REFERENCE not in found:
        parser.error(f"{args.output} has no pictures of {REFERENCE}, which all are compared with")
    print("\n".join(lines(found, spec.protocol.resamples, spec.protocol.resample_seed)))


if __name__ == "__main__":
    main()
