"""The evaluate stage: variations in, scores and masks of what they show out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneOutput, SceneTask
from stages.evaluate.copies import find_copies, thumbnail
from stages.evaluate.instances import counts, in_order, likeness, parts
from stages.evaluate.judging import Judged, Judges
from stages.evaluate.placed import Window, drawn_in, standing_beside
from stages.evaluate.source_scene import SourceScene, read_source
from stages.evaluate.verdict import Scores, collapsed, name_of, why_not
from stages.halving import halving
from stages.masks.label_mask import label_mask
from stages.masks.shapes import Mask, bounding_box
from stages.models.clip import load_clip
from stages.models.device import pick_device
from stages.models.identity import ClipIdentityJudge, IdentityJudge, load_identity
from stages.pictures import read_picture
from stages.segment.segmenters import load_judges_segmenter
from stages.stage import StageContext, failed

Row = Mapping[str, Any]


class EvaluateStage:
    """See `stages.stage.Stage`. One scene at a time, its pictures in batches of `evaluate.batch`. Progress is told as
    {"share", "picture", "pictures"}.

    The judges compute in float32 whatever `models.dtype` says: they are instruments, and cheap beside the segmenter.
    """

    name: ClassVar[str] = "evaluate"
    table: ClassVar[str] = "scores"
    needs: ClassVar[tuple[str, ...]] = ("concepts", "variations")
    files: ClassVar[tuple[str, ...]] = ("scenes", "variations")

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.spec, self.context = spec, context
        self.judged = self.pictures = 0
        self.judges: Judges | None = None

    def prepare(self) -> None:
        """Nothing is shared."""

    def setup(self) -> None:
        """Loads the judges and the segmenter. Raises SpecError where one is not what its field asks for."""
        models, device = self.spec.models, str(pick_device())
        clip = load_clip(models.clip, device, torch.float32)
        identity: IdentityJudge = (
            ClipIdentityJudge(clip)
            if models.identity == models.clip
            else load_identity(models.identity, device, torch.float32)
        )
        segmenter = load_judges_segmenter(self.spec)
        self.judges = Judges(clip, identity, segmenter, self.spec.segment)

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """One output per task: rows of SCORES and two masks a row, in the order of its variations, or a failure."""
        self.judged, self.pictures = 0, sum(len(task.rows.get("variations", [])) for task in tasks)
        for task in tasks:
            try:
                output = self._evaluate(task)
            except Exception as error:  # whatever is wrong with a scene is that scene's failure
                output = failed(task.scene_id, error)
            yield output

    def _evaluate(self, task: SceneTask) -> SceneOutput:
        assert self.judges is not None, "setup() comes before process()"
        rows = sorted(task.rows.get("variations", []), key=lambda row: row["key"])
        if not rows:
            return SceneOutput(task.scene_id)
        scene = read_source(task, self.judges.identity, self.spec.evaluate.found_at)
        judges, judged, size = self.judges, [], self.spec.evaluate.batch
        for start in range(0, len(rows), size):
            part = [_shown(task, row, len(scene.features)) for row in rows[start : start + size]]
            for _, one in halving(lambda pairs: judges.judge(scene, *zip(*pairs, strict=True)), part):
                if isinstance(one, Exception):
                    raise one
                judged.append(one)
            self.judged += len(part)
            share = min(1.0, self.judged / self.pictures)
            self.context.progress({"share": share, "picture": self.judged, "pictures": self.pictures})
        return self._output(task, scene, rows, judged)

    def _output(
        self, task: SceneTask, scene: SourceScene, rows: Sequence[Row], judged: Sequence[Judged]
    ) -> SceneOutput:
        output, settings = SceneOutput(task.scene_id), self.spec.evaluate
        windows = {row["key"]: window for row in rows if (window := _window(row))}
        copies = find_copies(
            scene.small,
            [(row["key"], row["prompt"], one.small) for row, one in zip(rows, judged, strict=True)],
            settings.max_copy,
            {
                row["key"]: thumbnail(windows[row["key"]].seen(_receiver(task, row, scene)))
                for row in rows
                if row["key"] in windows
            },
        )
        for row, one, (copy_similarity, copy_of) in zip(rows, judged, copies, strict=True):
            window, asked, standing = windows.get(row["key"]), row["concepts"], [] if row.get("into") else scene.masks
            drawn = drawn_in(window, one.instances) if window else one.instances
            beside = standing_beside(window, drawn, asked, standing) if window else []
            shown, shows = in_order([*drawn, *beside]), counts(drawn, len(scene.features))
            where, likely = parts(shown), likeness(drawn)
            scores = Scores(
                one.prompt_similarity,
                float(np.mean(one.identity)),
                {_name(row, place, scene.words): shows[index] for place, index in enumerate(asked)},
                one.contrast,
                copy_similarity,
                copy_of,
            )
            reason = why_not(scores, settings)
            mask, instance = f"{row['key']}.mask.png", f"{row['key']}.instance.png"
            output.rows.append(
                {
                    "key": row["key"],
                    "scene_id": task.scene_id,
                    "text": row["text"],
                    "concepts": list(asked),
                    "file": row["file"],
                    "prompt_similarity": scores.prompt_similarity,
                    "identity_similarity": scores.identity_similarity,
                    "identity": one.identity,
                    "found": counts(shown, len(scene.features)),
                    "found_at": scene.found_at,
                    "words": [scene.words[index] for index in asked],
                    "boxes": [list(bounding_box(where[index])) if index in where else None for index in asked],
                    "likeness": [likely.get(index) for index in asked],
                    "complete": scores.complete,
                    "contrast": one.contrast,
                    "copy_similarity": copy_similarity,
                    "copy_of": copy_of,
                    "collapsed": collapsed(scores, settings),
                    "keep": reason is None,
                    "reason": reason,
                    "mask": mask,
                    "mode": row.get("mode") or "variations",
                    "instance": instance,
                    "instances": [
                        {"id": number, "concept": each.concept, "likeness": each.likeness}
                        for number, each in enumerate(shown, start=1)
                    ],
                    "together": [each if count > 1 else None for each, count in zip(one.together, shows, strict=True)],
                }
            )
            output.files[mask] = label_mask(one.size, where)
            output.files[instance] = label_mask(one.size, {number: each.mask for number, each in enumerate(shown)})
        return output


def _window(row: Row) -> Window | None:
    """What is judged of a picture that was placed; None: all of it."""
    return Window.around(decode_mask(row["region"])) if row.get("region") else None


def _shown(task: SceneTask, row: Row, concepts: int) -> tuple[Row, NDArray[np.uint8], Mask | None]:
    """A row, the picture that judges see, and where in it they look. Raises as `_picture` does."""
    picture, window = _picture(task, row, concepts), _window(row)
    return (row, picture, None) if window is None else (row, window.seen(picture), window.inside())


def _receiver(task: SceneTask, row: Row, scene: SourceScene) -> NDArray[np.uint8]:
    """The real picture that a variation was placed into. Raises SceneError where a given one is missing."""
    if not row.get("into"):
        return scene.picture
    name = f"{row['key'].removeprefix(f'{task.scene_id}-')}.source.png"
    if name not in task.files:
        raise SceneError(f"variation {row['key']} has no picture {row['key']}.source.png in its shard")
    return read_picture(task.files[name])


def _name(row: Row, place: int, words: Sequence[str | None]) -> str:
    """What the concept is called that a variation asks for in that place of `concepts`."""
    index, handles = row["concepts"][place], row.get("handles") or []
    return name_of(index, handles[place] if place < len(handles) else None, words[index])


def _picture(task: SceneTask, row: Row, concepts: int) -> NDArray[np.uint8]:
    """The variation's picture [h, w, 3]. Raises SceneError where it is missing or asks for what the scene has not."""
    suffix = row["file"].removeprefix(f"{task.scene_id}-")
    if suffix not in task.files:
        raise SceneError(f"variation {row['key']} has no picture {row['file']} in its shard")
    if not row["concepts"] or any(not 0 <= index < concepts for index in row["concepts"]):
        raise SceneError(f"variation {row['key']} asks for concepts {row['concepts']}; the scene has {concepts}")
    return read_picture(task.files[suffix])
