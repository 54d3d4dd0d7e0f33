"""Pictures for the page: of a few scenes, one prompt and one subset each, every method's picture side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.protocol.jobs import SCENES, method_spec
from pipeline.report.thumbnails import colour_of, data_uri, masked_picture, open_picture
from pipeline.shards.reader import OutputReader
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.masks import decode_mask

MOST_BYTES = 20_000


@dataclass(frozen=True)
class Sample:
    """A row of the page. source: the scene with its masks; pictures: method -> data URI, None where there is none."""

    scene_id: str
    text: str
    source: str | None
    pictures: dict[str, str | None]


def pick_samples(spec: JobSpec, home: Storage, methods: Sequence[str], scenes: Sequence[str]) -> Iterator[Sample]:
    """`protocol.sample_scenes` scenes, evenly spread, each with all its concepts and the next prompt of the list."""
    most = min(spec.protocol.sample_scenes, len(scenes))
    prompts = spec.generate.prompts
    storages = {name: Storage(method_spec(spec, name).output) for name in methods}
    for number in range(most):
        scene = scenes[(2 * number + 1) * len(scenes) // (2 * most)]
        template = prompts[number % len(prompts)]
        found = {name: variation(storage, scene, template) for name, storage in storages.items()}
        texts = [row["text"] for row, _ in found.values() if row]
        yield Sample(
            scene, texts[0] if texts else template, _source(Storage(home.url_of(SCENES)), scene),
            {name: _thumbnail(data) for name, (_, data) in found.items()},
        )  # fmt: skip


def variation(storage: Storage, scene: str, template: str) -> tuple[dict[str, Any] | None, bytes | None]:
    """The scene's first picture of the template with the most concepts: its row and its bytes."""
    reader = OutputReader(storage)
    for _, shard in reader.find("variations", scene):
        found = reader.rows("variations", shard, [scene]).get(scene, [])
        rows = [row for row in found if row["template"] == template]
        row = max(rows, key=lambda row: len(row["concepts"]), default=None)
        commit = reader.commit("variations", shard)
        if row is not None and commit is not None and row["file"] in commit.members:
            return row, reader.member("variations", commit, row["file"])
    return None, None


def _source(storage: Storage, scene: str) -> str | None:
    reader = OutputReader(storage)
    for _, shard in reader.find("concepts", scene):
        commit = reader.commit("scenes", shard)
        assert commit is not None, "concepts are made of scenes"
        picture = open_picture(reader.member("scenes", commit, f"{scene}.png"))
        concepts = reader.rows("concepts", shard, [scene]).get(scene, [])
        masks = [(decode_mask(row["mask"]), colour_of(row["index"])) for row in concepts]
        return data_uri(masked_picture(picture, masks), MOST_BYTES)
    return None


def _thumbnail(data: bytes | None) -> str | None:
    try:
        return data_uri(open_picture(data), MOST_BYTES) if data else None
    except ValueError:
        return None
