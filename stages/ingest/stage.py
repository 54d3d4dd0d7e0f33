"""The ingest stage: one planned file in, one prepared square picture (and its given masks) out."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from schemas.errors import SceneError, StoreAway
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask, as_told
from schemas.records import EMPTY, NOT_READ, OUTSIDE_CROP, TOO_SMALL
from stages.ingest.decode import Picture, decode_picture
from stages.ingest.faults import FileChanged, FileUnreadable, MasksAmbiguous, MasksEmpty
from stages.ingest.given_masks.beside import MasksBeside
from stages.ingest.given_masks.coco import MasksCoco
from stages.ingest.given_masks.drawn_on import upright_mask
from stages.ingest.given_masks.given_mask import GivenMask
from stages.ingest.source.files import read_file, too_large
from stages.ingest.source.hashing import unread_when_planned
from stages.ingest.square import LEAST_SHARE, Square, fit_square, is_cut_off, is_empty, square_mask, square_picture
from stages.models.base.layout import model_side
from stages.models.place import bundled
from stages.stage import StageContext, failed

_OUTSIDE = f"{OUTSIDE_CROP}: too little of it is inside the square; use ingest.square: pad, or correct the mask"
_TOO_SMALL = (
    f"{TOO_SMALL}: it covers less than 1/{round(1 / LEAST_SHARE)} of the square; draw it larger, or take it out"
)
_EMPTY = f"{EMPTY}: no pixel of it is inside; export it again, or take it out"


class IngestStage:
    """Files per scene: `<scene_id>.png` (RGB, side x side) and `<scene_id>.mask0.png ...` (mode L, 0 or 255) for
    given masks, numbered from 0 in the order of the row's `words`. A picture without masks of its own has no words;
    Segment Anything takes it apart. A scene that fails keeps a row, with status `failed` and the reason."""

    name: ClassVar[str] = "ingest"
    table: ClassVar[str] = "scenes"
    needs: ClassVar[tuple[str, ...]] = ("plan",)
    files: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self._spec = spec
        self._side = 0
        self._masks: MasksBeside | MasksCoco | None = None

    def prepare(self) -> None:
        """Nothing is computed once a run."""

    def setup(self) -> None:
        """Side of the square from the base model's config; the COCO JSON, if one is named."""
        models = self._spec.models
        self._side = model_side(bundled(models.base, "models.base"), models.revision)
        if self._spec.source.masks == "coco":
            self._masks = MasksCoco(self._spec.source, self._spec.ingest)
        elif self._spec.source.masks == "beside":
            self._masks = MasksBeside(self._spec.source, self._spec.ingest)

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """One output per task; see the class."""
        for task in tasks:
            row = _blank_row(task)
            try:
                files = self._prepare_scene(task, row)
            except StoreAway:  # no scene's fault: the unit as a whole is done another time
                raise
            except Exception as error:  # one bad scene costs one scene
                reason = str(error) if isinstance(error, SceneError) else f"{type(error).__name__}: {error}"
                out = failed(task.scene_id, error)
                assert out.failure is not None
                yield replace(
                    out,
                    rows=[{**row, "status": "failed", "error": as_told(reason)}],
                    failure=replace(out.failure, uri=row["uri"]),
                )
            else:
                yield SceneOutput(task.scene_id, rows=[row], files=files)

    def _prepare_scene(self, task: SceneTask, row: dict[str, Any]) -> dict[str, bytes]:
        """Members of the tar; fills `row` as far as it gets. Raises SceneError."""
        plan, limits = task.rows["plan"][0], self._spec.ingest
        picture = decode_picture(self._read(plan), limits)
        width, height = picture.image.size
        square = fit_square(width, height, self._side, limits.square)
        row.update(pages=picture.pages, remarks=list(picture.remarks))
        row.update(format=picture.format, width=width, height=height, side=square.side, box=list(square.box))
        files = {f"{task.scene_id}.png": png(square_picture(picture.image, square))}
        for number, (mask, word) in enumerate(self._given_masks(plan, picture, square, row["masks"])):
            files[f"{task.scene_id}.mask{number}.png"] = png(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))
            row["words"].append(word)
        return files

    def _read(self, plan: dict[str, Any]) -> bytes:
        """The planned bytes. Raises FileUnreadable, FileTooLarge, FileChanged or MasksAmbiguous."""
        limit = self._spec.ingest.max_bytes
        if plan.get("error"):
            raise FileUnreadable(unread_when_planned(plan["error"]))
        if plan["bytes"] is not None and plan["bytes"] > limit:
            raise too_large(plan["bytes"], limit, plan["uri"])
        if plan.get("masks_error"):
            unclear = not plan["masks"]
            raise (
                MasksAmbiguous(plan["masks_error"])
                if unclear
                else FileUnreadable(unread_when_planned(plan["masks_error"]))
            )
        data = read_file(plan["uri"], self._spec.source, limit)
        if hashlib.sha256(data).hexdigest() != plan["sha256"]:
            raise FileChanged(f"the file changed since the plan: {plan['uri']}; run the job again to plan it anew")
        return data

    def _given_masks(
        self, plan: dict[str, Any], picture: Picture, square: Square, told: list[dict[str, Any]]
    ) -> list[tuple[Any, str | None]]:
        """Masks in the square, bool [side, side], with their words. Masks that the crop left empty are dropped;
        raises MasksEmpty if that leaves none. told: a row for every mask, as not read; gets what became
        of each."""
        if self._masks is None or not plan.get("masks"):
            return []
        kept: list[tuple[Any, str | None]] = []
        empty: dict[str, list[str]] = {}
        seen = list[dict[str, Any]]()
        try:
            for name, mask in self._masks_of(plan, picture):
                if isinstance(mask, str):
                    seen.append({"name": name, "number": None, "reason": mask})
                    continue
                upright = upright_mask(mask, picture, self._spec.source.masks_drawn_on)
                drawn = square_mask(upright, square)
                why = _why_empty(upright, square) if is_empty(drawn) else None
                number = len(kept) if why is None else None
                seen.append({"name": name, "number": number, "reason": why, "crowd": mask.crowd})
                if why is None:
                    kept.append((drawn, mask.word))
                else:
                    empty.setdefault(why, []).append(mask.name)
        finally:
            told[:] = [*seen, *(row for row in told if row["name"] not in {one["name"] for one in seen})]
        if not kept:
            reasons = ", ".join(f"{', '.join(names)} ({why})" for why, names in empty.items())
            raise MasksEmpty(f"none of its masks shows enough inside the square: {reasons}")
        return kept

    def _masks_of(self, plan: dict[str, Any], picture: Picture) -> Sequence[tuple[str, GivenMask | str]]:
        """(name of the file or annotation, mask or why it is not used), in their order."""
        if isinstance(self._masks, MasksCoco):
            return self._masks.masks_of(plan["entry"], plan["masks_sha256"], picture)
        assert self._masks is not None
        return self._masks.masks_of(plan["masks"], plan["masks_sha256"])


def _why_empty(upright: Image.Image, square: Square) -> str:
    """Why a mask shows too little in the square, and what helps."""
    if upright.getbbox() is None:
        return _EMPTY
    return _OUTSIDE if is_cut_off(upright, square) else _TOO_SMALL


def _blank_row(task: SceneTask) -> dict[str, Any]:
    plan = task.rows["plan"][0]
    return {
        "scene_id": task.scene_id,
        "uri": plan["uri"],
        "sha256": plan["sha256"],
        "bytes": plan["bytes"],
        "status": "ok",
        "error": None,
        "format": None,
        "width": None,
        "height": None,
        "pages": None,
        "remarks": [],
        "side": None,
        "box": None,
        "words": [],
        "masks": [{"name": name, "number": None, "reason": NOT_READ} for name in plan.get("masks") or []],
    }


def png(image: Image.Image) -> bytes:
    """As prepared pictures and masks are written."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=4)
    return out.getvalue()
